"""Labels of one scheme written as those of another."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalkit.data.paths import locate, replaced
from evalkit.data.row_files import Line, RowFile, TaskRows
from evalkit.data.rows import RawLabel, RowFault, decode
from evalkit.errors import UserError, did_you_mean
from evalkit.records import Label
from evalkit.tasks import Field, FieldKind, Task

Changes = Mapping[str, Mapping[str, str | int]]
"""Field -> (value as text -> the value to write)."""


@dataclass(frozen=True, slots=True)
class Remapped:
    """A row under its new labels."""

    raw: bytes
    """The line; as it stood where no label of it changed."""
    before: Mapping[str, RawLabel]
    after: Mapping[str, Label]


def read_changes(task: Task, changes: Sequence[str]) -> Changes:
    """Read `FIELD.OLD=NEW` as the user wrote it.

    Raises:
        UserError: the form is another, or the field or the new value is not one of the task's.
    """
    read: dict[str, dict[str, str | int]] = {}
    for change in changes:
        name, dot, values = change.partition(".")
        old, equals, new = values.partition("=")
        if not (dot and equals and name and old and new):
            raise UserError(f"--map takes FIELD.OLD=NEW, such as folder.Alert=Alerts, not {change}")
        if name not in task.fields:
            near = did_you_mean(name, task.fields)
            raise UserError(f"--map {change}: task '{task.name}' has no field '{name}'.{near}")
        values_of = {str(label): label for label in task.fields[name].labels}
        if new not in values_of:
            raise UserError(
                f"--map {change}: '{new}' is not a value of '{name}' in task '{task.name}' "
                f"({', '.join(values_of)}).{did_you_mean(new, values_of)} Name the task that the "
                "new labels are of with --task."
            )
        if old in read.setdefault(name, {}):
            raise UserError(f"--map {change}: '{name}.{old}' is mapped twice.")
        read[name][old] = values_of[new]
    return read


def declared_changes(task: Task, schemes: Mapping[str, str]) -> Changes:
    """Return what a task's declared schemes change."""
    return {name: task.fields[name].mappings[scheme] for name, scheme in schemes.items()}


def remap(line: Line, rows: TaskRows[RowFile], changes: Changes) -> Remapped:
    """Write a row's labels anew.

    Values that `changes` does not list stay as they are.

    Raises:
        RowFault: a label cannot be read, or is not one of the task's afterwards.
    """
    row, reader = line.row, rows.reader
    if row.content is None:
        raise RowFault(row.fault)
    content: dict[str, object] = dict(row.content)
    before: dict[str, RawLabel] = {}
    after: dict[str, Label] = {}
    for name, field in rows.task.fields.items():
        old = before[name] = reader.raw_label(content, name)
        new = _mapped(old, changes.get(name, {}))
        after[name] = decode(name, field, new, None)
        if new != old:
            keys = locate(content, field.paths, reader)
            if keys is None:
                raise RowFault(
                    f"field '{name}': it is in a list or in text that holds JSON, where no "
                    "label can be written. Remap the rows that these were made of."
                )
            content = replaced(content, keys, as_written(field, new, is_text=reader.is_text))
    raw = line.raw if content == row.content else rows.file.write(content)
    return Remapped(raw, before, after)


def count_changes(remapped: Sequence[Remapped]) -> dict[str, Counter[tuple[str, str]]]:
    """Count for each field which label became which; those that stayed are counted too."""
    counts: dict[str, Counter[tuple[str, str]]] = {}
    for row in remapped:
        for name, old in row.before.items():
            pair = (_text(old), _text(row.after[name]))
            counts.setdefault(name, Counter())[pair] += 1
    return counts


def _mapped(label: RawLabel, change: Mapping[str, str | int]) -> RawLabel:
    if isinstance(label, tuple):
        # Two values may have become one.
        return tuple(dict.fromkeys(change.get(str(part), part) for part in label))
    return change.get(str(label), label)


def as_written(field: Field, label: RawLabel | Label, *, is_text: bool) -> object:
    """A label as a row of its file has it."""
    if field.kind is FieldKind.MULTI_LABEL and isinstance(label, tuple):
        return json.dumps(label, ensure_ascii=False) if is_text else list(label)
    return str(label) if is_text else label


def _text(label: RawLabel | Label) -> str:
    return ", ".join(map(str, label)) if isinstance(label, tuple) else str(label)
