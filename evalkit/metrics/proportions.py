"""Shares of a count, with Wilson intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

from evalkit.errors import InsufficientData
from evalkit.metrics.grouping import group_members, typical_size
from evalkit.records import Estimate

Z95 = NormalDist().inv_cdf(0.975)
"""1.96: the normal quantile of a two-sided 95% interval."""


def proportion(successes: int, n: int, *, asked: str = "a proportion") -> Estimate:
    """Return successes / n with its 95% Wilson interval, for n independent rows.

    `asked` names the number in the error's message. Raises `InsufficientData` where n is 0,
    and `ValueError` where the counts are impossible.
    """
    if n == 0:
        raise InsufficientData(f"{asked}: there is no row to count it on")
    if not 0 <= successes <= n:
        raise ValueError(f"{asked}: {successes} of {n} is not a proportion")
    low, high = wilson(successes / n, n)
    return Estimate(successes / n, n, low, high, "wilson", successes)


def share(
    hits: Sequence[bool], *, groups: Sequence[int] | None = None, asked: str = "a proportion"
) -> Estimate:
    """Return the share of rows that are hits, with its 95% Wilson interval.

    Args:
        hits: one per row.
        groups: a number per row; rows of one number are near-duplicates of each other. Where
            some are, the interval is Wilson's at the effective number of rows (see
            `effective_rows`) and its method "wilson, clustered". It is never narrower than
            that of as many independent rows.
        asked: names the number in the error's message.

    Raises:
        InsufficientData: there are no rows.
        ValueError: hits and groups differ in length.
    """
    plain = proportion(sum(map(bool, hits)), len(hits), asked=asked)
    members = group_members(groups, len(hits))
    if members is None:
        return plain
    low, high = wilson(plain.value, effective_rows(hits, groups))
    method = "wilson, clustered"
    return Estimate(plain.value, plain.n, low, high, method, plain.successes, len(members))


def effective_rows(values: Sequence[float], groups: Sequence[int] | None = None) -> float:
    """Return how many independent rows would tell as much of a mean of values as these do.

    Values are 0 or 1 (misses and hits), or differences of such. The answer is n over the design
    effect: the variance of the mean between groups, by the ratio estimator, over that of
    independent rows (Kish, Survey Sampling, 1965; Rao and Scott, Biometrics 48, 1992). It goes
    with the Wilson interval as Korn and Graubard (Survey Methodology 24, 1998) take it with the
    exact one and Dean and Pagano (Journal of Survey Statistics and Methodology 3, 2015) with
    Wilson's, with Korn and Graubard's factor of t quantiles for few groups, and is kept between
    1 and n.

    A design effect measured on a handful of mistakes is mostly noise, and where all values are
    equal there is none to measure. So two more groups of typical size (the mean group size of a
    row) are counted in, with every row off the mean by 1. Where all values are equal that leaves
    the design effect of rows that always agree with their group, n²/Σm² rows; where many are
    not it does not matter. (With one such group, simulated intervals of 95% held 91.6%.)

    Raises:
        InsufficientData: there are no rows.
        ValueError: values and groups differ in length.
    """
    n = len(values)
    if n == 0:
        raise InsufficientData("effective rows: there is no row to count")
    members = group_members(groups, n)
    if members is None:
        return float(n)
    if len(members) == 1:
        return 1.0
    from scipy.special import stdtrit

    mean = math.fsum(values) / n
    alone = math.fsum((value - mean) ** 2 for value in values)
    off = math.fsum(math.fsum(values[row] - mean for row in rows) ** 2 for rows in members)
    between = off * len(members) / (len(members) - 1)
    typical = typical_size(members)
    design_effect = (between + 2 * typical**2) / (alone + 2 * typical)
    few = float(stdtrit(n - 1, 0.975) / stdtrit(len(members) - 1, 0.975)) ** 2
    return min(max(n / design_effect * few, 1.0), float(n))


def wilson(value: float, n: float) -> tuple[float, float]:
    """Return the ends of the 95% Wilson interval of a share of n rows.

    They are the shares that a score test at 5% does not reject (Wilson, JASA 22, 1927; method 3
    of Newcombe, Statistics in Medicine 17, 857-872, 1998). n may be a fraction.
    """
    spread = Z95**2 / n
    centre = (value + spread / 2) / (1 + spread)
    half = math.sqrt(spread * (value * (1 - value) + spread / 4)) / (1 + spread)
    # At the bounds the ends are 0 and 1; rounding must not move them past the value.
    return max(0.0, min(centre - half, value)), min(1.0, max(centre + half, value))
