"""Drawings: what lies where. `templates/charts.html.j2` makes SVG of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor, log10
from typing import Any

from markupsafe import Markup

from evalkit.gates import Verdict
from evalkit.metrics import ReliabilityBin
from evalkit.records import Estimate
from evalkit.reports.html.environment import macros
from evalkit.reports.numbers import LEAST_SECONDS, time_text

WIDTH, HEIGHT = 560, 320
"""Of `scatter`."""
RADIUS = 8
HISTORY_WIDTH, HISTORY_HEIGHT = 240, 56
MOST_RUNS = 60
"""More are not told apart in a history; the latest are drawn."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 24, 14, 44
_EDGE = 8
_SIDE, _COUNTS = 300, 54
"""Of the square of a reliability curve, and the height of the counts under it."""
_ENDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 0.75, 1.0)


def share_bar(value: float, low: float, high: float, label: str) -> Markup:
    """A share between 0 and 100% as a bar, its 95% interval as a whisker."""
    places = (round(100 * min(max(x, 0.0), 1.0), 2) for x in (value, low, high))
    return _drawn("share_bar", label, *places)


def difference_bar(value: float, low: float, high: float, end: float) -> Markup:
    """A difference with its interval around zero, on a scale from minus to plus `end`."""
    return _drawn("difference_bar", *(round(50 + 48 * x / end, 2) for x in (value, low, high)))


def interval_bar(verdict: Verdict, scale: tuple[float, float], label: str) -> Markup:
    """What a gate judged with its interval, against its threshold; what passes is shaded.

    The ends of the drawing stand for what `scale_of` gives.
    """
    (start, end), signed, estimate = scale, verdict.paired is not None, verdict.estimate

    def at(x: float) -> float:
        return round(100 * (min(max(x, start), end) - start) / (end - start), 2)

    threshold = at(verdict.policy.threshold)
    return _drawn(
        "interval_bar",
        label,
        verdict.outcome.value,
        at(estimate.value),
        threshold,
        (0.0, threshold) if verdict.policy.max_value is not None else (threshold, 100.0),
        at(0.0) if start < 0 else None,
        None if estimate.method == "count" else (at(estimate.low), at(estimate.high)),
        [_end(x, verdict.unit, signed) for x in scale],
    )


def scale_of(verdicts: Sequence[Verdict]) -> tuple[float, float]:
    """A scale that the gates of one criterion can all be drawn on.

    From 0, or from minus its end where something is below 0 or is a difference, to the first round
    number above all there is to show; to 100% where shares have a lower bound.
    """
    shown = [x for verdict in verdicts for x in _numbers(verdict)]
    reaches = any(v.policy.min_value is not None and v.unit == "%" for v in verdicts)
    end = max(1.0 if reaches else 0.0, round_above(max(abs(x) for x in shown)))
    below = min(shown) < 0 or any(verdict.paired is not None for verdict in verdicts)
    return (-end if below else 0.0), end


def round_above(x: float) -> float:
    """The first of 0.01, 0.02, 0.05 ... 0.75, 1 that is not below it, or a whole number.

    >>> round_above(0.12), round_above(1.0), round_above(2.3)
    (0.2, 1.0, 3.0)
    """
    return next((end for end in _ENDS if x <= end + 1e-9), float(ceil(x)))


def tally_bar(counts: Mapping[str, int]) -> Markup:
    """How many came to which outcome, as parts of one bar."""
    parts, done, all_of_them = [], 0, sum(counts.values())
    for outcome, count in counts.items():
        if count:
            ends = (round(100 * x / all_of_them, 2) for x in (done, done + count))
            parts.append((outcome, *ends))
        done += count
    return _drawn("tally_bar", parts)


def reliability(name: str, bins: Sequence[ReliabilityBin], below: str) -> Markup:
    """Confidence against accuracy, and under it the rows of each range of confidence."""
    bins = [found for found in bins if found.accuracy.n]

    def x(share: float) -> float:
        return round(44 + _SIDE * share, 1)

    def y(share: float) -> float:
        return round(10 + _SIDE * (1 - min(max(share, 0), 1)), 1)

    return _drawn("reliability", name, bins, x, y, _SIDE, _COUNTS, below) if bins else Markup()


def scatter(
    systems: Sequence[tuple[str, float, Estimate]], label: str, across: str, up: str
) -> Markup:
    """Letters by seconds per row (on a logarithmic scale) and accuracy.

    Dots that would cover each other are set side by side.

    `across` and `up` are what is told by the place from left to right, and by the height.
    """
    if not systems:
        return Markup()
    times = [max(seconds, LEAST_SECONDS) for _, seconds, _ in systems]
    first, last = floor(log10(min(times))), ceil(log10(max(times)))
    last = max(last, first + 1)
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM

    def x(seconds: float) -> float:
        return round(_LEFT + (right - _LEFT) * (log10(seconds) - first) / (last - first), 1)

    def y(share: float) -> float:
        return round(_TOP + (bottom - _TOP) * (1 - share), 1)

    placed: list[tuple[float, float]] = []
    dots = []
    for (letter, _, found), seconds in zip(systems, times, strict=True):
        at, level = x(seconds), y(found.value)
        while any(abs(a - at) < 2 * RADIUS and abs(b - level) < 2 * RADIUS for a, b in placed):
            at = round(at + 2 * RADIUS + 1, 1)
        placed.append((at, level))
        dots.append((letter, at, found))
    return _drawn(
        "scatter",
        label,
        WIDTH,
        HEIGHT,
        dots,
        [(10.0**power, time_text(10.0**power)) for power in range(first, last + 1)],
        x=x,
        y=y,
        left=_LEFT,
        right=right,
        bottom=bottom,
        top=_TOP,
        across=across,
        up=up,
        radius=RADIUS,
    )


def history(
    found: Sequence[Verdict | None],
    same_rows: Sequence[bool],
    baselines: Sequence[bool],
    label: str,
) -> tuple[Markup, float, float]:
    """The latest `MOST_RUNS` runs of a gate, one step for each; what the edges stand for.

    Args:
        found: what the gate said in each run, oldest first; None where it was not judged.
        same_rows: for each run whether it is of the same rows as the one before.
        baselines: for each run whether it is kept as a baseline, which a ring marks.
        label: the same in words.

    Returns the drawing, the value at its lower edge and that at its upper one. The line is broken
    where the rows are others, and an upright line stands where the criterion is another.
    """
    found, same_rows = found[-MOST_RUNS:], same_rows[-MOST_RUNS:]
    baselines = baselines[-MOST_RUNS:]
    values = [x for gate in found if gate is not None for x in _numbers(gate)]
    low, high = min(values, default=0.0), max(values, default=1.0)
    width = (HISTORY_WIDTH - 2 * _EDGE) / max(len(found) - 1, 1)
    start = _EDGE if len(found) > 1 else HISTORY_WIDTH / 2

    def y(value: float) -> float:
        share = (value - low) / (high - low or 0.1)
        return round(_EDGE + (HISTORY_HEIGHT - 2 * _EDGE) * (1 - share), 1)

    steps, line, bound = [], "", ""
    bands: list[list[tuple[float, float, float]]] = []
    goes_on, before = False, None
    for place, (gate, is_same) in enumerate(zip(found, same_rows, strict=True)):
        if gate is None:
            goes_on = False
            continue
        x = round(start + place * width, 1)
        value, low_end, high_end, threshold = map(y, _numbers(gate))
        is_changed = before is not None and gate.policy != before
        before = gate.policy
        steps.append(
            {
                "x": x,
                "y": value,
                "outcome": gate.outcome.value,
                "changed": round(x - width / 2, 1) if is_changed else None,
                "is_baseline": baselines[place],
            }
        )
        goes_on = goes_on and is_same
        line += f"{'L' if goes_on else 'M'}{x:g} {value:g}"
        bound += f"M{x - width / 2:g} {threshold:g}H{x + width / 2:g}"
        if not goes_on:
            bands.append([])
        bands[-1].append((x, low_end, high_end))
        goes_on = True
    paths = {"band": "".join(map(_band, bands)), "bound": bound, "line": line}
    return _drawn("history", label, HISTORY_WIDTH, HISTORY_HEIGHT, paths, steps), low, high


def _numbers(verdict: Verdict) -> tuple[float, float, float, float]:
    """All that is drawn of a gate: its number, the ends of the interval, the bound."""
    estimate = verdict.estimate
    return estimate.value, estimate.low, estimate.high, verdict.policy.threshold


def _band(points: Sequence[tuple[float, float, float]]) -> str:
    """A closed path along the upper ends and back along the lower ones."""
    if len(points) == 1:
        x, low, high = points[0]
        return f"M{x - 2:g} {high:g}H{x + 2:g}V{low:g}H{x - 2:g}Z"
    there = [f"{x:g} {high:g}" for x, _, high in points]
    back = [f"{x:g} {low:g}" for x, low, _ in reversed(points)]
    return f"M{'L'.join([*there, *back])}Z"


def _end(x: float, unit: str, signed: bool) -> str:
    if unit != "%":
        return f"{x:+.3g}" if signed and x else f"{x:.3g}"
    return (f"{100 * x:+.4g}" if signed and x else f"{100 * x:.4g}") + ("" if signed else "%")


def _drawn(name: str, *given: Any, **more: Any) -> Markup:
    drawn: Markup = getattr(macros("charts.html.j2"), name)(*given, **more)
    return drawn.strip()
