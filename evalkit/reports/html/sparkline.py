"""Where the small plot of one gate over its runs has its marks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.reports.gate_history import GateHistory

WIDTH, HEIGHT = 240, 56
SIDE, EDGE = 8, 8
MOST_RUNS = 60
"""More are not told apart in so small a plot; the latest are drawn."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What the gate said in one run."""

    x: float
    y: float
    outcome: str


@dataclass(frozen=True, slots=True)
class Sparkline:
    """Paths and marks in a drawing of `WIDTH` by `HEIGHT`."""

    marks: tuple[Mark, ...]
    line: str
    """SVG path through the values; broken where the rows are others."""
    band: str
    """SVG path around the 95% intervals, broken likewise."""
    threshold: str
    """SVG path of the bound, a step for each run."""
    low: float
    """The value at the lower edge."""
    high: float


def sparkline(history: GateHistory, same_rows: Sequence[bool]) -> Sparkline:
    """Lay out the latest `MOST_RUNS` runs of a gate, one step for each.

    Args:
        history: the gate's.
        same_rows: for each run whether it is of the same rows as the one before.
    """
    found, same = history.found[-MOST_RUNS:], same_rows[-MOST_RUNS:]
    held = [gate for gate in found if gate is not None]
    if not held:
        held = [history.last]
    values = [
        number
        for gate in held
        for number in (gate.value, gate.threshold, gate.estimate.low, gate.estimate.high)
    ]
    low, high = min(values), max(values)
    spread = high - low or 0.1
    step = (WIDTH - 2 * SIDE) / max(len(found) - 1, 1)
    start = SIDE if len(found) > 1 else WIDTH / 2

    def x(place: int) -> float:
        return round(start + place * step, 1)

    def y(value: float) -> float:
        return round(EDGE + (HEIGHT - 2 * EDGE) * (1 - (value - low) / spread), 1)

    marks, line, threshold = [], [], []
    bands: list[list[tuple[float, float, float]]] = []
    goes_on = False
    for place, (gate, same_as_before) in enumerate(zip(found, same, strict=True)):
        if gate is None:
            goes_on = False
            continue
        goes_on = goes_on and same_as_before
        here, level, bound = x(place), y(gate.value), y(gate.threshold)
        marks.append(Mark(here, level, gate.outcome.value))
        line.append(f"{'L' if goes_on else 'M'}{here:g} {level:g}")
        threshold.append(f"M{here - step / 2:g} {bound:g}H{here + step / 2:g}")
        if not goes_on:
            bands.append([])
        bands[-1].append((here, y(gate.estimate.low), y(gate.estimate.high)))
        goes_on = True
    return Sparkline(
        tuple(marks),
        "".join(line),
        "".join(map(_band, bands)),
        "".join(threshold),
        low,
        high,
    )


def _band(points: Sequence[tuple[float, float, float]]) -> str:
    """A closed path along the upper ends and back along the lower ones."""
    if len(points) == 1:
        x, low, high = points[0]
        return f"M{x - 2:g} {high:g}H{x + 2:g}V{low:g}H{x - 2:g}Z"
    there = [f"{x:g} {high:g}" for x, _, high in points]
    back = [f"{x:g} {low:g}" for x, low, _ in reversed(points)]
    return f"M{'L'.join([*there, *back])}Z"
