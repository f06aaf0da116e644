"""The marks of suites: what they may name. One that names nothing would leave a test out."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from evalkit.errors import UserError, did_you_mean
from evalkit.systems import System, find_shelf, list_systems
from evalkit.tasks import load_task, task_names

if TYPE_CHECKING:
    from evalkit.tasks import Task

ABILITIES = ("live", "language_model", "adapter", "free_decoding")
"""What a test may need of a system: see `System.capabilities`."""


def check_family(family: str, where: str, tasks: Iterable[Task], root: Path) -> None:
    """Refuse the name of a family of tasks that there is none of; `where` is what names it.

    Raises:
        UserError: no task under test, on the shelf or built in, and no folder of rows has it.
    """
    known = {task.family for task in tasks}
    for more in (_built_in, _with_rows, _on_the_shelf):  # what takes longest, last
        if family in known:
            return
        known |= more(root)
    if family not in known:
        raise UserError(
            f"{where}: there is no task of family '{family}'.{did_you_mean(family, known)} "
            f"Known are {', '.join(sorted(known))}; fixtures/{family}/test.jsonl makes it known."
        )


def _built_in(root: Path) -> set[str]:
    return {load_task(name).family for name in task_names()}


def _with_rows(root: Path) -> set[str]:
    return {path.parent.name for path in root.glob("fixtures/*/test.jsonl")}


def _on_the_shelf(root: Path) -> set[str]:
    try:
        shelf = list_systems(find_shelf())
    except UserError:
        return set()
    return {found.task.family for found in shelf if isinstance(found, System)}


def check_marks(item: pytest.Item, task: Task) -> None:
    """Refuse marks of a test for a task that name no field or ability.

    Raises:
        UserError: with the nearest that there is.
    """
    where = place(item)
    each_value = item.get_closest_marker("each_value")
    if each_value is not None:
        field = each_value.args[0] if len(each_value.args) == 1 else None
        if not isinstance(field, str) or each_value.kwargs:
            raise UserError(
                f'{where}: each_value takes the name of one field: each_value("FIELD").'
            )
        _check_name(
            f'{where}: each_value("{field}")', field, task.fields, f"task '{task.name}' has"
        )
    for mark in item.iter_markers("needs"):
        for what in mark.args:
            _check_name(f'{where}: needs("{what}")', what, ABILITIES, "suites may need")
    each_field = item.get_closest_marker("each_field")
    if each_field is not None and (each_field.args or each_field.kwargs):
        raise UserError(f"{where}: each_field takes no argument; it runs once for each field.")


def families_of(item: pytest.Item) -> tuple[str, ...]:
    """The families of tasks that a test says it is for; none where it is for all.

    Raises:
        UserError: it says that it is for some, and names none.
    """
    mark = item.get_closest_marker("task")
    if mark is not None and (not mark.args or mark.kwargs):
        raise UserError(f'{place(item)}: task takes names of families: task("FAMILY").')
    return () if mark is None else tuple(mark.args)


def place(item: pytest.Item) -> str:
    """Where a test is, for messages."""
    return f"{item.location[0]}, {item.location[2].partition('[')[0]}"


def _check_name(where: str, name: str, known: Collection[str], whose: str) -> None:
    if name not in known:
        raise UserError(
            f"{where} names nothing.{did_you_mean(str(name), known)} "
            f"{whose[0].upper()}{whose[1:]} {', '.join(known)}."
        )
