"""Blocks as HTML that nothing of a row can become part of."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from itertools import islice
from typing import Any, assert_never
from urllib.parse import urlencode

from markupsafe import Markup, escape

from evalkit.locale import Lang, Speaker, phrases
from evalkit.reports import charts, view
from evalkit.reports.html.environment import macros, text
from evalkit.reports.render.words import Words

_TYPED = re.compile("`([^`]+)`")
_SYMBOLS = {"pass": "✓", "fail": "✗", "inconclusive": "?"}
_TONES = {"good": "right", "bad": "wrong", "open": "", "quiet": "quiet-text"}


class HtmlWords(Words[Markup]):
    """Cells as HTML."""

    def __init__(self, lang: Lang = "en") -> None:
        super().__init__(lang, Markup, _as_text)
        self._phrases = _marked(lang)
        self._plain = Speaker(lang, str, str)

    def cell(self, found: view.Cell) -> Markup:
        """A cell as HTML; links and drawings, where there is something to draw."""
        match found:
            case view.Link():
                return self._link(found.rows, self.cell(found.what))
            case view.Toned() if found.tone:
                inner = super().cell(found)
                return Markup('<span class="{}">{}</span>').format(_TONES[found.tone], inner)
            case view.GateSpan(verdict=verdict):
                value, span = view.verdict_value(verdict), view.verdict_span(verdict)
                needs, scale = view.bound(verdict), charts.scale_of(found.beside)
                said = self.cell(view.phrase("page.drawn", value=value, span=span, bound=needs))
                drawn = charts.interval_bar(verdict, scale, said.striptags())
                return drawn + Markup('<span class="sub num">{}</span>').format(super().cell(span))
            case view.Lines():
                lines = (Markup("<p>{}</p>").format(self.cell(part)) for part in found.parts)
                return Markup("").join(lines)
            case view.Badge():
                outcome = found.outcome.value
                said = self(f"outcome.{outcome}")
                mark = Markup(' <abbr title="{}">~</abbr>').format(self("gate.crosses"))
                return Markup(
                    '<span class="badge {}"><span aria-hidden="true">{}</span> {}{}</span>'
                ).format(outcome, _SYMBOLS[outcome], said, mark if found.crosses else "")
            case view.Page():
                return Markup('<a href="{}">{}</a>').format(found.address, self.cell(found.what))
            case view.Span(value=float() as value, low=low, high=high) if found.scale:
                return super().cell(found) + charts.difference_bar(value, low, high, found.scale)
            case view.Span(value=float() as value, low=low, high=high) if self._is_share(found):
                said = super().cell(found)
                return said + charts.share_bar(value, low, high, said.striptags())
            case view.WithSpan(estimate=estimate) if found.unit == "%":
                told, span = self.cell(view.figure(estimate)), super().cell(view.span_of(estimate))
                label = f"{told.striptags()} ({span.striptags()})"
                drawn = charts.share_bar(estimate.value, estimate.low, estimate.high, label)
                return Markup('{} <span class="sub">{}</span>{}').format(told, span, drawn)
            case view.Count() if found.n:
                share = Markup("<small>{:.0%}</small>").format(found.n / found.of)
                return self._link(found.rows, self.plain(f"{found.n:,}") + share)
        return super().cell(found)

    def data(self, found: view.Data) -> Markup:
        """Anybody's text, cut."""
        shown = str(found.text)
        return text(shown if len(shown) <= found.width else f"{shown[: found.width]}…")

    def plain(self, text: str) -> Markup:
        """A number of ours."""
        return escape(text)

    def code(self, name: str) -> Markup:
        """A name that may be typed."""
        return Markup("<code>{}</code>").format(text(name))

    def bold(self, text: Markup) -> Markup:
        """What matters most."""
        return Markup("<strong>{}</strong>").format(text)

    @staticmethod
    def kind(found: view.Cell) -> str:
        """What class of `view.py` a cell is of."""
        return type(found).__name__

    def _link(self, rows: Any, inner: Markup) -> Markup:
        if not rows:
            return inner
        said = {name: self._plain.text(value) for name, value in rows.items()}
        return Markup('<a href="#{}">{}</a>').format(urlencode(said, errors="replace"), inner)

    def _is_share(self, found: view.Span) -> bool:
        return found.unit == "%" and not found.is_difference


@cache
def _marked(lang: Lang) -> dict[str, str]:
    """The sentences with what may be typed as code."""
    return {code: _TYPED.sub(r"<code>\1</code>", said) for code, said in phrases(lang).items()}


def to_html(blocks: Iterable[view.Block], lang: Lang = "en") -> Markup:
    """Blocks as part of a page."""
    words, about = HtmlWords(lang), ""
    shown: list[Markup] = []
    for block in blocks:
        if isinstance(block, view.Heading):
            about = words.cell(block.text).striptags()
        shown.append(_shown(block, words, about))
    return Markup("\n").join(shown)


def _as_text(found: object) -> Markup:
    return found if isinstance(found, Markup) else text(found)


def _shown(block: view.Block, words: HtmlWords, about: str) -> Markup:
    made = macros("blocks.html.j2")
    shown: Markup
    match block:
        case view.Heading():
            shown = made.heading(block, words)
        case view.Paragraph():
            shown = made.paragraph(block, words)
        case view.Points():
            shown = made.points(block, words)
        case view.Table():
            shown = made.table(block, words, *_table(block, words, about))
        case view.Reliability():
            shown = charts.reliability(block.name, block.bins, words("col.mean_confidence"))
        case view.Scatter():
            name = words.cell(block.name)
            label = words("page.scatter", name=name).striptags()
            across, up = words("page.row_time").striptags(), name.striptags()
            shown = charts.scatter(block.dots, label, across, up)
        case view.Picture():
            shown = Markup()
        case _:
            assert_never(block)
    return shown


def _table(
    table: view.Table, words: HtmlWords, about: str
) -> tuple[str, str, list[tuple[view.Group | None, list[tuple[view.Cell, ...]]]]]:
    """What a table is called, its class, and the rows of each group."""
    label = about or words.cell(table.columns[0].head).striptags()
    if not table.groups:
        is_matrix = any(isinstance(cell, view.Count) for row in table.rows for cell in row)
        kind = f"matrix{' wide' * table.is_wide}" if is_matrix else ""
        return label, kind, [(None, list(table.rows))]
    rows = iter(table.rows)
    return label, "gates", [(group, list(islice(rows, group.n))) for group in table.groups]
