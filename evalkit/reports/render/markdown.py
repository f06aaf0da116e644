"""Blocks as Markdown without HTML: whatever a row holds is escaped, so that it stays text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import assert_never

from evalkit.locale import Lang
from evalkit.printable import printable
from evalkit.reports import view
from evalkit.reports.render.words import Words

WIDEST = 300
"""Characters of a data text that are shown, where nothing else is said."""
_NAME = re.compile(r"[A-Za-z0-9_.\[\]-]+( [A-Za-z0-9_.\[\]-]+)*")
_SPECIAL = re.compile(
    r"[\\`*_{}\[\]<>#|&~^$@]"  # anywhere
    r"|(?<=\w):(?=//)|(?<=www)\."  # where GitHub would see an address
)
_STARTS = re.compile(r"^(\d{0,9})([-+](?=[-\s]|$)|(?<=\d)[.)](?=\s|$))")
"""What would make a list or a rule of the start of a line."""


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
    # What only matters at the start of a line is `as_paragraph`'s business.
    return Markdown(_SPECIAL.sub(r"\\\g<0>", printable(str(text), width)))


def escaped(text: object, width: int = WIDEST) -> str:
    r"""A data text as Markdown that may start a line.

    >>> escaped("<b>5*3</b>")
    '\\<b\\>5\\*3\\</b\\>'
    """
    return as_paragraph(safe(text, width))


def as_paragraph(markdown: str) -> str:
    r"""Return a line that starts no list and no block of code, whatever it starts with.

    >>> as_paragraph("  1. a")
    '1\\. a'
    """
    return _STARTS.sub(r"\1\\\2", markdown.lstrip(" "))


class MarkdownWords(Words[Markdown]):
    """Cells as Markdown."""

    def __init__(self, lang: Lang = "en") -> None:
        super().__init__(lang, Markdown, safe)

    def data(self, found: view.Data) -> Markdown:
        """Anybody's text, cut."""
        return safe(found.text, found.width)

    def code(self, name: str) -> Markdown:
        """A name as code, where it can stand there as it is; as text otherwise."""
        fits = len(name) <= WIDEST and _NAME.fullmatch(name)
        return Markdown(f"`{name}`") if fits else safe(name)

    def bold(self, text: Markdown) -> Markdown:
        """Strong text."""
        return Markdown(f"**{text}**")


def to_markdown(blocks: Iterable[view.Block], lang: Lang = "en") -> str:
    """Blocks as a whole file."""
    words = MarkdownWords(lang)
    shown = ("\n".join(_lines(block, words)) for block in blocks)
    return "\n\n".join(filter(None, shown)) + "\n"


def _lines(block: view.Block, words: MarkdownWords) -> Iterator[str]:
    match block:
        case view.Heading():
            yield f"{'#' * block.level} {words.cell(block.text)}"
        case view.Paragraph():
            yield as_paragraph(words.cell(block.text))
        case view.Points():
            for item in block.items:
                yield f"- {as_paragraph(words.cell(item))}"
        case view.Table(is_wide=True):
            return
        case view.Table():
            block = block.without_wide()
            yield _row([words.cell(column.head) for column in block.columns])
            yield _row(["---" if column.is_text else "---:" for column in block.columns])
            for row in block.rows:
                yield _row([words.cell(cell) for cell in row])
        case view.Picture():
            # Angle brackets let the name hold spaces and brackets.
            file = re.sub(r"([\\<>])", r"\\\1", block.file)
            yield f"![{as_paragraph(words.cell(block.title))}](<{file}>)"
        case view.Reliability() | view.Scatter():
            return  # the table beside it has the numbers
        case _:
            assert_never(block)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
