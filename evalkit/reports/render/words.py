"""Every cell as text in one language, whatever kind of text that is."""

from __future__ import annotations

from dataclasses import replace
from typing import Generic, TypeVar

from evalkit.gates import Verdict
from evalkit.locale import Note, Speaker
from evalkit.reports import numbers, view
from evalkit.reports.view import Cell

_Text = TypeVar("_Text", bound=str)
NONE = "–"
"""Of a number that there is none of."""


class Words(Speaker[_Text], Generic[_Text]):
    """Says every cell in one language, as one kind of text."""

    def cell(self, found: Cell) -> _Text:
        """A cell as text."""
        match found:
            case None:
                return self._markup(NONE)
            case int():
                return self.plain(f"{found:,}")
            case view.Phrase():
                return self(found.code, **found.params)
            case view.Row():
                parts = map(self.cell, found.parts)
                return (
                    self.listed(parts, found.join) if found.join else self._markup("".join(parts))
                )
            case view.Clause():
                return self._markup(self._clause(found.text).rstrip("."))
            case view.Sentence(what=view.Link() | view.Page() as inner):
                return self.cell(replace(inner, what=view.Sentence(inner.what)))
            case view.Sentence():
                said = self("closing.line", what=self.cell(found.what))
                return (
                    self._markup(said[:1].upper() + said[1:]) if self._opens(found.what) else said
                )
            case view.Data():
                return self.data(found)
            case view.Code():
                return self.code(found.name)
            case view.GateName():
                return self._gate(found.verdict)
            case view.GateSpan():
                return self.cell(view.verdict_span(found.verdict))
            case view.Lines():
                return self.listed(map(self.cell, found.parts), "form.clauses")
            case view.Bold():
                return self.bold(self.cell(found.what))
            case view.Toned() | view.Link() | view.Page():
                return self.cell(found.what)
            case view.Count():
                return self.cell(found.n)
            case view.MetricName():
                return self._metric(found)
            case view.Badge():
                said = self(f"outcome.{found.outcome.value}")
                return self._markup(f"{said} {self.plain('~')}") if found.crosses else said
            case view.Figure():
                write = numbers.points if found.is_difference else numbers.number
                return self.plain(write(found.value, found.unit))
            case view.Plain():
                return self.plain(format(found.value, found.format))
            case view.Span():
                return self.span(found)
            case view.WithSpan():
                value = self.cell(view.figure(found.estimate, found.unit))
                return self._markup(
                    f"{value} ({self.cell(view.span_of(found.estimate, found.unit))})"
                )
            case view.Bound():
                return self.plain(self._bound(found))
            case view.PValue():
                shown = numbers.p_value(found.p)
                return self.plain(shown if found.in_words else numbers.bare_p(found.p))
        return self.text(found)

    def _gate(self, verdict: Verdict) -> _Text:
        tier = [] if verdict.policy.blocks else [f"({verdict.policy.tier})"]
        name = [view.Code(verdict.shown), *view.opponent(verdict), *tier]
        return self.cell(view.listed(name, "form.beside"))

    def _opens(self, found: Cell) -> bool:
        """Whether a clause begins with a word of ours: a name keeps its small letter."""
        first = found.parts[0] if isinstance(found, view.Row) else found
        return isinstance(first, view.Phrase) and self._phrases[first.code][:1].isalpha()

    def _clause(self, text: str) -> str:
        return self.text(text) if isinstance(text, Note) else self.data(view.Data(text, 1000))

    def data(self, found: view.Data) -> _Text:
        """Anybody's text, cut."""
        return self._data(found.text)

    def plain(self, text: str) -> _Text:
        """A number of ours."""
        return self._data(text)

    def code(self, name: str) -> _Text:
        """A name that may be typed."""
        return self._data(name)

    def bold(self, text: _Text) -> _Text:
        """What matters most."""
        return text

    def span(self, found: view.Span) -> _Text:
        """An interval."""
        if found.is_difference:
            low, high = (numbers.points(x, found.unit) for x in (found.low, found.high))
        else:
            low, high = (numbers.bare(x, found.unit) for x in (found.low, found.high))
        return self("form.range", low=self.plain(low), high=self.plain(high))

    def _filled(self, value: object) -> object:
        """Counts with their commas; other numbers as a template's own format has them."""
        return value if isinstance(value, float) else self.cell(value)

    def _bound(self, found: view.Bound) -> str:
        shown = numbers.needed(found.policy, found.unit).replace(">=", "≥").replace("<=", "≤")
        return f"= {shown}" if found.policy.max_value == 0 else shown

    def _metric(self, found: view.MetricName) -> _Text:
        key, metric = f"metric.{found.metric.key}", found.metric
        if key not in self:
            return self._data(metric.name)
        what = self(key, value=found.value)
        return (
            what if metric.field is None else self("metric.on_field", field=metric.field, what=what)
        )
