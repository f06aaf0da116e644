"""Duplicates, label conflicts and rows of low quality: found, removed, and counted by rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from evalkit.data.minhash import tabulate
from evalkit.data.normalising import exact_inputs, normalised_inputs
from evalkit.data.overlap import THRESHOLD, Kind, find_duplicates
from evalkit.data.quality import NO_EXAMPLE, Limits, Rule, low_quality, rule_of_fault
from evalkit.data.row_files import RowFile, TaskRows
from evalkit.errors import UserError, did_you_mean
from evalkit.records import Example, Label


@dataclass(frozen=True, slots=True)
class Deduplicated:
    """Examples without exact repeats of their inputs."""

    kept: tuple[Example, ...]
    """The first of each group of duplicates, in the order they came."""
    dropped: int
    conflicts: tuple[tuple[Example, ...], ...]
    """Groups with the same inputs and different labels, each with all its members."""


def deduplicate(examples: Iterable[Example]) -> Deduplicated:
    """Keep the first of all examples whose inputs are the same, character by character."""
    groups: dict[tuple[tuple[str, str], ...], list[Example]] = {}
    for example in examples:
        groups.setdefault(exact_inputs(example), []).append(example)
    kept = tuple(group[0] for group in groups.values())
    dropped = sum(len(group) - 1 for group in groups.values())
    conflicts = tuple(tuple(group) for group in groups.values() if _disagree(group))
    return Deduplicated(kept, dropped, conflicts)


def _disagree(group: list[Example]) -> bool:
    return any(dict(example.labels) != dict(group[0].labels) for example in group)


@dataclass(frozen=True, slots=True)
class Removal:
    """A row that is not kept."""

    where: str
    """`train.jsonl:278`."""
    rule: Rule
    why: str
    """What the rule saw, such as the row that is repeated."""
    inputs: tuple[str, ...] = ()
    """Its texts, where they could be read."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Rows with the same inputs and different labels."""

    where: tuple[str, ...]
    example: Example
    """The first of them."""
    labels: tuple[tuple[Mapping[str, Label], int], ...]
    """Each answer and how many rows have it, most frequent first."""

    @property
    def is_settled(self) -> bool:
        """Whether one answer has more rows than any other."""
        return self.labels[0][1] > self.labels[1][1]


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What a cleaning keeps, and what not."""

    read: int
    """Rows of the file."""
    kept: frozenset[int]
    """Places of rows, counted from 0."""
    removals: tuple[Removal, ...]
    """In the order of the rules, and of the file."""
    conflicts: tuple[Conflict, ...]
    alike_kept: int
    """Rows nearly the same as an earlier one, with other labels: for a person to look at."""
    before: tuple[Example, ...]
    """All rows that are examples of the task."""
    after: tuple[Example, ...]

    def counts(self) -> dict[Rule, int]:
        """Return how many rows each rule removed."""
        counts = Counter(removal.rule for removal in self.removals)
        return {rule: counts[rule] for rule in Rule}


def clean(
    rows: TaskRows[RowFile],
    *,
    limits: Limits | None = None,
    threshold: float = THRESHOLD,
    keep: Collection[str] = (),
) -> Cleaned:
    """Decide which rows of a file are kept.

    A row is removed under the first rule that speaks against it. Of rows with the same inputs
    the first is kept; where their labels differ, the first with the label that most of them
    have, and none where no label has most. Of rows that are nearly the same and agree in their
    labels the first is kept; those that do not agree may well be right, and stay.

    Rules named in `keep` remove nothing.

    Raises:
        UserError: the file cannot be read, a limit makes no sense or a rule is not known.
    """
    limits = limits or Limits()
    limits.check()
    off = _rules(keep)
    found: list[Removal] = []
    places: list[int] = []
    wheres: list[str] = []
    examples: list[Example] = []
    read = 0
    for place, (line, example) in enumerate(rows.read()):
        read += 1
        if isinstance(example, Example):
            places.append(place)
            wheres.append(line.row.where)
            examples.append(example)
        else:
            rule = rule_of_fault(line.row, rows.reader, example, rows.schemes)
            found.append(Removal(line.row.where, rule, str(example)))
    removed: dict[int, tuple[Rule, str]] = {}
    conflicts = _remove_repeats(examples, wheres, removed, off)
    for i, example in enumerate(examples):
        if i not in removed and (low := low_quality(example, limits)) and low[0] not in off:
            removed[i] = low
    left = [i for i in range(len(examples)) if i not in removed]
    alike = _remove_near(examples, wheres, left, removed, threshold, off)
    _remove_repeated_ids(examples, wheres, removed)
    found += [
        Removal(wheres[i], rule, why, tuple(examples[i].inputs.values()))
        for i, (rule, why) in sorted(removed.items())
    ]
    order = list(Rule)
    return Cleaned(
        read=read,
        kept=frozenset(place for i, place in enumerate(places) if i not in removed),
        removals=tuple(sorted(found, key=lambda removal: order.index(removal.rule))),
        conflicts=conflicts,
        alike_kept=alike,
        before=tuple(examples),
        after=tuple(example for i, example in enumerate(examples) if i not in removed),
    )


def _rules(names: Collection[str]) -> frozenset[Rule]:
    """Return the rules of these names, where they are of those that may be switched off."""
    free = [rule for rule in Rule if rule not in NO_EXAMPLE and rule is not Rule.REPEATED_ID]
    for name in names:
        if name not in free:
            raise UserError(
                f"--keep {name}: no rule that can be left out.{did_you_mean(name, free)} "
                f"Those are {', '.join(free)}."
            )
    return frozenset(Rule(name) for name in names)


def _remove_repeats(
    examples: Sequence[Example],
    wheres: Sequence[str],
    removed: dict[int, tuple[Rule, str]],
    off: Collection[Rule],
) -> tuple[Conflict, ...]:
    """Take out repeats of the same inputs, and inputs whose labels cannot be told."""
    groups: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for i, example in enumerate(examples):
        groups.setdefault(exact_inputs(example), []).append(i)
    conflicts = []
    for group in groups.values():
        right = group
        if _disagree([examples[i] for i in group]):
            conflict = _conflict([examples[i] for i in group], [wheres[i] for i in group])
            conflicts.append(conflict)
            if Rule.CONFLICT not in off:
                most = conflict.labels[0][0]
                right = [i for i in group if dict(examples[i].labels) == most]
                right = right if conflict.is_settled else []
        kept = right if Rule.EXACT in off else right[:1]
        for i in sorted({*group}.difference(kept)):
            if Rule.EXACT in off or (not kept and i == group[0]):
                removed[i] = (Rule.CONFLICT, f"{len(group)} rows with these inputs disagree")
            else:
                first = kept[0] if kept else group[0]
                removed[i] = (Rule.EXACT, f"the same inputs as {wheres[first]}")
    return tuple(conflicts)


def _conflict(group: Sequence[Example], wheres: Sequence[str]) -> Conflict:
    answers: list[Mapping[str, Label]] = []
    counts: list[int] = []
    for example in group:
        if dict(example.labels) not in answers:
            answers.append(dict(example.labels))
            counts.append(0)
        counts[answers.index(dict(example.labels))] += 1
    labels = sorted(zip(answers, counts, strict=True), key=lambda pair: -pair[1])
    return Conflict(tuple(wheres), group[0], tuple(labels))


def _remove_near(
    examples: Sequence[Example],
    wheres: Sequence[str],
    left: Sequence[int],
    removed: dict[int, tuple[Rule, str]],
    threshold: float,
    off: Collection[Rule],
) -> int:
    """Take out rows near an earlier one that is kept, and count those that disagree with it."""
    alike = 0
    duplicates = find_duplicates([examples[i] for i in left], threshold=threshold)
    for group in duplicates.of(Kind.NEAR):
        rows = [left[position] for position in group.positions]
        table = tabulate(normalised_inputs(examples[i]) for i in rows)
        kept: list[int] = []
        for at, i in enumerate(rows):
            similarity = table.similarity(at, slice(None))
            near = [other for other in kept if similarity[other] >= threshold]
            same = [o for o in near if examples[rows[o]].labels == examples[i].labels]
            alike += bool(near) and not same
            if same and Rule.NEAR not in off:
                first = max(same, key=lambda other: float(similarity[other]))
                why = f"{similarity[first]:.0%} of the text of {wheres[rows[first]]}"
                removed[i] = (Rule.NEAR, why)
            else:
                kept.append(at)
    return alike


def _remove_repeated_ids(
    examples: Sequence[Example], wheres: Sequence[str], removed: dict[int, tuple[Rule, str]]
) -> None:
    seen: dict[str, int] = {}
    for i, example in enumerate(examples):
        if i in removed:
            continue
        if example.id in seen:
            removed[i] = (
                Rule.REPEATED_ID,
                f"id {example.id!r} is at {wheres[seen[example.id]]}",
            )
        else:
            seen[example.id] = i
