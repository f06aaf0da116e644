"""Rows split into parts, none of which repeats text of another."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from evalkit.data.normalising import normalised_inputs
from evalkit.data.overlap import THRESHOLD, Components, duplicate_groups
from evalkit.errors import UserError
from evalkit.records import Example


def split_off_dev(
    examples: Sequence[Example], n: int, seed: int
) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """Split examples into (train, dev), with `n` of them in dev.

    Examples whose inputs are the same after `normalise_text` stay together. So dev falls short
    of `n` where no whole group fits into what is left. Which groups go to dev depends on their
    text and the seed alone: a row added elsewhere leaves them in place as far as it can. Both
    sides keep the order of `examples`.

    Raises `UserError` where either side would be empty or n is negative; n = 0 gives no dev.
    """
    if n == 0:
        return tuple(examples), ()
    if not 0 < n < len(examples):
        raise UserError(
            f"A development split of {n:,} cannot be taken from {len(examples):,} rows. "
            f"Choose a size from 0 to {max(len(examples) - 1, 0):,}."
        )
    groups: dict[str, list[int]] = {}
    for position, example in enumerate(examples):
        groups.setdefault(normalised_inputs(example), []).append(position)
    dev: set[int] = set()
    for text in sorted(groups, key=lambda text: _rank(text, seed)):
        if len(dev) + len(groups[text]) <= n:
            dev.update(groups[text])
    if not dev:
        raise UserError(
            f"No development split of {n:,}: every text repeats in more than {n:,} of the "
            f"{len(examples):,} rows. Take a larger split, or more varied data."
        )
    train = tuple(e for i, e in enumerate(examples) if i not in dev)
    return train, tuple(e for i, e in enumerate(examples) if i in dev)


def _rank(text: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{text}".encode()).digest()


@dataclass(frozen=True, slots=True)
class Parts:
    """Which part each row goes to."""

    names: tuple[str, ...]
    of_row: tuple[int, ...]
    """For each row the number of its part."""
    groups: int
    """Rows that repeat each other, nearly or exactly, are one group."""
    largest_group: int

    def rows(self, part: int) -> list[int]:
        """Return the rows of a part, ascending."""
        return [row for row, its in enumerate(self.of_row) if its == part]


def read_shares(parts: Sequence[str]) -> dict[str, float]:
    """Read `NAME=SHARE` as the user wrote it.

    Raises:
        UserError: another form, a name that is not a file's, or shares that do not come to 1.
    """
    shares: dict[str, float] = {}
    for part in (piece for text in parts for piece in text.split(",")):
        name, _, text = part.partition("=")
        try:
            share = float(text)
        except ValueError:
            share = -1
        if not (re.fullmatch(r"\w[\w.-]*", name) and 0 < share < 1):
            raise UserError(f"A part is NAME=SHARE with a share between 0 and 1, not '{part}'.")
        if name in shares:
            raise UserError(f"Part '{name}' is named twice.")
        shares[name] = share
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise UserError(f"The shares come to {sum(shares.values()):g}. They have to come to 1.")
    return shares


def split_into_parts(
    examples: Sequence[Example],
    shares: Mapping[str, float],
    seed: int,
    *,
    threshold: float = THRESHOLD,
    linked: Iterable[tuple[int, int]] = (),
) -> Parts:
    """Split examples into parts that resemble each other in size and labels.

    Near duplicates and whatever a chain of them connects go to one part. Groups are handed out
    largest first, and among equals in an order that the seed and their text decide; each goes
    where it brings the counts of all labels (each field's, and those of all fields together)
    nearest to the shares, by the chi-square distance. That is iterative stratification
    (Sechidis, Tsoumakas and Vlahavas 2011) with groups for rows and a distance for its rule.

    Shares come to 1; `linked` has further pairs of rows that belong together.

    Raises:
        UserError: a part gets no row.
    """
    import numpy as np

    groups = _joined(duplicate_groups(examples, threshold=threshold), linked)
    columns: dict[tuple[str, str], int] = {}
    keys = [[columns.setdefault(key, len(columns)) for key in _strata(e)] for e in examples]
    counts = np.zeros((len(groups), len(columns)))
    for number, rows in enumerate(groups):
        for row in rows:
            counts[number, keys[row]] += 1
    wanted = np.outer(list(shares.values()), counts.sum(axis=0))
    so_far = np.zeros_like(wanted)
    part_of = [0] * len(examples)
    ranks = [_rank(normalised_inputs(examples[rows[0]]), seed) for rows in groups]
    for number in sorted(range(len(groups)), key=lambda n: (-len(groups[n]), ranks[n])):
        its = counts[number]
        # The change of sum((so_far - wanted)^2 / wanted), without what no part changes.
        change = ((2 * (so_far - wanted) + its) * its / wanted).sum(axis=1)
        part = int(change.argmin())
        so_far[part] += its
        for row in groups[number]:
            part_of[row] = part
    empty = [name for part, name in enumerate(shares) if part not in part_of]
    if empty:
        raise UserError(
            f"Part '{empty[0]}' gets no row: {len(examples):,} rows in {len(groups):,} groups of "
            "near duplicates are too few. Take a larger share, or fewer parts."
        )
    return Parts(tuple(shares), tuple(part_of), len(groups), max(map(len, groups)))


def _strata(example: Example) -> list[tuple[str, str]]:
    """What is to be spread evenly: each label, all of them together, and the row itself."""
    keys = [("", ""), ("", repr(sorted(example.labels.items())))]
    for name, label in example.labels.items():
        parts = label if isinstance(label, tuple) else (label,)
        keys += [(name, str(part)) for part in parts]
    return keys


def _joined(group_of: Sequence[int], linked: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Return the rows of each group, groups with linked rows made one."""
    components = Components(max(group_of, default=-1) + 1)
    for one, other in linked:
        components.join(group_of[one], group_of[other])
    groups: dict[int, list[int]] = {}
    for row, group in enumerate(group_of):
        groups.setdefault(components.find(group), []).append(row)
    return list(groups.values())
