"""What a data command says: sentences, tables, bars, and all of it for programs."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.printable import printable
from evalkit.reports.view import Blocks, Heading, bullets

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars: one group for each value, one bar in it for each series."""

    name: str
    """Part of the picture's file name."""
    title: str
    unit: str
    series: Mapping[str, Mapping[str, float]]
    """Series -> value -> height; all series have the same values."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A report, the charts that go with it, and the same facts for programs."""

    blocks: Blocks
    charts: Sequence[Chart]
    content: dict[str, Any]


def sheet(
    command: str,
    title: str,
    lines: Iterable[str],
    grids: Iterable[Blocks],
    charts: Sequence[Chart] = (),
    **content: object,
) -> Sheet:
    """Sentences and tables under a title; `content` is what `--json` prints."""
    blocks = [Heading(1, title), *bullets(lines), *(block for found in grids for block in found)]
    return Sheet(blocks, charts, {"schema": SCHEMA, "command": command, **content})


def draw(chart: Chart) -> bytes | None:
    """Return a chart as PNG; None without matplotlib, which is an extra."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    values = list(next(iter(chart.series.values())))
    figure = Figure(figsize=(7, 0.7 + 0.35 * len(values) * max(1, len(chart.series) / 1.5)))
    axes: Any = figure.add_subplot()
    high = 0.8 / len(chart.series)
    for number, (name, heights) in enumerate(chart.series.items()):
        places = [at + high * (number - (len(chart.series) - 1) / 2) for at in range(len(values))]
        axes.barh(places, [heights[value] for value in values], high, label=name)
    # Labels are a user's: no text of theirs is taken for a formula.
    labels = [printable(value, 30) for value in values]
    axes.set_yticks(range(len(values)), labels, parse_math=False)
    axes.invert_yaxis()
    axes.set_xlabel(chart.unit)
    axes.set_title(chart.title, parse_math=False)
    if len(chart.series) > 1:
        for text in axes.legend().get_texts():
            text.set_parse_math(False)
    out = io.BytesIO()
    # Without the version, the same numbers give the same bytes.
    figure.savefig(out, format="png", dpi=120, bbox_inches="tight", metadata={"Software": None})
    return out.getvalue()
