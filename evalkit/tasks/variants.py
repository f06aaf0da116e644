"""Variants of a task: the same question with other values, or the same values by other names.

They are what a suite asks a system in order to see whether it reads the prompt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from evalkit.records import Example, Label
from evalkit.tasks.task import Task


def with_values(task: Task, field: str, values: Mapping[str, str]) -> Task:
    """Return the task with other values for a field.

    Mappings from other label schemes lead to the old values and are dropped.

    Args:
        task: the task to vary; it stays as it is.
        field: a field whose values are texts.
        values: value -> description, in the order in which the prompt lists them.

    Raises:
        ValueError: the task has no such field, or the values do not make one.
    """
    _check_field(task, field)
    listed = [{"value": value, "description": says} for value, says in values.items()]
    return _varied(task, field, {"values": listed, "mappings": {}})


def renamed(task: Task, field: str, names: Mapping[str, str]) -> Task:
    """Return the task with new names for some values of a field, in the same order.

    Descriptions, and which values exclude others, stay as they are.

    Args:
        task: the task to vary; it stays as it is.
        field: a field whose values are texts.
        names: old value -> new value. Values that are not named keep theirs.

    Raises:
        ValueError: the task has no such field or value, or two values would share a name.
    """
    _check_field(task, field)
    spec = task.fields[field]
    strange = [name for name in names if name not in spec.labels]
    if strange:
        raise ValueError(f"field {field!r} has no {', '.join(strange)}; it has {spec.labels}")
    values = [
        value.model_dump() | {"value": names.get(str(value.value), value.value)}
        for value in spec.values
    ]
    mappings = {
        scheme: {theirs: names.get(str(ours), ours) for theirs, ours in mapping.items()}
        for scheme, mapping in spec.mappings.items()
    }
    return _varied(task, field, {"values": values, "mappings": mappings})


def relabelled(
    examples: Iterable[Example], field: str, names: Mapping[str, str]
) -> tuple[Example, ...]:
    """Return examples whose labels go by the new names, as `renamed` gives them to the task."""
    return tuple(
        replace(example, labels={**example.labels, field: _new(example.labels[field], names)})
        for example in examples
    )


def _new(label: Label, names: Mapping[str, str]) -> Label:
    if isinstance(label, tuple):
        return tuple(names.get(part, part) for part in label)
    return names.get(label, label) if isinstance(label, str) else label


def _check_field(task: Task, field: str) -> None:
    if field not in task.fields:
        raise ValueError(f"task {task.name} has no field {field!r}, but {', '.join(task.fields)}")


def _varied(task: Task, field: str, changes: Mapping[str, Any]) -> Task:
    """Validate the task anew: a copy of a pydantic model keeps what its properties have cached."""
    content = task.model_dump()
    content["fields"][field] |= changes
    return Task.model_validate(content)
