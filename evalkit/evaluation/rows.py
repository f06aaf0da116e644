"""One example, what the system wrote, and how that reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalkit.data import Match
from evalkit.locale import Note, say
from evalkit.metrics import Said
from evalkit.records import Completion, Example, Missing, OutOfEnum, ParseFailure, Reading
from evalkit.tasks import Field


@dataclass(frozen=True, slots=True)
class EvaluatedRow:
    """One example, what the system wrote, and how that reads."""

    example: Example
    completion: Completion
    reading: Reading
    seen: Match | None = None
    """The training row that this one repeats, as far as the system's fingerprints tell."""
    group: int | None = None
    """Rows of one group are near-duplicates of each other; None where that was not looked for."""

    @property
    def is_unreadable(self) -> bool:
        """Whether the answer could not be parsed."""
        return isinstance(self.reading.lenient, ParseFailure)

    def said(self, field: str) -> Said:
        """What the answer gives a field, read leniently; None where it could not be parsed."""
        lenient = self.reading.lenient
        return None if isinstance(lenient, ParseFailure) else lenient.fields[field]

    def is_right(self, field: str) -> bool:
        """Whether the answer gives a field exactly the right value."""
        return self.said(field) == self.example.labels[field]


Rows = Sequence[EvaluatedRow]


def groups_of(rows: Rows) -> list[int] | None:
    """The rows' groups, where all of them have one."""
    found = [row.group for row in rows if row.group is not None]
    return found if len(found) == len(rows) else None


def describe_said(field: Field, said: Said) -> Note:
    """What an answer gives a field, in words."""
    if said is None:
        return say("said.unreadable")
    if isinstance(said, Missing):
        return say("said.missing")
    if isinstance(said, OutOfEnum):
        return say("said.out_of_enum_value", text=said.text)
    return Note(field.display(said))
