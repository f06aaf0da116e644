"""Whether a general question was answered as if it were the system's task."""

from __future__ import annotations

from evalkit.formats import Format
from evalkit.records import Missing, OutOfEnum, ParseFailure
from evalkit.tasks import Task


def looks_like_classification(text: str, task: Task, fmt: Format) -> bool:
    """Whether a text holds an answer to the system's own task, read leniently.

    Any field with one of the task's values is enough. So is a field with another value, in
    formats that name the fields; where a bare word is an answer too (`labels`), any word would
    count as a value that the task does not have.
    """
    found = fmt.parse(task, text).lenient
    if isinstance(found, ParseFailure):
        return False
    names_fields = isinstance(fmt.parse(task, "word").lenient, ParseFailure)
    not_said = (Missing,) if names_fields else (Missing, OutOfEnum)
    return any(not isinstance(value, not_said) for value in found.fields.values())
