"""Numbers as people read them."""

from __future__ import annotations

from evalkit.evaluation import PairedComparison
from evalkit.gates import Policy
from evalkit.printable import printable
from evalkit.records import Estimate

LEAST_SECONDS = 1e-6
"""What runs keep."""


def number(value: float, unit: str = "%") -> str:
    """A share in percent, anything else with two decimals."""
    return f"{value:.1%}" if unit == "%" else f"{value:.2f}"


def interval(estimate: Estimate, unit: str = "%") -> str:
    """The 95% interval without its unit."""
    if unit == "%":
        return f"{100 * estimate.low:.1f}-{100 * estimate.high:.1f}"
    return f"{estimate.low:.2f}-{estimate.high:.2f}"


def points(difference: float, unit: str = "%") -> str:
    """A difference with its sign, in percentage points where the unit is percent."""
    return f"{100 * difference:+.1f}" if unit == "%" else f"{difference:+.2f}"


def p_value(p: float) -> str:
    """A p-value with its sign of relation."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def tested(method: str, p: float) -> str:
    """A test with its p-value, said once: `McNemar mid-p < 0.001`."""
    if method.endswith("mid-p"):
        return f"{method} {p_value(p).removeprefix('p ')}"
    return f"{method}: {p_value(p)}"


def needed(policy: Policy, unit: str = "%") -> str:
    """The bound, with its direction."""
    bound = policy.threshold
    if policy.compares:
        share = policy.min_relative_difference
        relative = f" ({100 * share:+.4g}%)" if share is not None else ""
        return f"> {points(bound, unit) if bound else 0}{relative}"
    shown = f"{100 * bound:.4g}%" if unit == "%" else f"{bound:.4g}"
    if policy.min_value is not None:
        return f">= {shown}"
    return f"<= {shown}" if bound else "0"


def paired_line(paired: PairedComparison) -> str:
    """A comparison on one line: both numbers, the difference, the test."""
    found, unit = paired.comparison, paired.metric.unit
    one, other = (number(e.value, unit) for e in (found.first, found.second))
    low, high = points(found.low, unit), points(found.high, unit)
    line = (
        f"{printable(paired.metric.name)}: {printable(paired.first)} {one}, "
        f"{printable(paired.second)} {other}, "
        f"{points(found.difference, unit)} (95% {low} to {high}), "
        f"{tested(found.method, found.p_value)}, {found.n} rows"
    )
    if paired.won or paired.lost:
        line += f"; {len(paired.won)} won, {len(paired.lost)} lost"
    return line


def bare(x: float, unit: str = "%") -> str:
    """A number without its unit."""
    return f"{100 * x:.1f}" if unit == "%" else f"{x:.2f}"


def bare_p(p: float) -> str:
    """A p-value under a heading that says what it is."""
    return p_value(p).removeprefix("p ").removeprefix("= ")


def time_text(seconds: float) -> str:
    """A time in the unit that suits it: `94 ms`."""
    if seconds < LEAST_SECONDS:
        return "< 1 µs"
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= 0.9995 * size:
            return f"{seconds / size:,.3g} {unit}" if seconds < 999.5 else f"{seconds:,.0f} s"
    raise AssertionError(seconds)
