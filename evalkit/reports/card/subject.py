"""What a model card is of, and what is said of it wherever it stands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evalkit.systems import System

Measured = Mapping[str, Mapping[str, Any]]
"""The usual numbers of a run by name, as `verdicts.json` has them."""
_HUB_BASE = re.compile(r"hf:(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?", re.ASCII)


@dataclass(frozen=True)
class Subject:
    """What a card is of."""

    name: str
    task: str
    format: str
    base: str | None
    """`base` of the system.toml; None for a baseline."""
    summary: str = ""
    inputs: tuple[str, ...] = ()
    """What it reads, by the task's names."""
    values: Mapping[str, tuple[str, ...]] | None = None
    """Field -> the values it chooses among."""

    @property
    def base_on_hub(self) -> tuple[str, str | None] | None:
        """The base's repository and revision; None where the Hub has no name for it."""
        match = _HUB_BASE.fullmatch(self.base or "")
        return (match["repo"], match["revision"]) if match else None


def subject_of(system: System) -> Subject:
    """What a card says of a system on the shelf."""
    task = system.task
    return Subject(
        system.name,
        task.name,
        system.format.name,
        None if system.is_baseline else system.config.base,
        system.config.summary,
        tuple(task.inputs),
        {
            name: tuple(field.display(label) for label in field.labels)
            for name, field in task.fields.items()
        },
    )


def shown_source(source: str) -> str:
    """Where rows come from, without the folders of somebody's machine."""
    if source.startswith("hf:"):
        return source
    path = Path(source)
    return path.name if path.is_absolute() or ".." in path.parts else source
