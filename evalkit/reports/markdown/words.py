"""What reports say, as Markdown. Names of gates, fields and values stay as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalkit.evaluation import Metric
from evalkit.locale import Lang, Speaker
from evalkit.reports.markdown.text import Markdown, code, safe
from evalkit.tasks import Field


class Words(Speaker[Markdown]):
    """What a report says, in one language."""

    def __init__(self, lang: Lang) -> None:
        super().__init__(lang, Markdown, lambda text: safe(text, 1000))

    def gates(self, names: Sequence[str], most: int | None = None) -> Markdown:
        """Names of gates in a row; of many, the first and how many more there are."""
        shown = self.listed([code(name) for name in names[:most]])
        if most is None or len(names) <= most:
            return shown
        return self("form.and_more", names=shown, n=Markdown(f"{len(names) - most:,}"))

    def clause(self, text: str) -> Markdown:
        """A sentence as part of another: without the full stop."""
        return Markdown(self.text(text).rstrip("."))

    def metric(self, metric: Metric, fields: Mapping[str, Field]) -> Markdown:
        """A metric's name: its field, and what is measured."""
        key = f"metric.{metric.key}"
        if key not in self:
            return safe(metric.name)
        if metric.field is None:
            return self(key)
        value = "" if metric.value is None else fields[metric.field].display(metric.value)
        return self("metric.on_field", field=metric.field, what=self(key, value=value))
