"""Whether a system's confidence means anything.

Everywhere `confidences` and `correct` are parallel: the probability in [0, 1] that a system gave
to its answer on a row, and whether the answer was right. All raise `InsufficientData` where there
are no rows, and `ValueError` where a confidence is not a probability.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.errors import InsufficientData
from evalkit.metrics.bootstrap import BoundedStatistic, bootstrap, mean_statistic
from evalkit.metrics.grouping import content_order, pick_groups
from evalkit.metrics.proportions import share
from evalkit.records import Estimate

BINS = 10


def expected_calibration_error(
    confidences: Sequence[float],
    correct: Sequence[bool],
    *,
    bins: int = BINS,
    groups: Sequence[int] | None = None,
    seed: int = 0,
) -> Estimate:
    """Return how far confidence and accuracy are apart (ECE), with a bootstrap interval.

    The distance between mean confidence and accuracy in each of `bins` bins of equal width,
    averaged over rows (Naeini, Cooper and Hauskrecht, AAAI 2015; Guo et al., ICML 2017).

    It is biased upwards: chance alone parts the two in every bin, so that a system with perfect
    confidence gets more than 0, the more the fewer rows there are (docs/statistics.md has
    figures), and the interval does not correct that. It also depends on the bins. Compare it on
    the same rows only, or use `brier`.

    Raises `ValueError` also where `bins` is below 1.
    """
    _check(confidences, correct, "calibration error")
    edges = _edges(bins)
    order, groups = content_order(list(zip(confidences, correct, strict=True)), groups)
    import numpy as np

    inside = np.zeros((len(order), bins))
    for position, row in enumerate(order):
        inside[position, _bin_of(confidences[row], edges)] = 1
    gaps = inside * np.array([[confidences[row] - bool(correct[row])] for row in order])
    statistic = BoundedStatistic(lambda w: np.abs(w @ gaps).sum(axis=1) / w.sum(axis=1))
    return bootstrap(
        statistic, len(order), seed=seed, asked="expected calibration error", groups=groups
    )


def brier(
    confidences: Sequence[float],
    correct: Sequence[bool],
    *,
    groups: Sequence[int] | None = None,
    seed: int = 0,
) -> Estimate:
    """Return the mean squared distance between confidence and being right, 1 or 0.

    Nought is best, and always saying 0.5 gives 0.25 (Brier, Monthly Weather Review 78, 1-3,
    1950, in the form for two outcomes). It is lowered by being right and by knowing when, and
    unlike the calibration error it is not biased. With a bootstrap interval.
    """
    _check(confidences, correct, "Brier score")
    pairs = list(zip(confidences, correct, strict=True))
    order, groups = content_order(pairs, groups)
    squares = [(pairs[row][0] - bool(pairs[row][1])) ** 2 for row in order]
    return bootstrap(
        mean_statistic(squares), len(order), seed=seed, asked="Brier score", groups=groups
    )


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The rows whose confidence lies in one range."""

    low: float
    high: float
    """Confidences are at least `low` and below `high`; in the last bin also at `high`."""
    mean_confidence: float
    accuracy: Estimate
    """With the number of rows in it."""


def reliability_curve(
    confidences: Sequence[float],
    correct: Sequence[bool],
    *,
    bins: int = BINS,
    groups: Sequence[int] | None = None,
) -> list[ReliabilityBin]:
    """Return confidence and accuracy by range of confidence, in bins of equal width.

    Bins without rows are left out. Raises `ValueError` also where `bins` is below 1.
    """
    _check(confidences, correct, "reliability curve")
    edges = _edges(bins)
    rows_of: list[list[int]] = [[] for _ in range(bins)]
    for row, confidence in enumerate(confidences):
        rows_of[_bin_of(confidence, edges)].append(row)
    return [
        ReliabilityBin(
            position / bins,
            (position + 1) / bins,
            math.fsum(confidences[row] for row in rows) / len(rows),
            _accuracy(correct, rows, groups),
        )
        for position, rows in enumerate(rows_of)
        if rows
    ]


@dataclass(frozen=True, slots=True)
class CoveragePoint:
    """What is right among the answers that a system is sure enough of."""

    asked: float
    """The share of rows asked for."""
    threshold: float
    """The confidence that takes in as many: answers with at least this much are kept."""
    coverage: float
    """The share of rows kept; more than asked for where confidences are tied."""
    accuracy: Estimate
    """Of the rows kept."""


def accuracy_at_coverage(
    confidences: Sequence[float],
    correct: Sequence[bool],
    coverages: Sequence[float],
    *,
    groups: Sequence[int] | None = None,
) -> list[CoveragePoint]:
    """Return the accuracy on the most confident rows, for shares of rows (El-Yaniv and Wiener).

    The answers kept are those with at least the confidence of the last row that is needed. A
    threshold cannot part rows of equal confidence, so that all of them are kept; order plays no
    part. The interval takes the threshold as given, though it was read off the same rows.

    El-Yaniv and Wiener, Journal of Machine Learning Research 11, 1605-1641, 2010.

    Raises `ValueError` also where a coverage does not lie above 0 and up to 1.
    """
    _check(confidences, correct, "accuracy at a coverage")
    n = len(confidences)
    falling = sorted(confidences, reverse=True)
    points = []
    for asked in coverages:
        if not 0 < asked <= 1:
            raise ValueError(f"a coverage has to lie above 0 and up to 1: {asked}")
        # Rounding first, so that 0.07 of 100 rows is 7 in spite of binary fractions.
        threshold = falling[max(math.ceil(round(asked * n, 9)), 1) - 1]
        kept = [row for row, confidence in enumerate(confidences) if confidence >= threshold]
        accuracy = _accuracy(correct, kept, groups)
        points.append(CoveragePoint(asked, threshold, len(kept) / n, accuracy))
    return points


def _accuracy(
    correct: Sequence[bool], rows: Sequence[int], groups: Sequence[int] | None
) -> Estimate:
    return share(
        [correct[row] for row in rows],
        groups=pick_groups(groups, rows, len(correct)),
        asked="accuracy",
    )


def _check(confidences: Sequence[float], correct: Sequence[bool], asked: str) -> None:
    if len(confidences) != len(correct):
        raise ValueError(f"{len(confidences)} confidences for {len(correct)} answers")
    if not confidences:
        raise InsufficientData(f"{asked}: there is no answer with a confidence")
    for confidence in confidences:
        if not 0 <= confidence <= 1:  # also refuses nan
            raise ValueError(f"{asked}: a confidence of {confidence} is not a probability")


def _edges(bins: int) -> list[float]:
    """Return where each bin but the first begins."""
    if bins < 1:
        raise ValueError(f"there have to be bins, and not {bins}")
    return [position / bins for position in range(1, bins)]


def _bin_of(confidence: float, edges: Sequence[float]) -> int:
    return bisect_right(edges, confidence)
