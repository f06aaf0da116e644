"""How right the answers are: accuracy, recall, precision, F1 and confusion.

Everywhere `truth` and `said` are parallel: one label and one reading per row. A reading that
gives no label (`Missing`, `OutOfEnum`, or None where the whole answer could not be parsed)
stays in the denominator and is wrong. On a multi-label field a label is a set (a tuple in the
task's order): accuracy asks for exactly the right set; recall, precision and F1 of a value ask
whether it is in the set.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.errors import InsufficientData
from evalkit.metrics.bootstrap import bootstrap
from evalkit.metrics.proportions import proportion
from evalkit.records import Estimate, Label, Missing, OutOfEnum

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Said = Label | Missing | OutOfEnum | None
"""What an answer gives one field; None where the answer could not be parsed."""


def accuracy(truth: Sequence[Label], said: Sequence[Said]) -> Estimate:
    """Return the share of rows with exactly the right label.

    Raises `InsufficientData` where there are no rows.
    """
    right = [label == reading for label, reading in zip(truth, said, strict=True)]
    return proportion(sum(right), len(right), asked="accuracy")


def all_fields_accuracy(
    truth: Sequence[Mapping[str, Label]], said: Sequence[Mapping[str, Said] | None]
) -> Estimate:
    """Return the share of rows with every field right.

    Each truth maps field names to labels; each reading maps the same names, or is None where
    the answer could not be parsed. Raises `InsufficientData` where there are no rows, and
    `KeyError` where a reading leaves a field out (say `Missing`): that is a fault in the
    caller, not a wrong answer.
    """
    right = [
        # The whole reading is looked up, so that a field left out shows even on wrong answers.
        reading is not None and {name: reading[name] for name in labels} == dict(labels)
        for labels, reading in zip(truth, said, strict=True)
    ]
    return proportion(sum(right), len(right), asked="accuracy over all fields")


def recall(truth: Sequence[Label], said: Sequence[Said], value: str | int) -> Estimate:
    """Return the share of the rows that have a value which also say it.

    Raises `InsufficientData` where no row has it.
    """
    hits = [_has(r, value) for label, r in zip(truth, said, strict=True) if _has(label, value)]
    return proportion(sum(hits), len(hits), asked=f"recall of {value!r} (in no row's truth)")


def precision(truth: Sequence[Label], said: Sequence[Said], value: str | int) -> Estimate:
    """Return the share of the rows that say a value which also have it.

    Raises `InsufficientData` where no row says it.
    """
    hits = [_has(label, value) for label, r in zip(truth, said, strict=True) if _has(r, value)]
    return proportion(sum(hits), len(hits), asked=f"precision of {value!r} (never predicted)")


def f1(
    truth: Sequence[Label], said: Sequence[Said], value: str | int, *, seed: int = 0
) -> Estimate:
    """Return one value's F1, with a bootstrap interval.

    Raises `InsufficientData` where no row has the value and no row says it. Resamples in which
    that is so count as 0.
    """
    asked = f"F1 of {value!r}"
    table = _Memberships.of(truth, said, (value,))
    if not (table.truth.any() or table.said.any()):
        raise InsufficientData(f"{asked}: no row has the value and no row says it")
    return bootstrap(lambda weights: table.f1(weights)[:, 0], len(truth), seed=seed, asked=asked)


def macro_f1(truth: Sequence[Label], said: Sequence[Said], *, seed: int = 0) -> Estimate:
    """Return the mean F1 over the values present in `truth`, with a bootstrap interval.

    A value that occurs only in answers has no F1 of its own, but lowers that of the values it
    stands in for. This is scikit-learn's `f1_score(average="macro", zero_division=0)` with
    `labels` set to the values present in truth. Each resample averages over the values present
    in its own truth. The interval depends on the seed and the rows, not on their order.

    Raises `InsufficientData` where no row has a value.
    """
    values = tuple(sorted(_members(truth), key=repr))
    if not values:
        raise InsufficientData("macro-F1: there is no row to compute it on")
    table = _Memberships.of(truth, said, values)
    return bootstrap(table.macro_f1, len(truth), seed=seed, asked="macro-F1")


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often each label was read as each other, or as none."""

    values: tuple[Label, ...]
    """The labels, in the order of all rows and columns below."""
    counts: tuple[tuple[int, ...], ...]
    """`counts[i][j]`: rows with truth `values[i]` that say `values[j]`."""
    out_of_enum: tuple[int, ...]
    """Rows per truth whose answer names something that is not one of the values."""
    missing: tuple[int, ...]
    """Rows per truth whose answer leaves the field out."""
    unreadable: tuple[int, ...]
    """Rows per truth whose answer could not be parsed."""


def confusion(truth: Sequence[Label], said: Sequence[Said], values: Sequence[Label]) -> Confusion:
    """Count which label was said for which; every row is counted once.

    `values` gives the order, and has to hold every label that occurs (for a multi-label field
    the sets, each as one label). Raises `ValueError` where it does not.
    """
    place = {value: position for position, value in enumerate(values)}
    counts = [[0] * len(values) for _ in values]
    out_of_enum, missing, unreadable = ([0] * len(values) for _ in range(3))
    for label, reading in zip(truth, said, strict=True):
        if label not in place:
            raise ValueError(f"truth {label!r} is not among the values {tuple(values)}")
        row = place[label]
        if reading is None:
            unreadable[row] += 1
        elif isinstance(reading, Missing):
            missing[row] += 1
        elif isinstance(reading, OutOfEnum):
            out_of_enum[row] += 1
        elif reading in place:
            counts[row][place[reading]] += 1
        else:
            raise ValueError(f"answer {reading!r} is not among the values {tuple(values)}")
    return Confusion(
        tuple(values),
        tuple(tuple(row) for row in counts),
        tuple(out_of_enum),
        tuple(missing),
        tuple(unreadable),
    )


def _has(reading: Said, value: str | int) -> bool:
    return value in reading if isinstance(reading, tuple) else reading == value


def _members(labels: Iterable[Label]) -> set[str | int]:
    found: set[str | int] = set()
    for label in labels:
        found.update(label if isinstance(label, tuple) else (label,))
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Memberships:
    """Which row has and says which value, as (rows, values) arrays of 0 and 1."""

    truth: Floats
    said: Floats

    @classmethod
    def of(
        cls, truth: Sequence[Label], said: Sequence[Said], values: Sequence[str | int]
    ) -> _Memberships:
        import numpy as np

        pairs = sorted(
            ([_has(label, v) for v in values], [_has(reading, v) for v in values])
            for label, reading in zip(truth, said, strict=True)
        )  # sorted, so that the order of rows does not reach the bootstrap
        table = np.array(pairs, dtype=np.float64).reshape(len(pairs), 2, len(values))
        return cls(table[:, 0], table[:, 1])

    def f1(self, weights: Floats) -> Floats:
        """Return each value's F1 (resamples, values); 0 where a value does not occur at all."""
        import numpy as np

        both = weights @ (self.truth * self.said)
        either = weights @ (self.truth + self.said)
        scores: Floats = np.divide(2 * both, either, out=np.zeros_like(both), where=either > 0)
        return scores

    def macro_f1(self, weights: Floats) -> Floats:
        """Return the mean F1 (resamples,) over the values in each resample's truth."""
        import numpy as np

        present = (weights @ self.truth) > 0
        # A value that is not present has F1 0 and adds nothing to the sum. That none is present
        # needs labels that are empty sets, which no task allows.
        mean: Floats = self.f1(weights).sum(axis=1) / np.maximum(present.sum(axis=1), 1)
        return mean
