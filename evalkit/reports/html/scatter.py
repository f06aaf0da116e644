"""Where a plot of cost against accuracy has its marks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

from evalkit.records import Estimate

WIDTH, HEIGHT = 560, 320
LEFT, RIGHT, TOP, BOTTOM = 52, 24, 14, 44
RADIUS = 8
LEAST_SECONDS = 1e-6
"""What runs keep; a faster answer is drawn here."""


@dataclass(frozen=True, slots=True)
class Dot:
    """A system: its place, and the ends of its interval."""

    letter: str
    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Scatter:
    """Places in a drawing of `WIDTH` by `HEIGHT`."""

    dots: tuple[Dot, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]


def scatter(systems: Sequence[tuple[str, float, Estimate]]) -> Scatter | None:
    """Lay out letters by seconds per row (on a logarithmic scale) and accuracy.

    Dots that would cover each other are set side by side.
    """
    if not systems:
        return None
    times = [max(seconds, LEAST_SECONDS) for _, seconds, _ in systems]
    first, last = floor(log10(min(times))), ceil(log10(max(times)))
    last = max(last, first + 1)
    inner = WIDTH - LEFT - RIGHT

    def x(seconds: float) -> float:
        return LEFT + inner * (log10(seconds) - first) / (last - first)

    def y(share: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - share)

    dots: list[Dot] = []
    for (letter, _, found), seconds in zip(systems, times, strict=True):
        at, level = x(seconds), y(found.value)
        while any(abs(dot.x - at) < 2 * RADIUS and abs(dot.y - level) < 2 * RADIUS for dot in dots):
            at += 2 * RADIUS + 1
        dots.append(Dot(letter, round(at, 1), round(level, 1), y(found.low), y(found.high)))
    decades = range(first, last + 1)
    return Scatter(
        tuple(dots),
        tuple((round(x(10.0**power), 1), time_text(10.0**power)) for power in decades),
        tuple((y(share / 4), f"{25 * share}%") for share in range(5)),
    )


def time_text(seconds: float) -> str:
    """A time in the unit that suits it: `94 ms`."""
    if seconds < LEAST_SECONDS:
        return "< 1 µs"
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= 0.9995 * size:
            return f"{seconds / size:,.3g} {unit}" if seconds < 999.5 else f"{seconds:,.0f} s"
    raise AssertionError(seconds)
