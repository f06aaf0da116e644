"""Blocks as HTML that nothing of a row can become part of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, assert_never
from urllib.parse import urlencode

from markupsafe import Markup, escape

from evalkit.locale import Lang, Speaker
from evalkit.reports import charts
from evalkit.reports.html.environment import text
from evalkit.reports.render.words import Words
from evalkit.reports.view import (
    Badge,
    Block,
    Cell,
    Column,
    Count,
    Data,
    Heading,
    Link,
    Page,
    Paragraph,
    Picture,
    Points,
    Reliability,
    Scatter,
    Span,
    Table,
    Toned,
    WithSpan,
    figure,
    span_of,
)

_SYMBOLS = {"pass": "✓", "fail": "✗", "inconclusive": "?"}
_TONES = {"good": "right", "bad": "wrong", "open": "", "quiet": "quiet-text", "strong": ""}


class HtmlWords(Words[Markup]):
    """Cells as HTML."""

    def __init__(self, lang: Lang = "en") -> None:
        super().__init__(lang, Markup, _as_text)
        self._plain = Speaker(lang, str, str)

    def cell(self, found: Cell) -> Markup:
        """A cell as HTML; links and drawings, where there is something to draw."""
        match found:
            case Link():
                return self._link(found.rows, self.cell(found.what))
            case Toned() if found.tone:
                inner = super().cell(found)
                return Markup('<span class="{}">{}</span>').format(_TONES[found.tone], inner)
            case Badge():
                outcome = found.outcome.value
                said = self(f"outcome.{outcome}")
                mark = Markup(' <abbr title="{}">~</abbr>').format(self("gate.crosses"))
                return Markup(
                    '<span class="badge {}"><span aria-hidden="true">{}</span> {}{}</span>'
                ).format(outcome, _SYMBOLS[outcome], said, mark if found.crosses else "")
            case Page():
                return Markup('<a href="{}">{}</a>').format(found.address, self.cell(found.what))
            case Span(value=float() as value, low=low, high=high) if found.scale:
                return super().cell(found) + charts.difference_bar(value, low, high, found.scale)
            case Span(value=float() as value, low=low, high=high) if self._is_share(found):
                said = super().cell(found)
                return said + charts.share_bar(value, low, high, said.striptags())
            case WithSpan(estimate=estimate) if found.unit == "%":
                told, span = self.cell(figure(estimate)), super().cell(span_of(estimate))
                label = f"{told.striptags()} ({span.striptags()})"
                drawn = charts.share_bar(estimate.value, estimate.low, estimate.high, label)
                return Markup('{} <span class="sub">{}</span>{}').format(told, span, drawn)
            case Count() if found.n:
                share = Markup("<small>{:.0%}</small>").format(found.n / found.of)
                return self._link(found.rows, self.plain(f"{found.n:,}") + share)
        return super().cell(found)

    def data(self, found: Data) -> Markup:
        """Anybody's text, cut."""
        shown = str(found.text)
        return text(shown if len(shown) <= found.width else f"{shown[: found.width]}…")

    def plain(self, text: str) -> Markup:
        """A number of ours."""
        return escape(text)

    def code(self, name: str) -> Markup:
        """A name that may be typed."""
        return Markup("<code>{}</code>").format(_as_text(name))

    def bold(self, text: Markup) -> Markup:
        """What matters most."""
        return Markup("<strong>{}</strong>").format(text)

    def table_cell(self, column: Column, found: Cell) -> Markup:
        """A cell in its place."""
        if isinstance(found, Count):
            heat = 0 if not found.n else max(1, round(10 * found.n / found.of))
            classes = f"heat-{heat}{' hit' * found.is_right}{' none' * (not found.n)}"
            return Markup('<td class="{}">{}</td>').format(classes, self.cell(found))
        return Markup("<td{}>{}</td>").format(_classes(column), self.cell(found))

    def _link(self, rows: Any, inner: Markup) -> Markup:
        if not rows:
            return inner
        said = {name: self._plain.text(value) for name, value in rows.items()}
        return Markup('<a href="#{}">{}</a>').format(urlencode(said, errors="replace"), inner)

    def _is_share(self, found: Span) -> bool:
        return found.unit == "%" and not found.is_difference


def to_html(blocks: Iterable[Block], lang: Lang = "en") -> Markup:
    """Blocks as part of a page."""
    words, about = HtmlWords(lang), ""
    shown: list[Markup] = []
    for block in blocks:
        if isinstance(block, Heading):
            about = words.cell(block.text).striptags()
        shown += _parts(block, words, about)
    return Markup("\n").join(shown)


def _as_text(found: object) -> Markup:
    return found if isinstance(found, Markup) else text(found)


def _parts(block: Block, words: HtmlWords, about: str) -> Iterator[Markup]:
    match block:
        case Heading():
            name = f"h{block.level}"
            yield Markup("<{0}>{1}</{0}>").format(name, words.cell(block.text))
        case Paragraph():
            yield Markup("<p>{}</p>").format(words.cell(block.text))
        case Points():
            items = Markup("").join(
                Markup("<li>{}</li>").format(words.cell(item)) for item in block.items
            )
            yield Markup("<{0}>{1}</{0}>").format("ol" if block.numbered else "ul", items)
        case Table():
            yield _table(block, words, about)
        case Reliability():
            yield charts.reliability(block.name, block.bins, words("col.mean_confidence"))
        case Scatter():
            name = words.cell(block.name)
            label = words("page.scatter", name=name).striptags()
            across, up = words("page.row_time").striptags(), name.striptags()
            yield charts.scatter(block.dots, label, across, up)
        case Picture():
            return
        case _:
            assert_never(block)


def _classes(column: Column) -> Markup:
    """Of a cell: numbers to the right; on a phone, without what need not be there."""
    said = " ".join(["n"] * (not column.is_text) + ["drop"] * (column.drop > 0))
    return Markup(' class="{}"').format(said) if said else Markup("")


def _table(table: Table, words: HtmlWords, about: str) -> Markup:
    is_matrix = any(isinstance(cell, Count) for row in table.rows for cell in row)
    heads = Markup("").join(
        Markup('<th scope="col"{}>{}</th>').format(_classes(column), words.cell(column.head))
        if column.head
        else Markup("<td></td>")
        for column in table.columns
    )
    rows = Markup("\n").join(
        Markup('<tr><th scope="row">{}</th>{}</tr>').format(
            words.cell(row[0]),
            Markup("").join(
                words.table_cell(column, cell)
                for column, cell in zip(table.columns[1:], row[1:], strict=True)
            ),
        )
        for row in table.rows
    )
    return Markup(
        '<div class="scroll" tabindex="0" role="group" aria-label="{}"><table{}>'
        "<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>"
    ).format(
        about or words.cell(table.columns[0].head).striptags(),
        Markup(f' class="matrix{" wide" * table.is_wide}"' if is_matrix else ""),
        heads,
        rows,
    )
