"""How right the answers are: recall, precision, F1 and confusion.

Everywhere `truth` and `predicted` are parallel: one label and one reading per row. A reading that
gives no label (`Missing`, `OutOfEnum`, or None where the whole answer could not be parsed)
stays in the denominator and is wrong. On a multi-label field a label is a set (a tuple in the
task's order): recall, precision and F1 of a value ask whether it is in the set.

`groups` gives a number per row; rows of one number are near-duplicates of each other, and the
intervals allow for that (`evalkit.metrics.proportions.share`, `evalkit.metrics.bootstrap`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.errors import InsufficientData
from evalkit.metrics.bootstrap import BoundedStatistic, bootstrap
from evalkit.metrics.grouping import content_order, pick_groups
from evalkit.metrics.proportions import share
from evalkit.records import Estimate, Label, Missing, OutOfEnum

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Predicted = Label | Missing | OutOfEnum | None
"""What an answer gives one field; None where the answer could not be parsed."""


def recall(
    truth: Sequence[Label],
    predicted: Sequence[Predicted],
    value: str | int,
    *,
    groups: Sequence[int] | None = None,
) -> Estimate:
    """Return the share of the rows that have a value which also say it.

    Raises `InsufficientData` where no row has it.
    """
    having = [row for row, label in enumerate(truth) if holds(label, value)]
    hits = [holds(reading, value) for _, reading in zip(truth, predicted, strict=True)]
    return share(
        [hits[row] for row in having],
        groups=pick_groups(groups, having, len(truth)),
        asked=f"recall of {value!r} (in no row's truth)",
    )


def precision(
    truth: Sequence[Label],
    predicted: Sequence[Predicted],
    value: str | int,
    *,
    groups: Sequence[int] | None = None,
) -> Estimate:
    """Return the share of the rows that say a value which also have it.

    The interval takes the rows that say it as given. Raises `InsufficientData` where no row
    says it.
    """
    hits = [holds(label, value) for label, _ in zip(truth, predicted, strict=True)]
    saying = [row for row, reading in enumerate(predicted) if holds(reading, value)]
    return share(
        [hits[row] for row in saying],
        groups=pick_groups(groups, saying, len(truth)),
        asked=f"precision of {value!r} (never predicted)",
    )


def f1(
    truth: Sequence[Label],
    predicted: Sequence[Predicted],
    value: str | int,
    *,
    groups: Sequence[int] | None = None,
    seed: int = 0,
) -> Estimate:
    """Return one value's F1, with a bootstrap interval.

    Raises `InsufficientData` where no row has the value and no row says it. Resamples in which
    that is so count as 0.
    """
    table, groups = Memberships.in_content_order(truth, predicted, (value,), groups)
    asked = f"F1 of {value!r}"
    if not table.concerned:
        raise InsufficientData(f"{asked}: no row has the value and no row says it")
    return bootstrap(table.bounded_f1(), len(truth), seed=seed, asked=asked, groups=groups)


def macro_f1(
    truth: Sequence[Label],
    predicted: Sequence[Predicted],
    *,
    groups: Sequence[int] | None = None,
    seed: int = 0,
) -> Estimate:
    """Return the mean F1 over the values in truth or answers, with a bootstrap interval.

    A value that is only ever said has an F1 of 0, as in scikit-learn's `f1_score(average="macro",
    zero_division=0)` without `labels`; what is none of the task's values is not a value here, and
    lowers the F1 of those that it stands in for. Each resample averages over the values in its own
    rows. The interval depends on the seed and the rows, not on their order.

    Raises `InsufficientData` where no row has a value.
    """
    table, groups = Memberships.in_content_order(
        truth, predicted, _values_of(truth, predicted), groups
    )
    return bootstrap(
        table.bounded_macro_f1(), len(truth), seed=seed, asked="macro-F1", groups=groups
    )


def macro_f1_statistic(truth: Sequence[Label], predicted: Sequence[Predicted]) -> BoundedStatistic:
    """Return `macro_f1` as a statistic of rows in their order, for paired comparisons.

    Raises `InsufficientData` where no row has a value.
    """
    return Memberships.of(truth, predicted, _values_of(truth, predicted)).bounded_macro_f1()


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


def confusion(
    truth: Sequence[Label], predicted: Sequence[Predicted], values: Sequence[Label]
) -> Confusion:
    """Count which label was said for which; every row is counted once.

    `values` gives the order, and has to hold every label that occurs (for a multi-label field
    the sets, each as one label). Raises `ValueError` where it does not.
    """
    place = {value: position for position, value in enumerate(values)}
    counts = [[0] * len(values) for _ in values]
    out_of_enum, missing, unreadable = ([0] * len(values) for _ in range(3))
    for label, reading in zip(truth, predicted, strict=True):
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


def holds(reading: Predicted, value: str | int) -> bool:
    """Return whether a label or reading is a value, or a set with it."""
    return value in reading if isinstance(reading, tuple) else reading == value


def _values_of(truth: Sequence[Label], predicted: Sequence[Predicted]) -> tuple[str | int, ...]:
    """Return the values that occur, in an order of their own.

    Raises `InsufficientData` where none does.
    """
    if not truth:
        raise InsufficientData("macro-F1: there is no row to compute it on")
    found: set[str | int] = set()
    for label in (*truth, *predicted):
        if isinstance(label, str | int | tuple):
            found.update(label if isinstance(label, tuple) else (label,))
    return tuple(sorted(found, key=repr))


@dataclass(frozen=True, slots=True, eq=False)
class Memberships:
    """Which row has and says which value, as (rows, values) arrays of 0 and 1."""

    truth: Floats
    predicted: Floats

    @classmethod
    def of(
        cls, truth: Sequence[Label], predicted: Sequence[Predicted], values: Sequence[str | int]
    ) -> Memberships:
        """Tabulate rows in their order."""
        return cls._from_pairs(_pairs(truth, predicted, values), len(values))

    @classmethod
    def in_content_order(
        cls,
        truth: Sequence[Label],
        predicted: Sequence[Predicted],
        values: Sequence[str | int],
        groups: Sequence[int] | None,
    ) -> tuple[Memberships, list[int] | None]:
        """Tabulate rows in their `content_order`; return the table and the group numbers."""
        pairs = _pairs(truth, predicted, values)
        order, numbers = content_order(pairs, groups)
        return cls._from_pairs([pairs[row] for row in order], len(values)), numbers

    @classmethod
    def _from_pairs(cls, pairs: Sequence[_Pair], values: int) -> Memberships:
        import numpy as np

        table = np.array(pairs, dtype=np.float64).reshape(len(pairs), 2, values)
        return cls(table[:, 0], table[:, 1])

    @property
    def concerned(self) -> int:
        """How many rows have or say any of the values."""
        return int((self.truth + self.predicted).any(axis=1).sum())

    def bounded_f1(self) -> BoundedStatistic:
        """Return the F1 of the first value as a statistic."""
        return BoundedStatistic(lambda weights: self.f1(weights)[:, 0], rows=self.concerned)

    def bounded_macro_f1(self) -> BoundedStatistic:
        """Return macro-F1 as a statistic."""
        import numpy as np

        # The variance of a mean over values is that of each, by its rows, over their number
        # squared: a value with few rows makes the mean uncertain, however many others have.
        # A value that is only said has the rows that say it.
        having, saying = self.truth.sum(axis=0), self.predicted.sum(axis=0)
        support = np.where(having > 0, having, saying)
        return BoundedStatistic(self.macro_f1, rows=len(support) ** 2 / float((1 / support).sum()))

    def f1(self, weights: Floats) -> Floats:
        """Return each value's F1 (resamples, values); 0 where a value does not occur at all."""
        import numpy as np

        both = weights @ (self.truth * self.predicted)
        either = weights @ (self.truth + self.predicted)
        scores: Floats = np.divide(2 * both, either, out=np.zeros_like(both), where=either > 0)
        return scores

    def macro_f1(self, weights: Floats) -> Floats:
        """Return the mean F1 (resamples,) over the values that each resample has or says."""
        import numpy as np

        present = (weights @ (self.truth + self.predicted)) > 0
        # A value that is not present has F1 0 and adds nothing to the sum. That none is present
        # needs labels that are empty sets, which no task allows.
        mean: Floats = self.f1(weights).sum(axis=1) / np.maximum(present.sum(axis=1), 1)
        return mean


_Pair = tuple[list[bool], list[bool]]


def _pairs(
    truth: Sequence[Label], predicted: Sequence[Predicted], values: Sequence[str | int]
) -> list[_Pair]:
    return [
        ([holds(label, value) for value in values], [holds(reading, value) for value in values])
        for label, reading in zip(truth, predicted, strict=True)
    ]
