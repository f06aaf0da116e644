"""Rows read without being told what task they are of."""

from __future__ import annotations

from evalkit.data.loading import Dataset, OnBadRow, load_dataset
from evalkit.data.mappings import AUTO
from evalkit.errors import UserError
from evalkit.tasks import Task, load_task, task_names


def load_by_any_task(
    source: str,
    *,
    on_bad_row: OnBadRow = "stop",
    mapping: str = AUTO,
    prefer_split: str = "test",
) -> tuple[Task, Dataset]:
    """Read rows by the built-in task that can, and return both.

    A task that takes the labels as they stand goes before one that has to map them.

    Raises:
        UserError: no task can read the rows; says why each one cannot.

    """
    mapped: tuple[Task, Dataset] | None = None
    reasons: dict[str, str] = {}
    for task in sorted(map(load_task, task_names()), key=_mappings):
        try:
            dataset = load_dataset(
                source, task, on_bad_row=on_bad_row, mapping=mapping, prefer_split=prefer_split
            )
        except UserError as error:
            reasons[task.name] = str(error)
            continue
        if not dataset.label_mappings:
            return task, dataset
        mapped = mapped or (task, dataset)
    if mapped:
        return mapped
    if len(set(reasons.values())) == 1:  # it is not the task: there is no such file, say
        raise UserError(next(iter(reasons.values())))
    each = "".join(f"\n  {name}: {why}" for name, why in reasons.items())
    raise UserError(f"No built-in task can read {source}. Choose one with --task.{each}")


def _mappings(task: Task) -> int:
    return sum(len(field.mappings) for field in task.fields.values())
