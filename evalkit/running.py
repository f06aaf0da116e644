"""A system and a dataset -> a run on disk."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from evalkit.data import Dataset
from evalkit.engines.base import Engine
from evalkit.engines.building import EngineOptions, build_engine
from evalkit.environment import commit, machine, package_versions
from evalkit.evaluation import Evaluation, evaluate
from evalkit.formats.base import empty_prompt
from evalkit.store import Journal, read_run, write_run
from evalkit.systems import System
from evalkit.weights import weights_fingerprint
from evalkit.weights.cache import hash_file


def run_system(
    system: System,
    dataset: Dataset,
    runs: Path,
    options: EngineOptions,
    console: Console,
    *,
    build: Callable[[System, EngineOptions], Engine] = build_engine,
) -> tuple[Evaluation, Path]:
    """Load a system, let it answer a dataset, store the run, and read it back.

    Args:
        system: what is under test.
        dataset: what it is asked.
        runs: folder of all runs.
        options: how it is run on this machine.
        console: where progress is shown, if it is a terminal.
        build: makes the engine; tests pass their own.

    Returns the evaluation as read from disk, and the run's folder.
    """
    started = datetime.now(UTC)
    clock = time.perf_counter()
    with _spinner(console, f"loading {system.name}"):
        engine = build(system, options)
    loaded = time.perf_counter()
    identity = _identity(system, dataset, engine)
    journal = Journal(runs, identity)
    done = journal.read()
    with journal.writing(done) as writer, _bar(console, system.name, dataset, done) as advance:

        def keep(name: str, completion: Any) -> None:
            writer.keep(name, completion)
            advance()

        record = identity | {
            "started": started.isoformat(timespec="seconds"),
            "resumed_rows": len(done),
            "notes": _notes(system, identity, len(done)),
            **_circumstances(system),
        }
        evaluation = evaluate(
            system.name,
            system.task,
            system.format,
            engine,
            dataset,
            done=done,
            keep=keep,
            record=record,
        )
    seconds = {
        "load": round(loaded - clock, 3),
        "answer": round(time.perf_counter() - loaded, 3),
    }
    evaluation = Evaluation(
        evaluation.system, evaluation.task, evaluation.rows, {**record, "seconds": seconds}
    )
    folder = write_run(evaluation, runs)
    journal.discard()
    return read_run(folder), folder


def _identity(system: System, dataset: Dataset, engine: Engine) -> dict[str, Any]:
    """Everything that decides what the answers are."""
    base = system.source.locate() if system.source else None
    adapter = system.adapter_folder
    return {
        "base": system.config.base,
        "weights_sha256": weights_fingerprint(base) if base else None,
        "adapter_sha256": hash_file(adapter / "adapter_model.safetensors") if adapter else None,
        "quantization": system.config.quantization,
        "format": system.format.name,
        "task_sha256": system.task.fingerprint,
        "prompt_sha256": engine.prompt_sha256(empty_prompt(system.task, system.format)),
        "data": {
            "source": dataset.source,
            "sha256": dataset.sha256,
            "rows": len(dataset.examples),
            "label_mappings": dict(dataset.label_mappings),
            "notes": list(dataset.notes),
            "skipped": [{"where": row.where, "why": row.why} for row in dataset.skipped],
        },
        "engine": dict(engine.describe()),
    }


def _circumstances(system: System) -> dict[str, Any]:
    head, dirty = commit(system.folder)
    return {"commit": head, "dirty": dirty, "packages": package_versions(), "machine": machine()}


def _notes(system: System, identity: dict[str, Any], resumed: int) -> list[str]:
    """What a reader of the verdict has to know."""
    notes = []
    if resumed:
        notes.append(f"{resumed} answers are from an interrupted run of this same evaluation")
    if system.adapter_folder is None:
        return notes
    try:
        text = (system.adapter_folder / "provenance.json").read_text(encoding="utf-8")
        provenance = json.loads(text)
    except (OSError, ValueError):
        return [*notes, "the adapter has no provenance.json: what it was trained on is unknown"]
    for key, what in (
        ("prompt_sha256", "the prompt is not the one the adapter was trained with"),
        ("weights_sha256", "the base weights are not the ones the adapter was trained on"),
    ):
        if provenance.get(key) != identity[key]:
            notes.append(what)
    data = identity["data"]
    trained_on = provenance.get("data")
    if provenance.get("data_sha256") == data["sha256"] or trained_on in (
        data["source"],
        Path(data["source"]).name,
    ):
        notes.append(f"the adapter was trained on {trained_on}: this shows memory, not skill")
    return notes


@contextlib.contextmanager
def _spinner(console: Console, text: str) -> Iterator[None]:
    with console.status(text) if console.is_terminal else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def _bar(
    console: Console, name: str, dataset: Dataset, done: dict[str, Any]
) -> Iterator[Callable[[], None]]:
    bar = Progress(
        TextColumn(name, markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task("", total=len(dataset.examples), completed=len(done))
        yield lambda: bar.advance(task)
