"""Blocks as HTML that nothing of a row can become part of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, assert_never
from urllib.parse import urlencode

from markupsafe import Markup, escape

from evalkit.locale import Lang
from evalkit.reports.html.drawing import Drawn, share_on_scale
from evalkit.reports.html.environment import drawn, text
from evalkit.reports.html.reliability import draw_reliability
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
    Paragraph,
    Picture,
    Points,
    Reliability,
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

    def cell(self, found: Cell) -> Markup:
        """A cell as HTML; links and drawings, where there is something to draw."""
        match found:
            case Link():
                return self._link(found.rows, self.cell(found.what))
            case Toned():
                inner = super().cell(found)
                return Markup('<span class="{}">{}</span>').format(_TONES[found.tone], inner)
            case Badge():
                outcome = found.outcome.value
                said = self(f"outcome.{outcome}")
                mark = Markup(' <abbr title="{}">~</abbr>').format(self("gate.crosses"))
                return Markup(
                    '<span class="badge {}"><span aria-hidden="true">{}</span> {}{}</span>'
                ).format(outcome, _SYMBOLS[outcome], said, mark if found.crosses else "")
            case Span() if found.value is not None and found.unit == "%":
                value, low, high = (
                    round(100 * min(max(x, 0), 1), 2) for x in (found.value, found.low, found.high)
                )
                said = super().cell(found)
                return said + drawn("share_bar", Drawn(said.striptags(), value, low, high))
            case WithSpan() if found.unit == "%":
                return Markup('{} <span class="sub">{}</span>{}').format(
                    self.cell(figure(found.estimate)),
                    super().cell(span_of(found.estimate)),
                    drawn("share_bar", share_on_scale(found.estimate)),
                )
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
        kind = "" if column.is_text else " class=n"
        return Markup("<td{}>{}</td>").format(Markup(kind), self.cell(found))

    def _link(self, rows: Any, inner: Markup) -> Markup:
        if not rows:
            return inner
        return Markup('<a href="#{}">{}</a>').format(urlencode(rows, errors="replace"), inner)


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
            curve = draw_reliability(block.bins)
            yield drawn("reliability", block.name, curve, words("col.mean_confidence"))
        case Picture():
            return
        case _:
            assert_never(block)


def _table(table: Table, words: HtmlWords, about: str) -> Markup:
    is_matrix = any(isinstance(cell, Count) for row in table.rows for cell in row)
    heads = Markup("").join(
        Markup('<th scope="col"{}>{}</th>').format(
            Markup("" if column.is_text else " class=n"), words.cell(column.head)
        )
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
        '<div class="scroll" tabindex="0" role="region" aria-label="{}"><table{}>'
        "<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>"
    ).format(
        about or words.cell(table.columns[0].head).striptags(),
        Markup(' class="matrix"' if is_matrix else ""),
        heads,
        rows,
    )
