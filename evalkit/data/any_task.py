"""Rows read without being told what task they are of."""

from __future__ import annotations

from evalkit.data.loading import Dataset, OnBadRow, load_dataset
from evalkit.data.mappings import AUTO
from evalkit.errors import UserError
from evalkit.tasks import Task, known_tasks

LEAST_TELLING = 20


def load_by_any_task(
    source: str,
    *,
    on_bad_row: OnBadRow = "stop",
    mapping: str = AUTO,
    prefer_split: str = "test",
) -> tuple[Task, Dataset]:
    """Read rows by the built-in task or the project's own that can, and return both.

    A task that takes the labels as they are goes before one that has to map them.

    Raises:
        UserError: no task can read the rows; says why each one cannot.
    """
    mapped: tuple[Task, Dataset] | None = None
    reasons: dict[str, str] = {}
    for task in sorted(known_tasks(), key=_mappings):
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
    raise UserError(f"No known task can read {source}. Choose one with --task.{each}")


def load_both_by_any_task(
    train: str,
    test: str,
    *,
    on_bad_row: OnBadRow = "stop",
    mapping: str = AUTO,
) -> tuple[Task, Dataset, Dataset]:
    """Read two sources by one built-in task, on one scale.

    Five-level labels beside three-level ones can be read by the five-level task as they are, but
    are not the same scale. Where a task maps the labels of one source and finds the other's on its
    own scale already, it is taken.

    Raises:
        UserError: no task can read the first source, or the one that does not the second.
    """
    task, known = load_by_any_task(
        train, on_bad_row=on_bad_row, mapping=mapping, prefer_split="train"
    )
    asked = load_dataset(test, task, on_bad_row=on_bad_row, mapping=mapping)
    for other in known_tasks():
        if other.name == task.name or not _mappings(other):
            continue
        try:
            mapped = load_dataset(
                train, other, on_bad_row=on_bad_row, mapping=mapping, prefer_split="train"
            )
            own = load_dataset(test, other, on_bad_row=on_bad_row, mapping=mapping)
        except UserError:
            continue
        if mapped.label_mappings != own.label_mappings and _tells(mapped) and _tells(own):
            return other, mapped, own
    return task, known, asked


def _tells(dataset: Dataset) -> bool:
    """Whether so many rows would show a value of a finer scale, if they were on one."""
    return bool(dataset.label_mappings) or len(dataset.examples) >= LEAST_TELLING


def _mappings(task: Task) -> int:
    return sum(len(field.mappings) for field in task.fields.values())
