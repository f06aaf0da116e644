"""Blocks as HTML that nothing of a row can become part of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import islice
from typing import Any, assert_never
from urllib.parse import urlencode

from markupsafe import Markup, escape

from evalkit.locale import Lang, Speaker, phrases
from evalkit.reports import charts, view
from evalkit.reports.html.environment import text
from evalkit.reports.render.words import Words

_TYPED = re.compile("`([^`]+)`")
_SYMBOLS = {"pass": "✓", "fail": "✗", "inconclusive": "?"}
_TONES = {"good": "right", "bad": "wrong", "open": "", "quiet": "quiet-text", "strong": ""}


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
                drawing = view.phrase(
                    "page.drawn", value=value, span=span, bound=view.bound(verdict)
                )
                label, scale = self.cell(drawing).striptags(), charts.scale_of(found.beside)
                drawn = charts.interval_bar(verdict, scale, label)
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

    def table_cell(self, column: view.Column, found: view.Cell, *, named: bool) -> Markup:
        """A cell in its place; on a phone a number that stands alone has its name beside it."""
        if isinstance(found, view.Count):
            heat = 0 if not found.n else max(1, round(10 * found.n / found.of))
            classes = f"heat-{heat}{' hit' * found.is_right}{' none' * (not found.n)}"
            return Markup('<td class="{}">{}</td>').format(classes, self.cell(found))
        if isinstance(found, view.GateSpan):
            return Markup('<td class="drawn">{}</td>').format(self.cell(found))
        if isinstance(found, view.Lines):
            return Markup('<td class="said">{}</td>').format(self.cell(found))
        if found == "":
            return Markup("<td{}></td>").format(_classes(column))  # empty for the style sheet, too
        name = Markup(' data-name="{}"').format(self.cell(column.head).striptags())
        return Markup("<td{}{}>{}</td>").format(
            _classes(column), name if named else Markup(), self.cell(found)
        )

    def gate(self, found: view.GateName, group: view.Group) -> Markup:
        """The cell at the head of a gate's row."""
        verdict = found.verdict
        called = (verdict.part or verdict.slice or verdict.gate) if found.is_part else verdict.shown
        tier = "" if verdict.policy.blocks else f" ({verdict.policy.tier})"
        if found.is_part:
            return (
                text(called) + tier + self._asks("" if verdict.asks == group.asks else verdict.asks)
            )
        return text(called) + tier + self.about(group)

    def about(self, group: view.Group) -> Markup:
        """What holds for the gates of a criterion."""
        why = Markup("").join(
            Markup("<details><summary>{}</summary>{}</details>").format(
                self("col.why"), self.text(one)
            )
            for one in group.why
        )
        return self._asks(group.asks) + why

    def _asks(self, asks: str) -> Markup:
        said = Markup('<span class="sub asks">{}</span>').format(self.text(asks))
        return said if asks else Markup()

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
        shown += _parts(block, words, about)
    return Markup("\n").join(shown)


def _as_text(found: object) -> Markup:
    return found if isinstance(found, Markup) else text(found)


def _parts(block: view.Block, words: HtmlWords, about: str) -> Iterator[Markup]:
    match block:
        case view.Heading():
            name = f"h{block.level}"
            yield Markup("<{0}>{1}</{0}>").format(name, words.cell(block.text))
        case view.Paragraph():
            yield Markup("<p>{}</p>").format(words.cell(block.text))
        case view.Points():
            items = Markup("").join(
                Markup("<li>{}</li>").format(words.cell(item)) for item in block.items
            )
            yield Markup("<ul>{}</ul>").format(items)
        case view.Table():
            yield _table(block, words, about)
        case view.Reliability():
            yield charts.reliability(block.name, block.bins, words("col.mean_confidence"))
        case view.Scatter():
            name = words.cell(block.name)
            label = words("page.scatter", name=name).striptags()
            across, up = words("page.row_time").striptags(), name.striptags()
            yield charts.scatter(block.dots, label, across, up)
        case view.Picture():
            return
        case _:
            assert_never(block)


def _classes(column: view.Column) -> Markup:
    """Of a cell: numbers to the right; on a phone, without what need not be there."""
    said = " ".join(["n"] * (not column.is_text) + ["drop"] * (column.drop > 0))
    return Markup(' class="{}"').format(said) if said else Markup("")


def _table(table: view.Table, words: HtmlWords, about: str) -> Markup:
    is_matrix = any(isinstance(cell, view.Count) for row in table.rows for cell in row)
    kind = f' class="matrix{" wide" * table.is_wide}"' if is_matrix else ""
    heads = Markup("").join(
        Markup('<th scope="col"{}>{}</th>').format(_classes(column), words.cell(column.head))
        if column.head
        else Markup("<td></td>")
        for column in table.columns
    )
    bodies = Markup("<tbody>{}</tbody>").format(
        Markup("\n").join(_row(table, row, words) for row in table.rows)
    )
    if table.groups:
        kind, bodies = ' class="gates"', Markup("\n").join(_bodies(table, words))
    return Markup(
        '<div class="scroll" tabindex="0" role="group" aria-label="{}"><table{}>'
        "<thead><tr>{}</tr></thead>{}</table></div>"
    ).format(about or words.cell(table.columns[0].head).striptags(), Markup(kind), heads, bodies)


def _bodies(table: view.Table, words: HtmlWords) -> Iterator[Markup]:
    """The rows of each group under its name; a gate alone has one of its own."""
    rows = iter(table.rows)
    for group in table.groups:
        own = list(islice(rows, group.n))
        head = Markup()
        if own[0][0].is_part:
            head = Markup(
                '<tr class="group"><th scope="rowgroup" colspan="{}">{}{}</th></tr>'
            ).format(len(table.columns), text(group.name), words.about(group))
        shown = Markup("\n").join(_row(table, row, words, group) for row in own)
        yield Markup("<tbody>{}{}</tbody>").format(head, shown)


def _row(
    table: view.Table, row: Sequence[view.Cell], words: HtmlWords, group: view.Group | None = None
) -> Markup:
    first, said = row[0], Markup()
    if group and isinstance(first, view.GateName):
        sliced = Markup(' class="sliced"') if first.is_part else ""
        said = Markup(' data-outcome="{}"{}').format(first.verdict.outcome.value, sliced)
        name = words.gate(first, group)
    else:
        name = words.cell(first)
    cells = (
        words.table_cell(column, cell, named=group is not None)
        for column, cell in zip(table.columns[1:], row[1:], strict=True)
    )
    return Markup('<tr{}><th scope="row">{}</th>{}</tr>').format(said, name, Markup("").join(cells))
