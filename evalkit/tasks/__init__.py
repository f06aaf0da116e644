"""Tasks: what is asked, as TOML files."""

from evalkit.tasks.task import (
    Field,
    FieldKind,
    FieldValue,
    Input,
    Task,
    known_tasks,
    load_task,
    task_names,
)

__all__ = [
    "Field",
    "FieldKind",
    "FieldValue",
    "Input",
    "Task",
    "known_tasks",
    "load_task",
    "task_names",
]
