"""Runs from Python: a system or a function on rows, and runs that are on disk already."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.data import duplicate_groups, load_dataset
from evalkit.errors import UserError
from evalkit.evaluation import EvaluatedRow, Evaluation
from evalkit.records import (
    Completion,
    FailureReason,
    FinishReason,
    Label,
    Missing,
    OutOfEnum,
    ParsedAnswer,
    ParseFailure,
    Prediction,
)
from evalkit.run_record import Contamination, DataRecord, RunRecord
from evalkit.runs import find_run
from evalkit.runs import read_run as read_folder
from evalkit.systems import System, load_system
from evalkit.tasks import Field, FieldKind, Task, load_task

if TYPE_CHECKING:
    from evalkit.data import Dataset
    from evalkit.data.loading import OnBadRow
    from evalkit.engines.loading import Device, Precision

Classify = Callable[[Any], Any]
"""Takes a text, where the task has one input, or a dictionary of texts by the inputs' names. Gives
the value, where the task has one field, or a dictionary of values by the fields' names; None is an
answer that cannot be read."""


def evaluate(
    system: str | Path | Classify,
    data: str | Path,
    *,
    task: str | None = None,
    on_bad_row: OnBadRow = "stop",
    mapping: str = "auto",
    device: Device = "auto",
    precision: Precision = "auto",
    batch_size: int = 16,
    runs: str | Path = "runs",
) -> Evaluation:
    """Let a system or a function answer labelled rows.

    A system's run is written to disk and read back, as the gate does it. A function's answers are
    in memory alone, and what it was trained on is not known.

    Args:
        system: a system on the shelf, the path of its folder, or a function.
        data: rows: a file, or `hf:OWNER/NAME[@REVISION][:SPLIT]`.
        task: for a function: a built-in task's name, or the path of a task's .toml.
        on_bad_row: `stop` at a row that is not an example, or `skip` it.
        mapping: the labels' scheme: `auto`, `none` or one that the task declares.
        device: for a system: `auto`, `cpu`, `cuda` or `mps`.
        precision: for a system: `auto`, `fp32` or `bf16`.
        batch_size: for a system: most rows of a batch.
        runs: for a system: the folder of all runs.

    Returns the evaluation, which can be asked for its numbers: `.accuracy("priority").estimate`.

    Raises:
        UserError: there is no such system, task or file, or something is missing.
    """
    if callable(system):
        if task is None:
            raise UserError('Say what a function is asked: task="NAME", or the path of a .toml.')
        asked = load_task(task)
        rows = load_dataset(str(data), asked, on_bad_row=on_bad_row, mapping=mapping)
        return _evaluate_function(system, asked, rows)
    if task is not None:
        raise UserError("A system has a task of its own; leave out `task`.")
    from evalkit.console import LegibleConsole
    from evalkit.engines.building import EngineOptions
    from evalkit.runs.runner import Runner

    found: System = load_system(system)
    rows = load_dataset(str(data), found.task, on_bad_row=on_bad_row, mapping=mapping)
    options = EngineOptions(device=device, precision=precision, batch_size=batch_size)
    evaluation, _ = Runner(Path(runs), options, LegibleConsole(stderr=True)).evaluate(found, rows)
    return evaluation


def read_run(run: str | Path, *, runs: str | Path = "runs") -> Evaluation:
    """Read a run back, and check that it is as it was written.

    Args:
        run: its folder, (the start of) its name, or the name of a baseline.
        runs: the folder of all runs.

    Raises:
        UserError: there is no such run, or there are several.
        EvidenceError: it was changed after it was written, or is not whole.
    """
    return read_folder(find_run(str(run), Path(runs)))


def _evaluate_function(function: Classify, task: Task, dataset: Dataset) -> Evaluation:
    name = getattr(function, "__name__", type(function).__name__)
    groups = duplicate_groups(dataset.examples)
    rows = []
    for example, group in zip(dataset.examples, groups, strict=True):
        inputs = dict(example.inputs)
        said = function(next(iter(inputs.values())) if len(inputs) == 1 else inputs)
        read = _read(task, said)
        text = "" if said is None else json.dumps(said, ensure_ascii=False, default=str)
        written = Completion(text, FinishReason.STOP)
        rows.append(EvaluatedRow(example, written, ParsedAnswer(read, read), None, group))
    record = RunRecord(
        system=name,
        rows=len(rows),
        task=task,
        task_sha256=task.fingerprint,
        data=DataRecord(source=dataset.source, sha256=dataset.sha256, rows=len(dataset.examples)),
        contamination=Contamination(
            status="unknown", why="a function does not say what it was trained on"
        ),
    )
    return Evaluation(name, task, tuple(rows), record)


def _read(task: Task, said: Any) -> Prediction | ParseFailure:
    if said is None:
        return ParseFailure(FailureReason.EMPTY)
    if not isinstance(said, Mapping):
        if len(task.fields) > 1:
            raise UserError(
                f"Task '{task.name}' has the fields {', '.join(task.fields)}; a function has to "
                f"give a dictionary of them, not {said!r}."
            )
        said = {next(iter(task.fields)): said}
    return Prediction(
        {
            name: _value(field, said[name]) if said.get(name) is not None else Missing()
            for name, field in task.fields.items()
        }
    )


def _value(field: Field, said: Any) -> Label | OutOfEnum:
    """One of the field's values, or what was said instead."""
    if field.kind is not FieldKind.MULTI_LABEL:
        # True equals 1, and is none of a scale's values.
        known = [value for value in field.labels if type(value) is type(said) and value == said]
        return known[0] if known else OutOfEnum(str(said)[:200])
    members = [said] if isinstance(said, str) else list(said)
    if not members or any(member not in field.labels for member in members):
        return OutOfEnum(str(said)[:200])
    return tuple(str(value) for value in field.labels if value in members)
