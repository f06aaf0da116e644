"""Blocks in a terminal: tables that fit, of names and numbers that are never broken."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TextIO

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table as RichTable
from rich.text import Text

from evalkit.console import LegibleConsole
from evalkit.gates import Outcome
from evalkit.locale import Lang
from evalkit.printable import printable
from evalkit.reports import numbers, view
from evalkit.reports.render.words import Words

WIDEST = 1000
"""Characters of a line."""
_WIDEST_CELL = 70
_NARROWEST, _WIDEST_WORD = 12, 30
"""Of a column whose texts may take several lines."""
_JOINT = re.compile(r"(?<=[\s_/-])|(?=\[)")
"""Where a name or a heading may go on in the next line."""
_TONES = {"good": "green", "bad": "bold red", "open": "yellow", "quiet": "dim"}
_OUTCOMES = {Outcome.PASS: "green", Outcome.FAIL: "bold red", Outcome.INCONCLUSIVE: "yellow"}


class TerminalWords(Words[str]):
    """Cells as plain text; bounds and intervals in ASCII."""

    def __init__(self, lang: Lang = "en", width: int = WIDEST) -> None:
        super().__init__(lang, str, lambda text: printable(str(text), width))

    def cell(self, found: view.Cell) -> str:
        """A cell as text; what a gate says in capitals."""
        if isinstance(found, view.Badge):
            said = self(f"outcome.{found.outcome.value}").upper()
            return f"{said} ~" if found.crosses else said
        return super().cell(found)

    def data(self, found: view.Data) -> str:
        """Anybody's text, cut."""
        return printable(str(found.text), found.width)

    def span(self, found: view.Span) -> str:
        """An interval; a dash is enough where nothing is below zero."""
        if found.is_difference:
            return super().span(found)
        return f"{numbers.bare(found.low, found.unit)}-{numbers.bare(found.high, found.unit)}"

    def head(self, found: view.Cell) -> str:
        """A heading: in small letters, where it is ours."""
        said = self.cell(found)
        small = isinstance(found, view.Phrase) and not said[1:2].isupper() and said[1:2].isalpha()
        return f"{said[:1].lower()}{said[1:]}" if small else said

    def styled(self, found: view.Cell) -> Text:
        """A cell in its colour."""
        if isinstance(found, view.Badge):
            return Text(self.cell(found), style=_OUTCOMES[found.outcome])
        if isinstance(found, view.Count):
            tone = "bold" if found.is_right else "" if found.n else "dim"
            return Text(self.cell(found), style=tone)
        style = _TONES[found.tone] if isinstance(found, view.Toned) and found.tone else ""
        return Text(self.cell(found), style="bold" if isinstance(found, view.Bold) else style)

    def _bound(self, found: view.Bound) -> str:
        return numbers.needed(found.policy, found.unit)


@dataclass(frozen=True)
class FittedTable:
    """A table that fits: columns go, then headings fold, then names, and none inside a word."""

    columns: Sequence[view.Column]
    heads: Sequence[str]
    rows: Sequence[Sequence[Text]]
    dense: bool = False
    """Whether it stands without an empty line above and below it."""
    is_matrix: bool = False
    """Whether its columns are called as its rows are."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The columns that fit, the names whole."""
        shown = next((way for way in self._ways() if way.fits(options.max_width)), None)
        yield (shown or self._folded(options.max_width)).drawn(options.max_width)

    def fits(self, width: int) -> bool:
        """Whether no more than columns that may go have to."""
        return self._width(self._kept(width)) <= width

    def drawn(self, width: int) -> RichTable:
        """The columns that fit."""
        made = RichTable(
            box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=not self.dense
        )
        kept = self._kept(width)
        fits = self._width(kept) <= width
        for place in kept:
            column = self.columns[place]
            made.add_column(
                Text(self.heads[place]),
                justify="left" if column.is_text else "right",
                overflow="fold",
                no_wrap=fits and not column.folds,
                min_width=self._least(place) if fits else None,
            )
        for row in self.rows:
            made.add_row(*(row[place] for place in kept))
        return made

    def _ways(self) -> Iterator[FittedTable]:
        yield self
        bodies = (max((_widest(row[at].plain) for row in self.rows), default=0) for at in self._all)
        heads = [folded(head, width) for head, width in zip(self.heads, bodies, strict=True)]
        yield replace(self, heads=heads)
        if self.is_matrix:
            yield self._numbered(heads)

    def _numbered(self, heads: Sequence[str]) -> FittedTable:
        """Its values by numbers, which stand before their names."""
        numbers = list(map(str, range(1, len(self.rows) + 1)))
        names = [f"{n} {row[0].plain}" for n, row in zip(numbers, self.rows, strict=True)]
        rows = [[Text(name), *row[1:]] for name, row in zip(names, self.rows, strict=True)]
        first = folded(self.heads[0], max(map(cell_len, names)))
        return replace(self, heads=[first, *numbers, *heads[1 + len(numbers) :]], rows=rows)

    def _folded(self, width: int) -> FittedTable:
        """Its names on as many lines as they need."""
        *_, narrowest = self._ways()
        named = next((at for at in self._all if self.columns[at].is_text), 0)
        others = [at for at in narrowest._kept(width) if at != named]
        left = width - narrowest._width(others) - 2
        rows = [list(row) for row in narrowest.rows]
        for row in rows:
            row[named] = Text(folded(row[named].plain, left), style=row[named].style)
        return replace(narrowest, rows=rows)

    @property
    def _all(self) -> range:
        return range(len(self.columns))

    def _kept(self, width: int) -> list[int]:
        """The columns without the last ones that do not fit, and again those that do after all."""
        optional = sorted((at for at in self._all if self.columns[at].drop), key=self._rank)
        kept = set(self._all)
        for place in reversed(optional):
            if self._width(kept) > width:
                kept.remove(place)
        for place in optional:
            if place not in kept and self._width(kept | {place}) <= width:
                kept.add(place)
        return sorted(kept)

    def _rank(self, place: int) -> int:
        return self.columns[place].drop

    def _width(self, places: Iterable[int]) -> int:
        return sum(self._least(place) + 2 for place in places)

    def _least(self, place: int) -> int:
        texts = [self.heads[place], *(row[place].plain for row in self.rows)]
        if self.columns[place].folds:
            # Lines break between words, so a column is as wide as its longest one.
            words = max(cell_len(word) for text in texts for word in text.split() or [""])
            return min(max(words, _NARROWEST), max(map(_widest, texts)), _WIDEST_WORD)
        return max(map(_widest, texts))


def folded(text: str, width: int) -> str:
    r"""A text on lines of some width, broken where its parts end and never inside a word.

    >>> folded("attack_success_rate[fake-call]", 16)
    'attack_success_\nrate[fake-call]'
    """
    lines = [""]
    for part in _JOINT.split(text):
        if lines[-1] and cell_len(f"{lines[-1]}{part}".rstrip()) > width:
            lines.append(part)
        else:
            lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)


def _widest(text: str) -> int:
    return max(map(cell_len, text.splitlines()), default=0)


def to_terminal(
    blocks: Iterable[view.Block], lang: Lang = "en", *, dense: bool = False
) -> list[RenderableType]:
    """Blocks for `to_text`; the title of the whole and pictures are left out."""
    words = TerminalWords(lang)
    return [part for block in blocks for part in _parts(block, words, dense)]


def line_of(found: view.Cell, lang: Lang = "en") -> str:
    """A cell as one line of plain text."""
    return TerminalWords(lang).cell(found)


def _parts(block: view.Block, words: TerminalWords, dense: bool) -> Iterator[RenderableType]:
    match block:
        case view.Heading() if block.level > 1:
            yield Text(f"{words.cell(block.text)}:")
        case view.Paragraph():
            yield words.styled(block.text)
        case view.Points():
            yield from map(words.styled, block.items)
        case view.Table(is_wide=False):
            block = block.without_wide()
            cells = TerminalWords(words.lang, _WIDEST_CELL)
            yield FittedTable(
                block.columns,
                [cells.head(column.head) for column in block.columns],
                [[cells.styled(cell) for cell in row] for row in block.rows],
                dense,
                any(isinstance(cell, view.Count) for row in block.rows for cell in row),
            )


def write_shown(stream: TextIO, shown: Sequence[RenderableType]) -> None:
    """Write to a stream: as wide as the terminal that it is, in colour where it has colours."""
    out = LegibleConsole(file=stream, highlight=False)
    stream.write(to_text(shown, out.width, colour=out.is_terminal))


def to_text(shown: Sequence[RenderableType], width: int, *, colour: bool) -> str:
    """Render for a terminal of that width."""
    console = LegibleConsole(
        file=io.StringIO(), width=width, force_terminal=colour, no_color=not colour, highlight=False
    )
    for part in shown:
        # Lines of text stay whole, so that they can be searched for in a log.
        console.print(part, markup=False, soft_wrap=isinstance(part, Text))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text
