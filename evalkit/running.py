"""A system and a dataset -> a run on disk."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from evalkit.data import Dataset, Match, duplicate_groups, load_fingerprints
from evalkit.data.fingerprints import FILE as FINGERPRINTS
from evalkit.engines.base import Engine
from evalkit.engines.building import EngineOptions, build_engine
from evalkit.environment import commit, machine, package_versions, peak_memory
from evalkit.evaluation import EvaluatedRow, Evaluation, evaluate
from evalkit.formats.base import empty_prompt
from evalkit.metrics import quantiles
from evalkit.store import Journal, read_run, write_run
from evalkit.systems import System, shown_path
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
    contamination, seen = _find_seen(system, dataset)
    groups = duplicate_groups(dataset.examples)
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
            "contamination": contamination,
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
            seen=seen,
            groups=groups,
        )
    seconds = {
        "load": round(loaded - clock, 3),
        "answer": round(time.perf_counter() - loaded, 3),
    }
    answered = len(dataset.examples) - len(done)
    record |= {"seconds": seconds, "cost": _cost(evaluation.rows, answered, seconds["answer"])}
    evaluation = Evaluation(evaluation.system, evaluation.task, evaluation.rows, record)
    folder = write_run(evaluation, runs)
    journal.discard()
    return read_run(folder), folder


def _identity(system: System, dataset: Dataset, engine: Engine) -> dict[str, Any]:
    """Everything that decides what the answers are."""
    base = system.source.locate() if system.source else None
    return {
        "base": system.config.base,
        "weights_sha256": weights_fingerprint(base) if base else None,
        "trained_sha256": {path.name: hash_file(path) for path in system.trained_files},
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
            "left_out": dataset.left_out,
            "skipped": [{"where": row.where, "why": row.why} for row in dataset.skipped],
        },
        "engine": dict(engine.describe()),
    }


def _find_seen(system: System, dataset: Dataset) -> tuple[dict[str, Any], tuple[Match | None, ...]]:
    """Which rows the system was trained on, by the fingerprints it carries."""
    path = system.folder / FINGERPRINTS
    if path.is_file():
        fingerprints = load_fingerprints(path)
        trained_on = (_provenance(system) or {}).get("data_sha256")
        if trained_on != fingerprints.data_sha256 and trained_on is not None:
            why = f"{shown_path(path)} is of other rows than provenance.json names"
            return {"status": "unknown", "why": why}, ()
        seen = fingerprints.match(dataset.examples)
        kinds = Counter(match.kind.value for match in seen if match is not None)
        return {
            "status": "checked",
            "trained_rows": fingerprints.rows,
            "fingerprints_sha256": hash_file(path),
            "seen": dict(sorted(kinds.items())),
        }, seen
    if system.trained_files or system.config.engine == "replay":
        why = f"what it was trained on is not known: {shown_path(path)} is not there"
        if system.trained_files:
            why += f"; `evalkit data fingerprint {system.argument} --data PATH` makes it"
        return {"status": "unknown", "why": why}, ()
    return {"status": "untrained"}, ()


def _cost(rows: Sequence[EvaluatedRow], answered: int, seconds: float) -> dict[str, Any]:
    """What the answers cost; rows of an interrupted run keep the seconds they took there."""
    waits = [row.completion.seconds for row in rows]
    median, slow = quantiles(waits, (0.5, 0.95))
    return {
        "seconds_per_row_p50": round(median, 6),
        "seconds_per_row_p95": round(slow, 6),
        "rows_per_second": round(answered / seconds, 3) if answered and seconds else None,
        "prompt_tokens": sum(row.completion.prompt_tokens for row in rows),
        "generated_tokens": sum(len(row.completion.token_ids) for row in rows),
        "peak_memory_bytes": peak_memory(),
    }


def _circumstances(system: System) -> dict[str, Any]:
    head, dirty = commit(system.folder)
    return {"commit": head, "dirty": dirty, "packages": package_versions(), "machine": machine()}


def _notes(system: System, identity: dict[str, Any], resumed: int) -> list[str]:
    """What a reader of the verdict has to know."""
    notes = []
    if resumed:
        notes.append(f"{resumed} answers are from an interrupted run of this same evaluation")
    if not system.trained_files:
        return notes
    provenance = _provenance(system)
    if provenance is None:
        return [*notes, "there is no provenance.json: how the system was trained is unknown"]
    for key, what in (
        ("prompt_sha256", "the prompt is not the one the adapter was trained with"),
        ("weights_sha256", "the base weights are not the ones the adapter was trained on"),
    ):
        if not system.is_baseline and provenance.get(key) != identity[key]:
            notes.append(what)
    data = identity["data"]
    trained_on = provenance.get("data")
    if provenance.get("data_sha256") == data["sha256"] or trained_on in (
        data["source"],
        Path(data["source"]).name,
    ):
        notes.append(f"it was trained on {trained_on}: rows it saw are left out where it counts")
    return notes


def _provenance(system: System) -> dict[str, Any] | None:
    try:
        text = (system.folder / "provenance.json").read_text(encoding="utf-8")
        found: dict[str, Any] = json.loads(text)
    except (OSError, ValueError):
        return None
    return found


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
