"""Rows that appear in the data more than once, within a set or in training and test.

Duplicates come in three kinds, each of which includes the ones before it: `exact` (the inputs are
the same, character by character), `normalised` (the same after `normalise_text`) and `near` (their
normalised texts share most of their character n-grams; between two sets also: short texts that
differ in one word, in one input or in the order of their words).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from evalkit.data.minhash import jaccard, near_pairs, sign, similar_bundles, tabulate
from evalkit.data.normalising import exact_inputs, normalised_inputs
from evalkit.data.word_edits import edit_hashes
from evalkit.errors import UserError
from evalkit.records import Example

if TYPE_CHECKING:
    from evalkit.data.minhash import Signatures

THRESHOLD = 0.8
"""The least similarity of near duplicates."""
_MOST_EDITED = 50


class Kind(StrEnum):
    """In what sense two rows are the same, strongest first."""

    EXACT = "exact"
    NORMALISED = "normalised"
    NEAR = "near"


@dataclass(frozen=True, slots=True)
class Match:
    """The training row that a row is most like."""

    kind: Kind
    """The strongest that holds."""
    similarity: float
    """Jaccard index of the n-grams of the normalised texts; 1.0 for exact and normalised. From
    fingerprints an estimate of it, or the share of words that an edit leaves, if that is more."""
    position: int | None = None
    """Where the row is in training, from 0; the first of several alike. None from
    fingerprints, which know no rows."""


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Two or more rows of one set that are the same."""

    kind: Kind
    """The rows hang together by duplicates of this kind or a stronger one."""
    positions: tuple[int, ...]
    """Where they are, from 0, ascending."""
    labels_differ: bool


@dataclass(frozen=True, slots=True)
class Duplicates:
    """What is the same within one set."""

    rows: int
    groups: tuple[DuplicateGroup, ...]
    """Of every kind. A row may be in one group of each: an exact group lies within a
    normalised one, and that within a near one."""

    def of(self, kind: Kind) -> tuple[DuplicateGroup, ...]:
        """Return the groups that hang together by a kind or a stronger one."""
        return tuple(group for group in self.groups if group.kind is kind)


@dataclass(frozen=True, slots=True)
class Overlap:
    """What training and test have in common, and what is the same within each."""

    matches: tuple[Match | None, ...]
    """For each test row the training row it is most like, or None."""
    train: Duplicates
    test: Duplicates


def find_overlap(
    train: Sequence[Example],
    test: Sequence[Example],
    *,
    threshold: float = THRESHOLD,
    edits: bool = True,
) -> Overlap:
    """Find test rows that are in training too, and duplicates within either set.

    Args:
        train: rows to look among.
        test: rows to look for.
        threshold: least similarity of near duplicates' n-grams.
        edits: whether rows that differ in a word or an input are near, too.

    Raises `UserError` where the threshold is not a share from 0.5 to 1.
    """
    check_threshold(threshold)
    known, asked = _read(train), _read(test)
    return Overlap(
        _matches(train, known, test, asked, threshold, edits=edits),
        train=_duplicates(train, known, threshold),
        test=_duplicates(test, asked, threshold),
    )


def find_twins(train: Sequence[Example], test: Sequence[Example]) -> tuple[Match | None, ...]:
    """Return for each test row the training row it is most like, or None."""
    return _matches(train, _read(train), test, _read(test), THRESHOLD, edits=True)


def _matches(
    train: Sequence[Example],
    known: _Texts,
    test: Sequence[Example],
    asked: _Texts,
    threshold: float,
    *,
    edits: bool,
) -> tuple[Match | None, ...]:
    found: list[Match | None] = [None] * len(test)
    for place, match in _near_matches(known, asked, threshold, edits=edits):
        for row in asked.rows[place]:
            found[row] = match
    for text, rows in zip(asked.texts, asked.rows, strict=True):
        if text not in known.places:
            continue
        same = known.rows[known.places[text]]
        # Built backwards, so that the first of several equal rows stays.
        exact = {exact_inputs(train[position]): position for position in reversed(same)}
        for row in rows:
            position = exact.get(exact_inputs(test[row]))
            kind = Kind.NORMALISED if position is None else Kind.EXACT
            found[row] = Match(kind, 1.0, same[0] if position is None else position)
    return tuple(found)


def find_duplicates(examples: Sequence[Example], *, threshold: float = THRESHOLD) -> Duplicates:
    """Find the groups of duplicates within one set.

    Raises `UserError` where the threshold is not a share from 0.5 to 1.
    """
    check_threshold(threshold)
    return _duplicates(examples, _read(examples), threshold)


def duplicate_groups(
    examples: Sequence[Example], *, threshold: float = THRESHOLD
) -> tuple[int, ...]:
    """Return for each example the number of the group of near duplicates it belongs to.

    Examples are in one group where a chain of duplicates, of any kind, leads from one to the
    other. Groups are numbered from 0 in the order of their first examples; an example without
    duplicates has a number of its own.

    Raises `UserError` where the threshold is not a share from 0.5 to 1.
    """
    check_threshold(threshold)
    texts = _read(examples)
    group_of = [0] * len(examples)
    for number, rows in enumerate(_near_groups(texts, threshold)):
        for row in rows:
            group_of[row] = number
    return tuple(group_of)


def check_threshold(threshold: float) -> None:
    """Refuse a threshold that is not a share from 0.5 to 1."""
    if not 0.5 <= threshold <= 1:
        raise UserError(
            f"A threshold of {threshold:g} is not a share from 0.5 to 1. Texts less alike than 0.5 "
            "are not near duplicates; 0.8 is the default."
        )


@dataclass(frozen=True, slots=True)
class _Texts:
    """The distinct normalised texts of a set."""

    places: Mapping[str, int]
    """Text -> its number, in the order of their first rows."""
    rows: Sequence[list[int]]
    """For each text the rows that have it, ascending."""
    texts: Sequence[str]
    signatures: Signatures


def _read(examples: Iterable[Example]) -> _Texts:
    rows: dict[str, list[int]] = {}
    for row, example in enumerate(examples):
        rows.setdefault(normalised_inputs(example), []).append(row)
    places = {text: place for place, text in enumerate(rows)}
    return _Texts(places, tuple(rows.values()), tuple(rows), sign(rows))


def _near_matches(
    known: _Texts, asked: _Texts, threshold: float, *, edits: bool
) -> Iterator[tuple[int, Match]]:
    """Yield for each text asked about the known text most like it, where one is near."""
    new = [place for place, text in enumerate(asked.texts) if text not in known.places]
    best: dict[int, tuple[float, int]] = {}
    pairs = near_pairs(
        known.texts,
        known.signatures,
        [asked.texts[place] for place in new],
        asked.signatures[new],
        threshold,
    )
    for i, j, similarity in pairs:
        best[new[j]] = max(best.get(new[j], (0.0, 0)), (similarity, -i))
    for j, i in _edited(known.texts, {place: asked.texts[place] for place in new if edits}):
        similarity = jaccard(known.texts[i], asked.texts[j])
        best[j] = max(best.get(j, (0.0, 0)), (similarity, -i))
    for j, (similarity, i) in best.items():
        yield j, Match(Kind.NEAR, similarity, known.rows[-i][0])


def _edited(known: Iterable[str], asked: Mapping[int, str]) -> set[tuple[int, int]]:
    """Return pairs that differ in a word or an input: number asked, place known.

    Of each text asked the first `_MOST_EDITED` are enough to name one.
    """
    having: dict[int, list[int]] = {}
    for number, text in asked.items():
        for key in edit_hashes(text):
            having.setdefault(key, []).append(number)
    counts: Counter[int] = Counter()
    found: set[tuple[int, int]] = set()
    for place, text in enumerate(known if having else ()):
        numbers = {number for key in edit_hashes(text) for number in having.get(key, ())}
        found |= {(number, place) for number in numbers if counts[number] < _MOST_EDITED}
        counts.update(numbers)
    return found


def _duplicates(examples: Sequence[Example], texts: _Texts, threshold: float) -> Duplicates:
    exact: list[list[int]] = []
    for rows in texts.rows:
        same: dict[tuple[tuple[str, str], ...], list[int]] = {}
        for row in rows if len(rows) > 1 else ():
            same.setdefault(exact_inputs(examples[row]), []).append(row)
        exact += same.values()
    by_kind: dict[Kind, Iterable[list[int]]] = {
        Kind.EXACT: exact,
        Kind.NORMALISED: texts.rows,
        Kind.NEAR: _near_groups(texts, threshold),
    }
    groups = tuple(
        DuplicateGroup(kind, tuple(rows), _labels_differ(examples, rows))
        for kind, found in by_kind.items()
        for rows in sorted(found)
        if len(rows) > 1
    )
    return Duplicates(len(examples), groups)


def _labels_differ(examples: Sequence[Example], rows: Sequence[int]) -> bool:
    return any(dict(examples[row].labels) != dict(examples[rows[0]].labels) for row in rows)


def _near_groups(texts: _Texts, threshold: float) -> list[list[int]]:
    """Return the rows of each connected component, ascending, by their first rows."""
    components = Components(len(texts.places))
    for bundle in similar_bundles(texts.signatures, threshold):
        _connect(bundle, components, texts.texts, threshold)
    groups: dict[int, list[int]] = {}
    for place, rows in enumerate(texts.rows):
        groups.setdefault(components.find(place), []).extend(rows)
    return sorted(map(sorted, groups.values()))


def _connect(
    bundle: Sequence[int], components: Components, texts: Sequence[str], threshold: float
) -> None:
    """Join the components of those texts of a bundle that are near."""
    roots = [components.find(place) for place in bundle]
    ((largest, size),) = Counter(roots).most_common(1)
    if size == len(bundle):
        return
    table = tabulate(texts[place] for place in bundle)
    for at, root in enumerate(roots):
        # Of two texts that are not connected one lies outside the largest component.
        if root != largest:
            near = table.similarity(at, slice(None)) >= threshold
            for other in near.nonzero()[0].tolist():
                components.join(bundle[at], bundle[other])


class Components:
    """Which of some numbers are connected."""

    def __init__(self, n: int) -> None:
        self._parents = list(range(n))

    def find(self, number: int) -> int:
        """Return the number that stands for all that are connected with this one."""
        parents = self._parents
        while parents[number] != number:
            parents[number] = number = parents[parents[number]]
        return number

    def join(self, one: int, other: int) -> None:
        """Connect two numbers."""
        self._parents[self.find(one)] = self.find(other)
