"""Baselines that are trained: a model small enough to need no engine of its own.

A baseline reads the inputs and no prompt. Its answers are written by the system's format and are
read back like a language model's, so both are judged alike.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from evalkit.engines.chat import text_sha256
from evalkit.errors import UserError
from evalkit.formats import Format
from evalkit.records import Completion, FinishReason, Label, Prompt, Request, Span
from evalkit.tasks import Task

BATCH = 256


@dataclass(frozen=True, slots=True)
class Answer:
    """What a baseline says of one input."""

    labels: Mapping[str, Label]
    """Field name -> value, every field of the task."""
    confidences: Mapping[str, float]
    """Field name -> the probability of that value; of a set, that of the whole set."""


class BaselineModel(Protocol):
    """A trained baseline in memory."""

    def answer(self, inputs: Sequence[Mapping[str, str]]) -> list[Answer]:
        """Answer inputs, in order."""

    def describe(self) -> Mapping[str, str | int]:
        """What kind it is, for the record."""

    def save(self, path: Path) -> None:
        """Write it to a file. The same model gives the same bytes."""


class BaselineEngine:
    """Lets a baseline answer requests."""

    def __init__(self, model: BaselineModel, task: Task, fmt: Format) -> None:
        self.model = model
        self.task = task
        self.format = fmt

    def complete(self, requests: Sequence[Request]) -> Iterator[tuple[str, Completion]]:
        """Yield one answer per request, in order."""
        for start in range(0, len(requests), BATCH):
            batch = requests[start : start + BATCH]
            clock = time.perf_counter()
            answers = self.model.answer([request.inputs for request in batch])
            seconds = (time.perf_counter() - clock) / len(batch)
            for request, answer in zip(batch, answers, strict=True):
                text = self.format.render(self.task, answer.labels, request.inputs)
                yield (
                    request.id,
                    Completion(
                        text, FinishReason.STOP, seconds=seconds, confidences=answer.confidences
                    ),
                )

    def describe(self) -> Mapping[str, str | int]:
        """Name the kind of baseline."""
        return self.model.describe()

    def prompt_sha256(self, prompt: Prompt) -> str:
        """Hash the prompt before any template; none of it is read."""
        return text_sha256([Span(prompt.instructions, trusted=True), *prompt.user])


def describe_task(task: Task) -> dict[str, Any]:
    """What of a task decides a baseline: its inputs, fields and values, and no word of a prompt."""
    return {
        "inputs": list(task.inputs),
        "fields": {
            name: {"kind": field.kind.value, "values": list(field.labels)}
            for name, field in task.fields.items()
        },
    }


def check_header(header: Mapping[str, Any], version: int, task: Task, path: Path) -> None:
    """Hold what a baseline's file says of itself against what it is wanted for.

    Raises:
        UserError: it is of another version of evalkit, or of another task.
    """
    if header.get("version") != version:
        raise UserError(
            f"{path} was made by another version of evalkit. `evalkit train` makes it anew."
        )
    if header.get("task") != describe_task(task):
        raise UserError(
            f"{path} was trained for a task with other inputs, fields or values than "
            f"'{task.name}'. `evalkit train` makes it anew."
        )


def broken(path: Path, error: Exception) -> UserError:
    """The error for a file that is no baseline."""
    return UserError(
        f"{path} cannot be read as a baseline ({error}). `evalkit train` makes it anew."
    )
