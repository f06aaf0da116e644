"""A reliability curve as a drawing: confidence against accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.metrics import ReliabilityBin

SIDE = 300
"""Of the square that the curve lies in."""
LEFT, TOP = 44, 10
COUNTS = 54
"""Height of the counts under it."""


@dataclass(frozen=True, slots=True)
class Dot:
    """The rows of one range of confidence."""

    bin: ReliabilityBin
    x: float
    y: float
    y_low: float
    y_high: float
    bar_x: float
    bar_width: float
    bar_height: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """All there is to draw, in the units of the drawing."""

    dots: tuple[Dot, ...]
    side: int = SIDE
    left: int = LEFT
    top: int = TOP
    counts: int = COUNTS

    @property
    def line(self) -> str:
        """The points of the curve."""
        return " ".join(f"{dot.x},{dot.y}" for dot in self.dots)


def draw_reliability(bins: Sequence[ReliabilityBin]) -> Reliability | None:
    """Lay a reliability curve out; None where there is nothing to draw."""
    filled = [found for found in bins if found.accuracy.n]
    if not filled:
        return None
    most = max(found.accuracy.n for found in filled)

    def x(share: float) -> float:
        return round(LEFT + SIDE * share, 1)

    def y(share: float) -> float:
        return round(TOP + SIDE * (1 - min(max(share, 0), 1)), 1)

    return Reliability(
        tuple(
            Dot(
                found,
                x(found.mean_confidence),
                y(found.accuracy.value),
                y(found.accuracy.low),
                y(found.accuracy.high),
                x(found.low),
                round(SIDE * (found.high - found.low), 1),
                round(COUNTS * found.accuracy.n / most, 1),
            )
            for found in filled
        )
    )
