"""Rows behind a number that are none of the run's own, in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from evalkit.data.quoting import one_line
from evalkit.evaluation.rows import EvaluatedRow, describe_predicted
from evalkit.locale import Note, say
from evalkit.tasks import Task

MOST = 200
"""Cases that are kept of a number."""


@dataclass(frozen=True, slots=True)
class Case:
    """A row that was asked in another way, or of another task, and counts against a number."""

    id: str
    text: str
    """What was asked."""
    said: str
    """What was answered."""
    right: str = ""
    before: str = ""
    """What was answered where nothing was changed, or by the base."""
    context: str = ""
    """What is different here: the hidden order, the values on offer, how near the choice was."""
    sure: float | None = None
    """How sure the system was of what it said."""


def case_of(
    task: Task,
    row: EvaluatedRow,
    *,
    before: tuple[Task, EvaluatedRow] | None = None,
    context: str = "",
) -> Case:
    """A row as a case; `before` is the same as it was answered before, and what was asked then."""
    return Case(
        row.example.id,
        one_line(row.example.inputs.values()),
        _predicted(task, row),
        ", ".join(f.display(row.example.labels[name]) for name, f in task.fields.items()),
        _predicted(*before) if before else "",
        context,
        max(row.completion.confidences.values(), default=None),
    )


def surest(cases: Iterable[Case]) -> tuple[Case, ...]:
    """The cases that a reader is shown: the surest first, none twice."""
    once = dict.fromkeys(cases)
    return tuple(sorted(once, key=lambda case: -(case.sure or 0.0))[:MOST])


def on_offer(task: Task, field: str | None = None) -> Note:
    """The values that a task offers: of a field, or of all."""
    fields = [task.fields[field]] if field else list(task.fields.values())
    values = ", ".join(spec.display(label) for spec in fields for label in spec.labels)
    return say("case.on_offer", values=values)


def _predicted(task: Task, row: EvaluatedRow) -> str:
    if row.is_unreadable:
        return str(say("said.unreadable_answer", text=row.completion.text))
    return ", ".join(describe_predicted(f, row.predicted(name)) for name, f in task.fields.items())
