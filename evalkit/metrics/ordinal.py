"""How far off the answers are, on fields whose values have an order.

The distance between two values is that of their positions in `values`, in levels. A reading that
gives no label (`Missing`, `OutOfEnum`, or None where the whole answer could not be parsed) stays
in the denominator: it counts as the level that is farthest from the truth, the upper of two that
are equally far. So no system gains by leaving out an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evalkit.errors import InsufficientData
from evalkit.metrics.bootstrap import BoundedStatistic, bootstrap, mean_statistic
from evalkit.metrics.classification import Predicted
from evalkit.metrics.grouping import content_order
from evalkit.records import Estimate, Label, Missing, OutOfEnum

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def mean_absolute_error(
    truth: Sequence[Label],
    predicted: Sequence[Predicted],
    values: Sequence[Label],
    *,
    groups: Sequence[int] | None = None,
    seed: int = 0,
) -> Estimate:
    """Return how many levels the answers are off on average, with a bootstrap interval.

    An unreadable answer is as far off as the scale allows. Nought is best. The interval depends
    on the seed and the rows, not on their order.

    Raises:
        InsufficientData: there are no rows.
        ValueError: a label or an answer is not among the values.
    """
    pairs = _levels(truth, predicted, values)
    order, groups = content_order(pairs, groups)
    return bootstrap(
        _mean_absolute_error([pairs[row] for row in order], len(values)),
        len(pairs),
        seed=seed,
        asked="mean absolute error",
        groups=groups,
    )


def mean_absolute_error_statistic(
    truth: Sequence[Label], predicted: Sequence[Predicted], values: Sequence[Label]
) -> BoundedStatistic:
    """Return `mean_absolute_error` as a statistic of rows in their order."""
    return _mean_absolute_error(_levels(truth, predicted, values), len(values))


def quadratic_kappa(
    truth: Sequence[Label],
    predicted: Sequence[Predicted],
    values: Sequence[Label],
    *,
    groups: Sequence[int] | None = None,
    seed: int = 0,
) -> Estimate:
    """Return Cohen's kappa with quadratic weights, with a bootstrap interval.

    One minus the mean squared distance over the one to be expected if the same answers were
    given to rows at random (Cohen, Psychological Bulletin 70, 213-220, 1968): 1 is perfect, 0 is
    chance, less is worse than chance. An unreadable answer counts as the level farthest from
    the truth. Where all is readable this is scikit-learn's
    `cohen_kappa_score(weights="quadratic")`. Kappa depends on how the truths are spread over
    the levels: compare it on the same rows only. The interval depends on the seed and the rows,
    not on their order.

    Raises:
        InsufficientData: there are no rows, or truths and answers are all one level (in the
            rows or in more than 5% of resamples), so that there is nothing to agree on.
        ValueError: a label or an answer is not among the values.
    """
    pairs = _levels(truth, predicted, values)
    if len({level for pair in pairs for level in pair}) < 2:
        raise InsufficientData("quadratic kappa: there are not two levels to agree on")
    order, groups = content_order(pairs, groups)
    return bootstrap(
        _quadratic_kappa([pairs[row] for row in order], len(values)),
        len(pairs),
        seed=seed,
        asked="quadratic kappa",
        groups=groups,
    )


def quadratic_kappa_statistic(
    truth: Sequence[Label], predicted: Sequence[Predicted], values: Sequence[Label]
) -> BoundedStatistic:
    """Return `quadratic_kappa` as a statistic of rows in their order; nan where there is none."""
    return _quadratic_kappa(_levels(truth, predicted, values), len(values))


_Pair = tuple[int, int]


def _levels(
    truth: Sequence[Label], predicted: Sequence[Predicted], values: Sequence[Label]
) -> list[_Pair]:
    """Return the positions of each row's truth and answer among the values."""
    place = {value: position for position, value in enumerate(values)}
    pairs = []
    for label, reading in zip(truth, predicted, strict=True):
        if label not in place:
            raise ValueError(f"truth {label!r} is not among the values {tuple(values)}")
        level = place[label]
        if reading is None or isinstance(reading, Missing | OutOfEnum):
            last = len(values) - 1
            pairs.append((level, last if last - level >= level else 0))
        elif reading in place:
            pairs.append((level, place[reading]))
        else:
            raise ValueError(f"answer {reading!r} is not among the values {tuple(values)}")
    return pairs


def _mean_absolute_error(pairs: Sequence[_Pair], levels: int) -> BoundedStatistic:
    distances = [abs(level - read) for level, read in pairs]
    return mean_statistic(distances, greatest=max(levels - 1, 1))


def _quadratic_kappa(pairs: Sequence[_Pair], levels: int) -> BoundedStatistic:
    import numpy as np

    positions = np.arange(levels)
    cost = (positions[:, None] - positions) ** 2 / max(levels - 1, 1) ** 2
    table = np.array(pairs, dtype=np.intp).reshape(len(pairs), 2)
    distances = cost[table[:, 0], table[:, 1]]
    truth, predicted = np.eye(levels)[table[:, 0]], np.eye(levels)[table[:, 1]]

    def disagreement_by_chance(weights: Floats) -> Floats:
        rows = weights.sum(axis=1)
        found: Floats = ((weights @ truth @ cost) * (weights @ predicted)).sum(axis=1) / rows**2
        return found

    def kappa(weights: Floats) -> Floats:
        chance = disagreement_by_chance(weights)
        seen = weights @ distances / weights.sum(axis=1)
        ratio = np.divide(seen, chance, out=np.full_like(seen, np.nan), where=chance > 0)
        found: Floats = 1 - ratio
        return found

    # With these margins kappa would be least if every answer were as far off as can be.
    chance = float(disagreement_by_chance(np.ones((1, len(pairs))))[0]) if pairs else 0.0
    return BoundedStatistic(kappa, least=1 - 1 / chance if chance > 0 else -1.0)
