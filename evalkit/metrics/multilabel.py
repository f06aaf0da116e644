"""How right the answers are on fields whose labels are sets.

Everywhere a label is a tuple that names at least one value, and an answer that gives no set
(`Missing`, `OutOfEnum`, or None where the whole answer could not be parsed) counts as the empty
set: it has nothing right and misses all there is.
All raise `InsufficientData` where there are no rows, and `ValueError` where a truth is not a set
or names nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.errors import InsufficientData
from evalkit.metrics.bootstrap import BoundedStatistic, bootstrap, mean_statistic
from evalkit.metrics.classification import Predicted, f1, holds, precision, recall
from evalkit.metrics.grouping import content_order
from evalkit.records import Estimate, Label


def jaccard(
    truth: Sequence[Label],
    predicted: Sequence[Predicted],
    *,
    groups: Sequence[int] | None = None,
    seed: int = 0,
) -> Estimate:
    """Return the mean over rows of values in both sets over values in either.

    scikit-learn's `jaccard_score(average="samples")`, with a bootstrap interval, which depends
    on the seed and the rows, not on their order.
    """
    scores = _overlaps(truth, predicted)
    order, groups = content_order(scores, groups)
    statistic = mean_statistic([scores[row] for row in order])
    return bootstrap(statistic, len(scores), seed=seed, asked="Jaccard", groups=groups)


def jaccard_statistic(truth: Sequence[Label], predicted: Sequence[Predicted]) -> BoundedStatistic:
    """Return `jaccard` as a statistic of rows in their order, for paired comparisons."""
    return mean_statistic(_overlaps(truth, predicted))


def micro_f1(
    truth: Sequence[Label],
    predicted: Sequence[Predicted],
    *,
    groups: Sequence[int] | None = None,
    seed: int = 0,
) -> Estimate:
    """Return the F1 over all values of all rows together, with a bootstrap interval.

    Twice the values in both sets over the values in one and the values in the other, each summed
    over rows: scikit-learn's `f1_score(average="micro")`. Rows with many values count for more.
    The interval depends on the seed and the rows, not on their order.
    """
    counts = _counts(truth, predicted)
    order, groups = content_order(counts, groups)
    statistic = _micro_f1([counts[row] for row in order])
    return bootstrap(statistic, len(counts), seed=seed, asked="micro-F1", groups=groups)


def micro_f1_statistic(truth: Sequence[Label], predicted: Sequence[Predicted]) -> BoundedStatistic:
    """Return `micro_f1` as a statistic of rows in their order, for paired comparisons."""
    return _micro_f1(_counts(truth, predicted))


@dataclass(frozen=True, slots=True)
class LabelScores:
    """What one value's answers are worth."""

    value: str | int
    support: int
    """Rows that have it."""
    named: int
    """Rows that say it."""
    precision: Estimate | None
    """None where no row says it."""
    recall: Estimate | None
    """None where no row has it."""
    f1: Estimate | None
    """None where no row has it or says it."""


def label_scores(
    truth: Sequence[Label],
    predicted: Sequence[Predicted],
    values: Sequence[str | int],
    *,
    groups: Sequence[int] | None = None,
    seed: int = 0,
) -> list[LabelScores]:
    """Return precision, recall and F1 of each value, in the order of `values`.

    Also for fields of one label per row.
    """
    if not truth:
        raise InsufficientData("scores by value: there is no row to compute them on")
    table = []
    for value in values:
        support = sum(holds(label, value) for label in truth)
        named = sum(holds(reading, value) for reading in predicted)
        table.append(
            LabelScores(
                value,
                support,
                named,
                precision(truth, predicted, value, groups=groups) if named else None,
                recall(truth, predicted, value, groups=groups) if support else None,
                f1(truth, predicted, value, groups=groups, seed=seed) if support or named else None,
            )
        )
    return table


_Set = frozenset[str]


def _sets(
    truth: Sequence[Label], predicted: Sequence[Predicted], asked: str
) -> list[tuple[_Set, _Set]]:
    """Return the right values and those named, by row."""
    if not truth and not predicted:
        raise InsufficientData(f"{asked}: there is no row to compute it on")
    pairs = []
    for label, reading in zip(truth, predicted, strict=True):
        if not isinstance(label, tuple) or not label:
            raise ValueError(f"{asked}: truth {label!r} is not a set of values")
        if isinstance(reading, str | int):
            raise ValueError(f"{asked}: answer {reading!r} is not a set of values")
        pairs.append((frozenset(label), frozenset(reading if isinstance(reading, tuple) else ())))
    return pairs


def _overlaps(truth: Sequence[Label], predicted: Sequence[Predicted]) -> list[float]:
    pairs = _sets(truth, predicted, "Jaccard")
    return [len(right & named) / len(right | named) for right, named in pairs]


def _counts(truth: Sequence[Label], predicted: Sequence[Predicted]) -> list[tuple[int, int]]:
    """Return the number of values in both sets, and in the two together, by row."""
    pairs = _sets(truth, predicted, "micro-F1")
    return [(len(right & named), len(right) + len(named)) for right, named in pairs]


def _micro_f1(counts: Sequence[tuple[int, int]]) -> BoundedStatistic:
    import numpy as np

    table = np.array(counts, dtype=np.float64)
    return BoundedStatistic(lambda weights: 2 * (weights @ table[:, 0]) / (weights @ table[:, 1]))
