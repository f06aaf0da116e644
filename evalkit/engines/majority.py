"""The baseline below all others: always the most frequent value of the training rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.engines.baseline import Answer, BaselineEngine, broken, check_header, describe_task
from evalkit.engines.building import EngineKind, EngineOptions
from evalkit.errors import UserError
from evalkit.records import Example, Label
from evalkit.tasks import Field, Task

if TYPE_CHECKING:
    from evalkit.systems import System

VERSION = 1


@dataclass(frozen=True)
class MajorityModel:
    """One answer to everything."""

    task: Task
    always: Answer
    """The most frequent values, with their shares of the training rows."""

    def answer(self, inputs: Sequence[Mapping[str, str]]) -> list[Answer]:
        """Say the same of every input."""
        return [self.always] * len(inputs)

    def describe(self) -> Mapping[str, str | int]:
        """Name the kind."""
        return {"engine": "majority"}

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        content = {
            "version": VERSION,
            "task": describe_task(self.task),
            "answer": dict(self.always.labels),
            "share": dict(self.always.confidences),
        }
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        path.write_text(text, encoding="utf-8")


def fit_majority(task: Task, examples: Sequence[Example]) -> MajorityModel:
    """Find the most frequent value of each field; of several the task's first."""
    labels: dict[str, Label] = {}
    shares: dict[str, float] = {}
    for name, field in task.fields.items():
        counts = Counter(example.labels[name] for example in examples)
        labels[name] = min(counts, key=lambda value: (-counts[value], _place(field, value)))
        shares[name] = counts[labels[name]] / len(examples)
    return MajorityModel(task, Answer(labels, shares))


def load_majority(path: Path, task: Task) -> MajorityModel:
    """Read what `MajorityModel.save` wrote.

    Raises:
        UserError: the file is broken, or was made for another task.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        check_header(content, VERSION, task, path)
        labels = {name: _label(content["answer"][name], task.fields[name]) for name in task.fields}
        shares = {name: float(content["share"][name]) for name in task.fields}
        if not all(0 < share <= 1 for share in shares.values()):
            raise ValueError("a share is not between 0 and 1")
    except UserError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise broken(path, error) from error
    return MajorityModel(task, Answer(labels, shares))


def _label(value: Any, field: Field) -> Label:
    many = field.kind == "multi-label"
    said = value if many else [value]
    # In Python 1 is True and 1.0.
    if not said or any(type(v) not in (int, str) or v not in field.labels for v in said):
        raise ValueError(f"{value!r} is not a value of {field.title}")
    label: Label = tuple(said) if many else value
    return label


def _place(field: Field, value: Label) -> tuple[int, ...]:
    return tuple(field.labels.index(v) for v in (value if isinstance(value, tuple) else (value,)))


def _build(system: System, options: EngineOptions) -> BaselineEngine:
    model = load_majority(system.trained_files[0], system.task)
    return BaselineEngine(model, system.task, system.format)


ENGINE = EngineKind(_build, is_baseline=True, trained_file="baseline.json", trained_elsewhere=False)
