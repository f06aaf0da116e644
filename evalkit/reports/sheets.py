"""A report of sentences, tables and charts: in the terminal, or as Markdown with plots.

The Markdown is free of HTML: whatever a row holds is escaped, so that it stays text.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from evalkit.reports.printable import printable

WIDEST_CELL = 70
_SPECIAL = re.compile(
    r"[\\`*_{}\[\]<>#|&~^$@]"  # anywhere
    r"|(?<=\w):(?=//)|(?<=www)\."  # where GitHub would see an address
)
_STARTS = re.compile(r"^(\d{0,9})([-+](?=[-\s]|$)|(?<=\d)[.)](?=\s|$))")
"""What would make a list or a rule of the start of a line."""


@dataclass(frozen=True, slots=True)
class Grid:
    """A table; its first column is text, and the others too where `is_text`."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    is_text: bool = False


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
    """What a report says."""

    title: str
    lines: tuple[str, ...]
    grids: tuple[Grid, ...]
    charts: tuple[Chart, ...] = ()


def sheet_to_terminal(sheet: Sheet) -> list[RenderableType]:
    """Return the sheet for a terminal, without its charts."""
    shown: list[RenderableType] = [Text(printable(line, 1000)) for line in sheet.lines]
    for grid in sheet.grids:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in grid.columns:
            left = grid.is_text or column == grid.columns[0]
            table.add_column(column, justify="left" if left else "right", overflow="fold")
        for row in grid.rows:
            table.add_row(*(Text(printable(cell, WIDEST_CELL)) for cell in row))
        shown += [Text(f"{printable(grid.title)}:"), table]
    return shown


def sheet_to_markdown(sheet: Sheet, pictures: Mapping[str, str], remark: str = "") -> str:
    """Return the sheet as Markdown without HTML.

    Args:
        sheet: what to write.
        pictures: a chart's name -> the file beside the report that shows it.
        remark: why there are no pictures, where there are none.

    """
    return "\n".join(_markdown(sheet, pictures, remark)) + "\n"


def _markdown(sheet: Sheet, pictures: Mapping[str, str], remark: str) -> Iterator[str]:
    yield from (f"# {escaped(printable(sheet.title))}", "")
    for line in sheet.lines:
        yield f"- {escaped(printable(line, 1000))}"
    if remark:
        yield f"- {escaped(remark)}"
    for grid in sheet.grids:
        yield from ("", f"## {escaped(printable(grid.title))}", "")
        yield _row(grid.columns)
        yield _row(["---"] * len(grid.columns), escape=False)
        for row in grid.rows:
            yield _row([printable(cell, 4 * WIDEST_CELL) for cell in row])
    for chart in sheet.charts:
        if chart.name in pictures:
            # Angle brackets let the name hold spaces and brackets.
            file = re.sub(r"([\\<>])", r"\\\1", pictures[chart.name])
            yield from ("", f"![{escaped(printable(chart.title))}](<{file}>)")


def escaped(text: str) -> str:
    r"""Return a text as Markdown that reads as this text and nothing else.

    >>> escaped("<b>5*3</b>")
    '\\<b\\>5\\*3\\</b\\>'
    """
    return as_paragraph(escaped_within(text))


def escaped_within(text: str) -> str:
    """Return a text as Markdown that stands within a line."""
    return _SPECIAL.sub(r"\\\g<0>", text)


def as_paragraph(markdown: str) -> str:
    r"""Return a line that starts no list and no block of code, whatever it starts with.

    >>> as_paragraph("  1. a")
    '1\\. a'
    """
    return _STARTS.sub(r"\1\\\2", markdown.lstrip(" "))


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


def _row(cells: Sequence[str], *, escape: bool = True) -> str:
    return "| " + " | ".join(escaped(cell) if escape else cell for cell in cells) + " |"
