"""One number of two systems on the same rows: is there a difference, and how large?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

from evalkit.errors import InsufficientData
from evalkit.metrics.bootstrap import (
    RESAMPLES,
    BoundedStatistic,
    Statistic,
    describe_draws,
    draw,
    with_value,
)
from evalkit.metrics.grouping import group_members, typical_size
from evalkit.metrics.proportions import Z95, effective_rows, share, wilson
from evalkit.records import Comparison

if TYPE_CHECKING:
    import numpy as np


def compare_hits(
    first: Sequence[bool],
    second: Sequence[bool],
    *,
    groups: Sequence[int] | None = None,
    asked: str = "a comparison",
) -> Comparison:
    """Hold the shares of hits of two systems on the same rows against each other.

    The p-value is McNemar's, two-sided, as mid-p: of the rows on which only one system is
    right, how likely is a split this uneven or worse where each goes either way with even odds,
    counting half of what is just as uneven? Fagerland, Lydersen and Laake (BMC Medical Research
    Methodology 13:91, 2013) recommend it over the exact test, which is needlessly conservative,
    and find that it keeps its level, which the asymptotic one often exceeds a little. It is 1
    where there is no such row.

    The interval of the difference is Newcombe's square-and-add (Statistics in Medicine 17,
    2635-2650, 1998, method 10). It may in rare cases disagree with the p-value about 0.

    Args:
        first: one per row, whether the first system is right.
        second: the same of the second.
        groups: a number per row; rows of one number are near-duplicates. Where some are, whole
            groups go either way: the p-value is that of all sign flips of the groups'
            differences, exactly, as mid-p ("McNemar, clustered"; with groups of one row it is
            the above), and the interval is taken at the effective number of rows, by the
            variance of the difference between groups.
        asked: names the number in errors.

    Raises:
        InsufficientData: there are no rows.
        ValueError: the sequences differ in length.
    """
    pairs = [(bool(one), bool(two)) for one, two in zip(first, second, strict=True)]
    n = len(pairs)
    if n == 0:
        raise InsufficientData(f"{asked}: there is no row to compare on")
    members = group_members(groups, n)
    counts = Counter(pairs)
    signs = [one - two for one, two in pairs]
    lopsided = signs if members is None else [sum(signs[row] for row in rows) for rows in members]
    low, high = _square_and_add(counts, effective_rows(signs, groups))
    return Comparison(
        share(first, groups=groups, asked=asked),
        share(second, groups=groups, asked=asked),
        sum(signs) / n,
        low,
        high,
        _sign_flip(lopsided),
        "McNemar mid-p" if members is None else "McNemar, clustered",
        n,
        counts[True, False],
        counts[False, True],
    )


def compare_statistics(
    first: Statistic,
    second: Statistic,
    n: int,
    *,
    seed: int | np.random.Generator,
    groups: Sequence[int] | None = None,
    resamples: int = RESAMPLES,
    asked: str = "a comparison",
) -> Comparison:
    """Hold a statistic of two systems on the same rows against each other by paired bootstrap.

    Each resample draws the same rows for both (whole groups where some rows share one). The
    resamples give the difference's variance V; interval and p-value are those of the normal
    distribution with variance V + 2(s/m)². Here m is n (over the typical group size) and s the
    greatest difference there can be, so that two differing rows, one in favour of each, are
    counted in, as Bonett and Price do for paired proportions (Journal of Educational and
    Behavioral Statistics 37, 479-488, 2012). Without them, and with percentiles more so, few
    rows find differences between equal systems too often, and systems that answer alike would
    be certain to be equal.

    Args:
        first: the first system's statistic of rows in their order, such as
            `macro_f1_statistic(truth, said)` makes. Without bounds, s is taken for 1.
        second: the same of the second system and the same rows.
        n: number of rows.
        seed: the same seed gives the same interval.
        groups: a number per row; rows of one number are near-duplicates.
        resamples: how often to draw.
        asked: names the number in errors.

    Raises:
        InsufficientData: n is 0, or the difference is not a number in more than 5% of the
            resamples.
        ValueError: a statistic is not a number on the rows themselves.
    """
    values, drawn = draw((first, second), n, groups, seed=seed, resamples=resamples, asked=asked)
    estimates = [
        describe_draws(statistic, value, row, n, groups, asked=asked)
        for statistic, value, row in zip((first, second), values, drawn, strict=True)
    ]
    members = group_members(groups, n)
    scales = [one.scale for one in (first, second) if isinstance(one, BoundedStatistic)]
    difference = values[0] - values[1]
    variance = float(with_value(drawn[0] - drawn[1], asked).var())
    rows = n / (typical_size(members) if members else 1)
    error = math.sqrt(variance + 2 * (max(scales, default=1.0) / rows) ** 2)
    return Comparison(
        estimates[0],
        estimates[1],
        difference,
        difference - Z95 * error,
        difference + Z95 * error,
        2 * NormalDist().cdf(-abs(difference) / error),
        "paired bootstrap, clustered" if members else "paired bootstrap",
        n,
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted so that judging each at 5% is wrong once in 5% of families.

    A family is all of the p-values together; they may depend on each other in any way. Holm's
    step-down method (Scandinavian Journal of Statistics 6, 65-70, 1979): the smallest of m is
    multiplied by m, the next by m - 1, and none may come out below one before it. The order of
    the values is kept.

    Raises `ValueError` where one does not lie in [0, 1].
    """
    if not all(0 <= p <= 1 for p in p_values):  # also refuses nan
        raise ValueError(f"not all p-values: {list(p_values)}")
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, position in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[position]))
        adjusted[position] = largest
    return adjusted


def _sign_flip(differences: Sequence[int]) -> float:
    """Return the two-sided mid-p of a sum where each term could as well have the other sign."""
    import numpy as np
    from scipy.special import gammaln

    sizes = Counter(abs(difference) for difference in differences if difference)
    if not sizes:
        return 1.0
    # The distribution of half of (sum + total): terms of one size make a binomial, stretched.
    chances = np.ones(1)
    for size, count in sizes.items():
        stretched = np.zeros(size * count + 1)
        k = np.arange(count + 1.0)
        ways = gammaln(count + 1) - gammaln(k + 1) - gammaln(count - k + 1)
        stretched[::size] = np.exp(ways - count * math.log(2))
        chances = np.convolve(chances, stretched)
    total = len(chances) - 1
    unevenness = np.abs(2 * np.arange(total + 1) - total)
    seen = abs(sum(differences))
    p_value = chances[unevenness > seen].sum() + chances[unevenness == seen].sum() / 2
    return min(1.0, float(p_value))


def _square_and_add(counts: Counter[tuple[bool, bool]], rows: float) -> tuple[float, float]:
    """Return Newcombe's interval of the difference, for counts scaled to so many rows."""
    scale = rows / counts.total()
    both, one = counts[True, True] * scale, counts[True, False] * scale
    two, neither = counts[False, True] * scale, counts[False, False] * scale
    first, second = (both + one) / rows, (both + two) / rows
    (low1, high1), (low2, high2) = wilson(first, rows), wilson(second, rows)
    margins = (both + one) * (two + neither) * (both + two) * (one + neither)
    excess = both * neither - one * two
    # Newcombe's continuity correction: a positive correlation is taken for less than it is.
    excess = max(excess - rows / 2, 0.0) if excess > 0 else excess
    phi = excess / math.sqrt(margins) if margins > 0 else 0.0

    def reach(a: float, b: float) -> float:
        return math.sqrt(max(a * a - 2 * phi * a * b + b * b, 0.0))

    difference = first - second
    low = difference - reach(first - low1, high2 - second)
    high = difference + reach(high1 - first, second - low2)
    return max(low, -1.0), min(high, 1.0)
