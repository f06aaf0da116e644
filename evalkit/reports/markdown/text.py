"""Markdown put together from text that is ours and text that is not."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from evalkit.reports.printable import printable
from evalkit.reports.sheets import as_paragraph, escaped_within

WIDEST = 300
"""Characters of a data text that are shown."""
_NAME = re.compile(r"[A-Za-z0-9_.\[\]-]+( [A-Za-z0-9_.\[\]-]+)*")


class Markdown(str):
    """Text that is Markdown already; any other `str` is data and has to pass `safe`."""

    __slots__ = ()


def safe(text: object, width: int = WIDEST) -> Markdown:
    r"""A data text as Markdown that reads as this text, on one line, and as nothing else.

    >>> safe("a|b" + chr(10) + "<i>")
    'a\\|b\\\\n\\<i\\>'
    """
    if isinstance(text, Markdown):
        return text
    # What only matters at the start of a line is `paragraph`'s business.
    return Markdown(escaped_within(printable(str(text), width)))


def fill(template: str, **values: object) -> Markdown:
    """Put values into a template of ours; what is no Markdown yet is made safe."""
    return Markdown(template.format(**{name: safe(value) for name, value in values.items()}))


def join(separator: str, parts: Iterable[Markdown]) -> Markdown:
    """Parts with something of ours between them."""
    return Markdown(separator.join(parts))


def code(name: object) -> Markdown:
    """A name as code, where it can stand there as it is; as text otherwise."""
    shown = str(name)
    fits = len(shown) <= WIDEST and _NAME.fullmatch(shown)
    return Markdown(f"`{shown}`") if fits else safe(shown)


def bold(text: Markdown) -> Markdown:
    """Strong text."""
    return Markdown(f"**{text}**")


def paragraph(text: Markdown) -> Markdown:
    r"""A line that starts no list, whatever it starts with.

    >>> paragraph(safe("1. a"))
    '1\\. a'
    """
    return Markdown(as_paragraph(text))


def heading(level: int, text: Markdown) -> Markdown:
    """A heading."""
    return Markdown(f"{'#' * level} {text}")


def bullets(lines: Iterable[Markdown]) -> list[Markdown]:
    """A list as one block; none without lines."""
    items = [f"- {paragraph(line)}" for line in lines]
    return [Markdown("\n".join(items))] if items else []


def numbered(lines: Iterable[Markdown]) -> list[Markdown]:
    """A numbered list as one block; none without lines."""
    items = [f"{number}. {paragraph(line)}" for number, line in enumerate(lines, start=1)]
    return [Markdown("\n".join(items))] if items else []


def table(
    columns: Sequence[Markdown],
    rows: Sequence[Sequence[Markdown]],
    texts: int = 1,
    texts_last: int = 0,
) -> list[Markdown]:
    """A table as one block; none without rows.

    Args:
        columns: the headings.
        rows: of cells, as many as headings.
        texts: how many of the first columns are text and stand left; numbers stand right.
        texts_last: how many of the last columns are text.
    """
    if not rows:
        return []
    numbers = range(texts, len(columns) - texts_last)
    rule = ["---:" if number in numbers else "---" for number in range(len(columns))]
    lines = [_row(columns), _row(rule), *(_row(row) for row in rows)]
    assert all(len(row) == len(columns) for row in rows)
    return [Markdown("\n".join(lines))]


def document(blocks: Iterable[Markdown]) -> str:
    """Blocks as a whole file."""
    return "\n\n".join(blocks) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
