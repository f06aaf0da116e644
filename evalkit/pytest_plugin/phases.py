"""`--durations`: where the time of a gate went, by what the system was asked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.reports.view import table

if TYPE_CHECKING:
    from evalkit.reports.view import Blocks
    from evalkit.run_record import RunRecord

TEST_ROWS = "test rows"


@dataclass
class Phase:
    """What was asked under one name, its numbered parts together."""

    name: str
    rows: int = 0
    known: int = 0
    """Of the rows, those that had been answered before."""
    seconds: float = 0.0
    """Of answering; loading is aside."""
    load: float = 0.0
    operations: float = 0.0
    """Of the trunk's matrix products, where the engine counts them."""

    def add(self, record: RunRecord) -> None:
        """Count a part in."""
        self.rows += record.rows
        self.known += record.reused_rows
        self.seconds += record.seconds.answer or 0.0
        self.load += record.seconds.load or 0.0
        self.operations += record.cost.operations or 0.0

    def merge(self, other: Phase) -> None:
        """Count another phase in."""
        for name in ("rows", "known", "seconds", "load", "operations"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


def phases(asked: Sequence[tuple[str, str, RunRecord]]) -> list[Phase]:
    """The phases of systems' runs, the slowest first.

    `asked` names a system and a part of its run (empty for its test rows), with the record.
    """
    several = len({system for system, *_ in asked}) > 1
    found: dict[str, Phase] = {}
    for system, part, record in asked:
        name = re.sub(r"-\d+$", "", part) or TEST_ROWS
        name = f"{system}: {name}" if several else name
        found.setdefault(name, Phase(name)).add(record)
    return sorted(found.values(), key=lambda phase: -phase.seconds)


def phase_table(found: list[Phase], most: int, rate: float | None) -> Blocks:
    """A line for each of the slowest phases, for the rest of them, and for all.

    There are `most` lines of single phases at most, or all with 0. The machine makes `rate`
    operations a second, where that was measured.
    """
    shown = found[: most or None]
    rest = _sum(f"{len(found) - len(shown)} more", found[len(shown) :])
    lines = [*shown, *([rest] if rest.rows else []), _sum("all", found)]
    heads = ["phase", "rows", "known", "seconds", "rows/s", *(["of peak"] if rate else [])]
    return table(heads, [list(_cells(phase, rate)) for phase in lines])


def _sum(name: str, found: Iterable[Phase]) -> Phase:
    total = Phase(name)
    for phase in found:
        total.merge(phase)
    return total


def _cells(phase: Phase, rate: float | None) -> Iterator[str]:
    new = phase.rows - phase.known
    yield phase.name
    yield f"{phase.rows:,}"
    yield f"{phase.known:,}"
    yield f"{phase.seconds:,.1f}"
    yield f"{new / phase.seconds:,.1f}" if new and phase.seconds else ""
    if rate:
        share = phase.operations / phase.seconds / rate if phase.seconds else 0.0
        yield f"{share:.0%}" if share else ""


def measured_rate(engine: Mapping[str, str | int]) -> float:
    """How fast the machine multiplies matrices of the type that an engine says it computes in."""
    import torch

    from evalkit.engines.matmul_rate import matmul_rate

    return matmul_rate(torch.device(str(engine["device"])), getattr(torch, str(engine["dtype"])))
