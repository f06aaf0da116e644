"""What a number of cases can show: the smallest drop they notice, and how many would settle."""

from __future__ import annotations

import math
from statistics import NormalDist

from evalkit.errors import InsufficientData
from evalkit.metrics.proportions import Z95
from evalkit.records import Estimate

MOST_CASES = 1_000_000
"""`cases_to_settle` gives up beyond this."""


def detectable_drop(
    n: int, value: float, *, power: float = 0.8, alpha: float = 0.05
) -> float | None:
    """Return the smallest true drop below a share that n independent cases would notice.

    To notice is to reject, by the exact binomial test, one-sided at `alpha`, that the true
    share is `value` or more. The drop is absolute: 0.06 is six points. For a share that must
    not be exceeded, ask with 1 - value.

    Args:
        n: number of independent cases; of clustered rows see `independent_rows`.
        value: the share to fall below, such as a threshold.
        power: how often such a drop has to be noticed.
        alpha: how often no drop may be taken for one.

    Returns:
        The drop, or None where no drop at all would be noticed that often.

    Raises:
        InsufficientData: n is 0.
        ValueError: value, power or alpha is not a share.
    """
    if n < 1:
        raise InsufficientData("detectable drop: there are no cases")
    _check_shares(power, alpha)
    if not 0 <= value <= 1:
        raise ValueError(f"{value} is not a share")
    # scipy.stats has the binomial under a plainer name, and takes a second to import.
    import numpy as np
    from scipy.special import bdtr, betaincinv

    # The most successes that still reject.
    at_most = bdtr(np.arange(n + 1.0), n, value)
    most = int(np.searchsorted(at_most, alpha, side="right")) - 1
    if most < 0:
        return None
    # P(X <= most | n, p) = power, solved for p by the beta form of the binomial's tail.
    return value - float(betaincinv(most + 1, n - most, 1 - power))


def cases_to_settle(
    estimate_value: float, threshold: float, *, n_now: int, power: float = 0.8
) -> int | None:
    """Return how many cases in all would put the 95% Wilson interval on one side of a threshold.

    That often (`power`) a new sample of so many independent cases would do so if the true share
    v is the value measured, which it hardly ever is exactly; read it as an order of magnitude. A
    score interval leaves a threshold t out where |share - t| > 1.96 √(t(1 - t)/n). By the normal
    approximation that takes √n |v - t| = 1.96 √(t(1 - t)) + z(power) √(v(1 - v)), solved for n.

    Args:
        estimate_value: the share measured.
        threshold: the share to tell it from.
        n_now: the cases there are; the answer is never less.
        power: how often so many cases have to be enough; 0.5 is even odds.

    Returns:
        The number of cases, or None where value and threshold are equal (no number of cases
        would do) or more than a million would be needed.

    Raises:
        ValueError: value, threshold or power is not a share, or n_now is negative.
    """
    _check_shares(power, 0.05)
    if not (0 <= estimate_value <= 1 and 0 <= threshold <= 1 and n_now >= 0):
        raise ValueError(f"no shares or no count: {estimate_value}, {threshold}, {n_now}")
    apart = abs(estimate_value - threshold)
    if math.isclose(apart, 0.0, abs_tol=1e-12):
        return None
    spread = Z95 * math.sqrt(threshold * (1 - threshold))
    spread += NormalDist().inv_cdf(power) * math.sqrt(estimate_value * (1 - estimate_value))
    needed = math.floor((spread / apart) ** 2) + 1
    needed = max(needed, n_now, 1)
    return needed if needed <= max(MOST_CASES, n_now) else None


def independent_rows(estimate: Estimate) -> int:
    """Return how many independent rows a share's interval is worth, rounded down.

    That is its n where its rows are independent, and fewer where near-duplicates are grouped:
    the n of the Wilson interval of the same width. Give it to `detectable_drop`. To get from
    `cases_to_settle` of it to rows of the same kind, multiply by n over it.

    Raises `ValueError` where the estimate is not a share with an interval inside 0 and 1.
    """
    value, width = estimate.value, estimate.high - estimate.low
    if not (0 <= estimate.low <= value <= estimate.high <= 1 and 0 < width < 1):
        raise ValueError(f"not a share with an interval: {estimate}")
    # With s = 1.96²/n the Wilson interval's width w has w²(1 + s)² = 4 s v(1 - v) + s².
    square, linear = 1 - width**2, 2 * width**2 - 4 * value * (1 - value)
    spread = (linear + math.sqrt(linear**2 + 4 * square * width**2)) / (2 * square)
    return max(1, math.floor(Z95**2 / spread + 1e-6))


def paired_detectable_difference(
    n: int, discordant_rate: float, *, power: float = 0.8, alpha: float = 0.05
) -> float | None:
    """Return the smallest true difference of two shares on the same n rows that is noticed.

    To notice is to reject by McNemar's test, two-sided at `alpha`. By the normal approximation
    of Connor (Biometrics 43, 207-211, 1987), √n δ = z(alpha/2) √ψ + z(power) √(ψ - δ²),
    solved for the difference δ.

    Args:
        n: number of rows.
        discordant_rate: ψ, the share of rows on which exactly one of the two is right.
        power: how often such a difference has to be noticed.
        alpha: how often no difference may be taken for one.

    Returns:
        The difference (absolute, at most ψ), or None where even the greatest possible one,
        every differing row in favour of the same system, would not be noticed that often.

    Raises:
        InsufficientData: n is 0.
        ValueError: discordant_rate, power or alpha is not a share.
    """
    if n < 1:
        raise InsufficientData("detectable difference: there are no rows")
    _check_shares(power, alpha)
    if not 0 <= discordant_rate <= 1:
        raise ValueError(f"{discordant_rate} is not a share")
    significance, reach = NormalDist().inv_cdf(1 - alpha / 2), NormalDist().inv_cdf(power)
    under_root = n + reach**2 - significance**2
    if under_root < 0:
        return None
    root = significance * math.sqrt(n) + reach * math.sqrt(under_root)
    difference = math.sqrt(discordant_rate) * root / (n + reach**2)
    return difference if 0 < difference <= discordant_rate else None


def _check_shares(power: float, alpha: float) -> None:
    if not (0 < power < 1 and 0 < alpha < 1):
        raise ValueError(f"power {power} and alpha {alpha} have to lie between 0 and 1")
