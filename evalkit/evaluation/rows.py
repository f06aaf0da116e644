"""One example, what the system wrote, and how that reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evalkit.data import Match
from evalkit.locale import Note, say
from evalkit.metrics import Predicted
from evalkit.records import (
    Completion,
    Example,
    Label,
    Missing,
    OutOfEnum,
    ParsedAnswer,
    ParseFailure,
    Prediction,
)
from evalkit.tasks import Field


@dataclass(frozen=True, slots=True)
class EvaluatedRow:
    """One example, what the system wrote, and how that reads."""

    example: Example
    completion: Completion
    parsed: ParsedAnswer
    contaminated_by: Match | None = None
    """The training row that this one repeats, as far as the system's fingerprints tell."""
    group: int | None = None
    """Rows of one group are near-duplicates of each other; None where that was not looked for."""

    @property
    def is_unreadable(self) -> bool:
        """Whether the answer could not be parsed."""
        return isinstance(self.parsed.lenient, ParseFailure)

    def predicted(self, field: str) -> Predicted:
        """What the answer gives a field, read leniently; None where it could not be parsed."""
        lenient = self.parsed.lenient
        return None if isinstance(lenient, ParseFailure) else lenient.fields[field]

    def label(self, field: str) -> Label:
        """The right value of a field."""
        return self.example.labels[field]

    def is_right(self, field: str) -> bool:
        """Whether the answer gives a field exactly the right value."""
        return self.predicted(field) == self.label(field)


Rows = Sequence[EvaluatedRow]


def groups_of(rows: Rows) -> list[int] | None:
    """The rows' groups, where all of them have one."""
    found = [row.group for row in rows if row.group is not None]
    return found if len(found) == len(rows) else None


def values_of(read: Prediction | ParseFailure, fields: Iterable[str]) -> dict[str, Label | None]:
    """The value that an answer gives each field; None where it gives none that the task has."""
    if isinstance(read, ParseFailure):
        return dict.fromkeys(fields)
    return {
        name: None if isinstance(predicted, Missing | OutOfEnum) else predicted
        for name, predicted in read.fields.items()
    }


def problem_of(read: Prediction | ParseFailure) -> str:
    """Why a value is None; empty where none is."""
    if isinstance(read, ParseFailure):
        return f"unreadable: {read.reason}"
    problems = []
    for name, predicted in read.fields.items():
        if isinstance(predicted, Missing):
            problems.append(f"{name} is missing")
        elif isinstance(predicted, OutOfEnum):
            problems.append(f"{name}: {predicted.text!r} is not one of the task's values")
    return "; ".join(problems)


def describe_predicted(field: Field, predicted: Predicted) -> Note:
    """What an answer gives a field, in words."""
    if predicted is None:
        return say("said.unreadable")
    if isinstance(predicted, Missing):
        return say("said.missing")
    if isinstance(predicted, OutOfEnum):
        return say("said.out_of_enum_value", text=predicted.text)
    return Note(field.display(predicted))
