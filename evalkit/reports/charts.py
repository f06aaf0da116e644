"""Drawings as SVG: lengths as attributes, colours from the page's style, a label in words.

What is as wide as its place (bars) is drawn in percent of that; what has axes has a `viewBox`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import ceil, floor, log10
from typing import Any

from markupsafe import Markup, escape

from evalkit.gates import Verdict
from evalkit.metrics import ReliabilityBin
from evalkit.records import Estimate
from evalkit.reports.html.environment import visible
from evalkit.reports.numbers import LEAST_SECONDS, number, time_text

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
    width, left, right = (f"{_percent(x)}%" for x in (value, low, high))
    ends = [(left, right, 7, 7), (left, left, 4, 10), (right, right, 4, 10)]
    return _svg(
        "share",
        label,
        [
            _tag("rect", class_="track", width="100%", height=14, rx=2),
            _tag("rect", class_="fill", width=width, height=14, rx=2),
            *(_line("whisker", *end) for end in ends),
        ],
        width="100%",
        height=14,
    )


def difference_bar(value: float, low: float, high: float, end: float) -> Markup:
    """A difference with its interval around zero, on a scale from minus to plus `end`."""
    at, left, right = (f"{round(50 + 48 * x / end, 2)}%" for x in (value, low, high))
    parts = [
        _line("axis", "2%", "98%", 9, 9),
        _line("zero", "50%", "50%", 0, 18),
        _line("range", left, right, 9, 9),
        _tag("circle", class_="point", cx=at, cy=9, r=5),
    ]
    return _svg("difference", "", parts, width="100%", height=18)


def interval_bar(verdict: Verdict, scale: tuple[float, float], label: str) -> Markup:
    """What a gate judged with its interval, against its threshold; what passes is shaded.

    Args:
        verdict: what the gate said.
        scale: what the ends of the drawing stand for, as `scale_of` gives it.
        label: the same in words.
    """
    (start, end), unit, signed = scale, verdict.unit, verdict.paired is not None
    estimate = verdict.estimate

    def at(x: float) -> float:
        return round(100 * (min(max(x, start), end) - start) / (end - start), 2)

    threshold, value = at(verdict.policy.threshold), at(estimate.value)
    passes = (0.0, threshold) if verdict.policy.max_value is not None else (threshold, 100.0)
    parts = [
        _line("axis", 0, "100%", 9, 9),
        _bar("allowed", *passes, y=2, height=14),
        *([_line("zero", f"{at(0.0)}%", f"{at(0.0)}%", 3, 15)] if start < 0 else []),
    ]
    if estimate.method != "count":
        parts.append(_bar("range", at(estimate.low), at(estimate.high), y=6, height=6, rx=3))
    parts += [
        _tag("circle", class_="point", cx=f"{value}%", cy=9, r=4.5),
        _line("threshold", f"{threshold}%", f"{threshold}%", 0, 18),
        _tag("text", _end(start, unit, signed), x=0, y=25),
        _tag("text", _end(end, unit, signed), x="100%", y=25, text_anchor="end"),
    ]
    return _svg(f"interval {verdict.outcome.value}", label, parts, width="100%", height=26)


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
            parts.append(_bar(outcome, *ends, height=10))
        done += count
    return _svg("outcomes", "", parts, width="100%", height=10)


def reliability(name: str, bins: Sequence[ReliabilityBin], below: str) -> Markup:
    """Confidence against accuracy, and under it the rows of each range of confidence."""
    bins = [found for found in bins if found.accuracy.n]
    if not bins:
        return Markup()
    left, top, most = 44, 10, max(found.accuracy.n for found in bins)
    width, height = left + _SIDE + 16, top + _SIDE + 30 + _COUNTS + 34

    def x(share: float) -> float:
        return round(left + _SIDE * share, 1)

    def y(share: float) -> float:
        return round(top + _SIDE * (1 - min(max(share, 0), 1)), 1)

    parts = []
    for quarter in (0, 0.25, 0.5, 0.75, 1):
        across, up, said = x(quarter), y(quarter), f"{quarter:.0%}"
        parts += [
            _line("grid", x(0), x(1), up, up),
            _line("grid", across, across, y(1), y(0)),
            _tag("text", said, x=left - 6, y=up + 4, text_anchor="end"),
            _tag("text", said, x=across, y=y(0) + 16, text_anchor="middle"),
        ]
    dots = [(x(b.mean_confidence), y(b.accuracy.value)) for b in bins]
    parts += [
        _tag("rect", class_="frame", x=left, y=top, width=_SIDE, height=_SIDE),
        _line("ideal", x(0), x(1), y(0), y(1)),
        _tag("polyline", class_="curve", points=" ".join(f"{a},{b}" for a, b in dots)),
    ]
    for found, (across, up) in zip(bins, dots, strict=True):
        accuracy, bar = found.accuracy, round(_COUNTS * found.accuracy.n / most, 1)
        said = f"{number(found.mean_confidence)}: {number(accuracy.value)}, n = {accuracy.n}"
        parts += [
            _line("whisker", across, across, y(accuracy.low), y(accuracy.high)),
            _tag("circle", _tag("title", said), class_="dot", cx=across, cy=up, r=4.5),
            _tag(
                "rect",
                class_="count",
                x=x(found.low) + 1,
                width=max(round(_SIDE * (found.high - found.low), 1) - 2, 1),
                y=round(y(0) + 30 + _COUNTS - bar, 1),
                height=bar,
            ),
        ]
    middle = y(0.5)
    parts += [
        _tag("text", below, x=x(0.5), y=height - 14, text_anchor="middle"),
        _tag(
            "text",
            "%",
            x=12,
            y=middle,
            text_anchor="middle",
            transform=f"rotate(-90 12 {middle})",
        ),
    ]
    size = {"width": width, "height": height, "viewBox": f"0 0 {width} {height}"}
    return _svg("chart", name, parts, **size)


def scatter(
    systems: Sequence[tuple[str, float, Estimate]], label: str, across: str, up: str
) -> Markup:
    """Letters by seconds per row (on a logarithmic scale) and accuracy.

    Dots that would cover each other are set side by side.

    Args:
        systems: letter, seconds per row, accuracy.
        label: what is drawn, in words.
        across: what is told by the place from left to right.
        up: what is told by the height.
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

    parts = []
    for level in (0, 0.25, 0.5, 0.75, 1):
        text = _tag("text", f"{level:.0%}", x=_LEFT - 6, y=y(level) + 4, text_anchor="end")
        parts += [_line("grid", _LEFT, right, y(level), y(level)), text]
    for power in range(first, last + 1):
        at, said = x(10.0**power), time_text(10.0**power)
        text = _tag("text", said, x=at, y=bottom + 16, text_anchor="middle")
        parts += [_line("grid", at, at, _TOP, bottom), text]
    parts += [
        _tag("text", across, x=right, y=HEIGHT - 8, text_anchor="end"),
        _tag("text", up, x=_LEFT, y=HEIGHT - 8),
    ]
    placed: list[tuple[float, float]] = []
    for (letter, _, found), seconds in zip(systems, times, strict=True):
        at, level = x(seconds), y(found.value)
        while any(abs(a - at) < 2 * RADIUS and abs(b - level) < 2 * RADIUS for a, b in placed):
            at = round(at + 2 * RADIUS + 1, 1)
        placed.append((at, level))
        parts += [
            _line("whisker", at, at, y(found.low), y(found.high)),
            _tag("circle", class_="dot", cx=at, cy=level, r=RADIUS),
            _tag("text", letter, class_="name", x=at, y=level + 4, text_anchor="middle"),
        ]
    return _svg("chart scatter", label, parts, viewBox=f"0 0 {WIDTH} {HEIGHT}")


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
    step = (HISTORY_WIDTH - 2 * _EDGE) / max(len(found) - 1, 1)
    start = _EDGE if len(found) > 1 else HISTORY_WIDTH / 2

    def y(value: float) -> float:
        share = (value - low) / (high - low or 0.1)
        return round(_EDGE + (HISTORY_HEIGHT - 2 * _EDGE) * (1 - share), 1)

    marks, line, bound = [], "", ""
    bands: list[list[tuple[float, float, float]]] = []
    goes_on, before = False, None
    for place, (gate, is_same) in enumerate(zip(found, same_rows, strict=True)):
        if gate is None:
            goes_on = False
            continue
        goes_on = goes_on and is_same
        x = round(start + place * step, 1)
        value, low_end, high_end, threshold = map(y, _numbers(gate))
        if before is not None and gate.policy != before:
            edge = round(x - step / 2, 1)
            marks.append(_line("changed", edge, edge, 0, HISTORY_HEIGHT))
        before = gate.policy
        if baselines[place]:
            marks.append(_tag("circle", class_="baseline", cx=x, cy=value, r=7))
        marks.append(_tag("use", href=f"#mark-{gate.outcome.value}", x=x, y=value))
        line += f"{'L' if goes_on else 'M'}{x:g} {value:g}"
        bound += f"M{x - step / 2:g} {threshold:g}H{x + step / 2:g}"
        if not goes_on:
            bands.append([])
        bands[-1].append((x, low_end, high_end))
        goes_on = True
    paths = (("band", "".join(map(_band, bands))), ("bound", bound), ("line", line))
    parts = [*(_tag("path", class_=name, d=d) for name, d in paths), *marks]
    box = f"0 0 {HISTORY_WIDTH} {HISTORY_HEIGHT}"
    return _svg("history", label, parts, viewBox=box), low, high


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


def _percent(share: float) -> float:
    return round(100 * min(max(share, 0.0), 1.0), 2)


def _end(x: float, unit: str, signed: bool) -> str:
    if unit != "%":
        return f"{x:+.3g}" if signed and x else f"{x:.3g}"
    return (f"{100 * x:+.4g}" if signed and x else f"{100 * x:.4g}") + ("" if signed else "%")


def _bar(name: str, low: float, high: float, **more: Any) -> Markup:
    width = f"{round(high - low, 2)}%"
    return _tag("rect", class_=name, x=f"{low}%", width=width, **more)


def _line(name: str, x1: object, x2: object, y1: float, y2: float) -> Markup:
    return _tag("line", class_=name, x1=x1, x2=x2, y1=y1, y2=y2)


def _svg(name: str, label: str, parts: Iterable[Markup], **more: Any) -> Markup:
    """A drawing that says its label; without one it is decoration."""
    if not label:
        return _tag("svg", Markup("").join(parts), class_=name, aria_hidden="true", **more)
    inner = Markup("").join([_tag("title", label), *parts])
    return _tag("svg", inner, class_=name, role="img", aria_label=label, **more)


def _tag(name: str, content: str = "", **attributes: Any) -> Markup:
    """An element; `class_` is written `class`, and other `_` are dashes."""
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(visible(str(value)))}"'
        for key, value in attributes.items()
    )
    inner = content if isinstance(content, Markup) else escape(visible(content))
    return Markup(f"<{name}{said}>{inner}</{name}>")
