"""Where the parts of a small drawing lie, in percent of its width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from evalkit.gates import Verdict
from evalkit.records import Estimate
from evalkit.reports.numbers import interval, needed, number, value, value_interval

_ENDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, slots=True)
class Drawn:
    """An estimate on a scale."""

    label: str
    """In words, for those who do not see it."""
    value: float
    low: float | None
    high: float | None
    """None where there is no interval, as for a count."""
    threshold: float | None = None
    allowed: tuple[float, float] | None = None
    """Start and width of the part of the scale on the right side of the threshold."""
    zero: float | None = None
    """Where 0 lies, if within the scale."""
    from_: str = ""
    to: str = ""
    """What stands at the ends of the scale."""

    @property
    def width(self) -> float:
        """Of the interval."""
        if self.low is None or self.high is None:
            return 0.0
        return round(self.high - self.low, 2)


def scale_of(verdicts: Sequence[Verdict]) -> tuple[float, float]:
    """A scale that the gates of one criterion can all be drawn on.

    From 0, or from minus its end where something is below 0 or is a difference, to the first round
    number above all there is to show; to 100% where shares have a lower bound.
    """
    shown = [
        x
        for verdict in verdicts
        for x in (
            verdict.estimate.value,
            verdict.estimate.low,
            verdict.estimate.high,
            verdict.policy.threshold,
        )
    ]
    reaches = any(v.policy.min_value is not None and v.unit == "%" for v in verdicts)
    end = max(1.0 if reaches else 0.0, round_above(max(abs(x) for x in shown)))
    below = min(shown) < 0 or any(verdict.contest is not None for verdict in verdicts)
    return (-end if below else 0.0), end


def gate_on_scale(verdict: Verdict, scale: tuple[float, float] | None = None) -> Drawn:
    """What a gate judged, against its threshold.

    Args:
        verdict: what the gate said.
        scale: what the ends of the drawing stand for, as `scale_of` gives it; the gate's own by
            default.
    """
    estimate, bound, unit = verdict.estimate, verdict.policy.threshold, verdict.unit
    start, end = scale or scale_of([verdict])

    def at(x: float) -> float:
        return round(100 * (min(max(x, start), end) - start) / (end - start), 2)

    counted = estimate.method == "count"
    threshold = at(bound)
    at_most = verdict.policy.max_value is not None
    signed = verdict.contest is not None
    between = "counted" if counted else f"95% interval {value_interval(verdict)}"
    return Drawn(
        f"{value(verdict)}, {between}, needs {needed(verdict.policy, unit)}",
        at(estimate.value),
        None if counted else at(estimate.low),
        None if counted else at(estimate.high),
        threshold,
        (0.0, threshold) if at_most else (threshold, round(100 - threshold, 2)),
        at(0.0) if start < 0 else None,
        _end(start, unit, signed),
        _end(end, unit, signed),
    )


def share_on_scale(estimate: Estimate, name: str = "") -> Drawn:
    """A share between 0 and 100%, with its interval."""
    label = f"{name} {number(estimate.value)}, 95% interval {interval(estimate)}, n = {estimate.n}"
    return Drawn(
        label.strip(),
        round(100 * estimate.value, 2),
        round(100 * max(estimate.low, 0), 2),
        round(100 * min(estimate.high, 1), 2),
    )


def round_above(x: float) -> float:
    """The first of 0.01, 0.02, 0.05 ... 0.75, 1 that is not below it, or a whole number.

    >>> round_above(0.12), round_above(1.0), round_above(2.3)
    (0.2, 1.0, 3.0)
    """
    return next((end for end in _ENDS if x <= end + 1e-9), float(ceil(x)))


def _end(x: float, unit: str, signed: bool) -> str:
    if unit != "%":
        return f"{x:+.3g}" if signed and x else f"{x:.3g}"
    return (f"{100 * x:+.4g}" if signed and x else f"{100 * x:.4g}") + ("" if signed else "%")
