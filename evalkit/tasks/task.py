"""The `Task` model and its loader."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from functools import cache, cached_property
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from evalkit.errors import UserError, did_you_mean
from evalkit.records import Label
from evalkit.toml_files import parse_toml

BUILT_IN = Path(__file__).parent


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class FieldKind(StrEnum):
    """What kind of value a field takes."""

    CHOICE = "choice"
    """Exactly one of several strings."""
    ORDINAL = "ordinal"
    """Exactly one of several integers, in order."""
    MULTI_LABEL = "multi-label"
    """One or more of several strings."""


class FieldValue(_Model):
    """One value a field may take."""

    value: str | int
    """What an answer names: a text, or a whole number of an ordinal field."""
    name: str = ""
    """A word for an ordinal value, such as "low"."""
    description: str
    """What it means, in the words of whoever labels; it stands in the prompt."""
    excludes_others: bool = False
    """Multi-label only: this value stands alone (such as "none")."""


class Field(_Model):
    """One thing the model has to say about an input."""

    kind: FieldKind
    """`choice`: one of several texts. `ordinal`: one of several whole numbers, in order.
    `multi-label`: one or more of several texts."""
    title: str
    """The heading over this field's values in the prompt."""
    paths: tuple[str, ...]
    """Where a row keeps this label; the first path that is there counts."""
    values: tuple[FieldValue, ...]
    """What it may be, in the order in which the prompt lists them."""
    mappings: dict[str, dict[str, str | int]] = {}
    """Other label schemes: scheme name -> (their value, as text -> ours)."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        wanted = int if self.kind is FieldKind.ORDINAL else str
        wrong = [v.value for v in self.values if type(v.value) is not wanted]
        if wrong:
            raise ValueError(f"values of a {self.kind} field are {wanted.__name__}, not {wrong}")
        if len(self.values) < 2:
            raise ValueError("a field needs at least two values")
        if len(set(self.labels)) != len(self.values):
            raise ValueError("a value is listed twice")
        if not self.paths:
            raise ValueError("a field needs at least one path")
        for scheme, mapping in self.mappings.items():
            strange = [v for v in mapping.values() if v not in self.labels]
            if strange:
                raise ValueError(f"mapping '{scheme}' leads to {strange}, not values of the field")
        return self

    @cached_property
    def labels(self) -> tuple[str | int, ...]:
        """The field's values, in order."""
        return tuple(v.value for v in self.values)

    @cached_property
    def exclusive(self) -> frozenset[str | int]:
        """Multi-label values that exclude all others."""
        return frozenset(v.value for v in self.values if v.excludes_others)

    def display(self, label: Label) -> str:
        """A label as people read it: `low` for 1, `a, b` for a set."""
        if isinstance(label, tuple):
            return ", ".join(label)
        named = {v.value: v.name for v in self.values if v.name}
        return named.get(label, str(label))


class Input(_Model):
    """One named text of an example."""

    title: str
    """What the prompt calls it."""
    paths: tuple[str, ...]
    """Where a row keeps it; the first path that is there counts."""
    optional: bool = False
    """Whether a row may leave it out; it is then the empty string."""


class Task(_Model):
    """What is asked of a model."""

    name: str
    """What `--task` calls it; the file's name by default."""
    family: str
    """What suites call this kind of task: `@pytest.mark.task("notifications")`."""
    summary: str
    """One line, for people, servers and function calls."""
    instruction: str
    """The first lines of the prompt."""
    closing: str = ""
    """The last line of the instructions, such as Qwen3's `/no_think`."""
    function: str = "classify"
    """The function's name in the call format."""
    id_paths: tuple[str, ...] = ("id",)
    """Where a row keeps its id; the first path that is there counts."""
    inputs: dict[str, Input]
    """The texts of an example, by name."""
    fields: dict[str, Field]
    """What the model has to say, by name."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.inputs or not self.fields:
            raise ValueError("a task needs at least one input and one field")
        both = set(self.inputs) & set(self.fields)
        if both:
            raise ValueError(f"{sorted(both)} are inputs and fields at once")
        return self

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of everything the task says, hexadecimal."""
        # Runs and adapters know tasks by hashes from before there was a closing.
        said = self.model_dump_json(exclude=None if self.closing else {"closing"})
        return hashlib.sha256(said.encode()).hexdigest()


def task_names() -> list[str]:
    """Names of the tasks that come with evalkit."""
    return sorted(path.stem for path in BUILT_IN.glob("*.toml"))


PROJECT_TASK = "task.toml"
"""The task of a project, in its folder."""


def known_tasks() -> list[Task]:
    """The built-in tasks and, before them, that of the project in the working directory.

    Raises:
        UserError: the project's task has a fault.
    """
    own = [load_task(PROJECT_TASK)] if Path(PROJECT_TASK).is_file() else []
    return [*own, *map(load_task, task_names())]


def load_task(name: str, beside: Path | None = None) -> Task:
    """Load a task by its name (a built-in one or the project's own) or by the path of a TOML file.

    Args:
        name: `notifications-3level`, or a path ending in `.toml`.
        beside: folder that a relative path starts from; the working directory by default.

    Raises:
        UserError: no such task, or the file is not a valid task.
    """
    if name.endswith(".toml"):
        path = (beside or Path.cwd()) / name
        if not path.is_file():
            raise UserError(f"There is no task file {path}.")
        return parse_toml(Task, path, name=path.stem)
    if (BUILT_IN / f"{name}.toml").is_file():
        return _built_in(name)
    own = [task for task in known_tasks() if task.name == name]
    if own:
        return own[0]
    raise UserError(
        f"There is no task '{name}'.{did_you_mean(name, task_names())}"
        f" Built-in tasks: {', '.join(task_names())}; or give the path of a .toml file."
    )


@cache
def _built_in(name: str) -> Task:
    path = BUILT_IN / f"{name}.toml"
    return parse_toml(Task, path, name=path.stem)
