"""Can a tokenizer write what a task wants to read?"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping

from evalkit.engines.chat import Chat
from evalkit.errors import UserError
from evalkit.formats import Format
from evalkit.formats.base import longest_labels
from evalkit.records import Label, Prediction
from evalkit.tasks import Field, FieldKind, Task


def check_spelling(name: str, chat: Chat, task: Task, fmt: Format) -> None:
    """Write each value of a task in an answer, as token ids, and read it back.

    Many tokenizers compose what they are given (NFC), some put it into lower case or lack a
    character; no answer could then give the value as the task has it.

    Raises:
        UserError: a value does not come back as it stands.
    """
    for field, labels in _each_value(task):
        text = fmt.render(task, labels, dict.fromkeys(task.inputs, ""))
        written = chat.decode(chat.encode_answer(text)[:-1])
        strict = fmt.parse(task, written).strict
        if not isinstance(strict, Prediction) or strict.fields != labels:
            raise UserError(_misspelt(name, task, field, labels[field], text, written))


def _each_value(task: Task) -> Iterator[tuple[str, Mapping[str, Label]]]:
    """Every value of every field, in an answer each."""
    others = longest_labels(task)
    for name, field in task.fields.items():
        for label in field.labels:
            yield name, {**others, name: _alone(field, label)}


def _alone(field: Field, label: str | int) -> Label:
    return (str(label),) if field.kind is FieldKind.MULTI_LABEL else label


def _misspelt(name: str, task: Task, field: str, label: Label, text: str, written: str) -> str:
    value = label[0] if isinstance(label, tuple) else str(label)
    composed = unicodedata.normalize("NFC", value)
    fault = (
        f"'{name}' cannot write {value!r}, a value of {field} of task '{task.name}': its tokenizer "
        f"makes {written!r} of {text!r}. "
    )
    if composed != value:
        return (
            f"{fault}The two differ in Unicode form: write the value composed (NFC), "
            f"as {composed!a}."
        )
    return f"{fault}Give the value another name, in letters that this base knows."
