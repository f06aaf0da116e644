"""A system and a dataset -> a run on disk."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from evalkit.data import Dataset, Fingerprints, Match, duplicate_groups, load_fingerprints
from evalkit.data.fingerprints import FILE as FINGERPRINTS
from evalkit.data.loading import hash_examples
from evalkit.data.normalising import exact_inputs
from evalkit.engines.building import EngineOptions
from evalkit.engines.pool import Engines
from evalkit.environment import commit, machine, package_versions, peak_memory, processor
from evalkit.errors import UserError
from evalkit.evaluation import EvaluatedRow, Evaluation, build_requests, evaluate
from evalkit.locale import Note, say
from evalkit.metrics import quantiles
from evalkit.records import Example, Request
from evalkit.run_record import (
    Contamination,
    Cost,
    DataRecord,
    Provenance,
    RunRecord,
    Seconds,
    SkippedRow,
)
from evalkit.runs import (
    Part,
    read_part,
    read_run,
    request_sha256,
    write_evaluation_part,
    write_part,
    write_run,
)
from evalkit.runs.cache import Answered, CachedModel, without_adapter
from evalkit.runs.rows import completion_to_json
from evalkit.runs.twins import training_twins
from evalkit.systems import System, adapter_notes, shown_path
from evalkit.weights.cache import hash_file

if TYPE_CHECKING:
    from evalkit.engines.loading import Device
    from evalkit.runs.cache import Build
    from evalkit.tasks import Task


ShowProgress = Callable[[str, str, int], contextlib.AbstractContextManager[Callable[[], None]]]


@dataclass(frozen=True)
class Variant:
    """How a system is asked, where that is not as it is."""

    task: Task | None = None
    """Another than its own."""
    adapter: bool = True
    batch_size: int | None = None
    """Another than the runner's."""
    device: Device | None = None
    """Another than the runner's."""
    cache_namespace: str = ""
    """Keeps its answers apart from those to the same requests in other circumstances."""


AS_IT_IS = Variant()


class Runner:
    """Lets systems answer, and puts what came into runs on disk. Engines are built once."""

    def __init__(
        self,
        runs: Path,
        options: EngineOptions,
        console: Console,
        *,
        fresh: bool = False,
        build: Build | None = None,
        progress: ShowProgress | None = None,
    ) -> None:
        """Take where and how.

        Args:
            runs: folder of all runs.
            options: how systems are run on this machine.
            console: where progress is shown, if it is a terminal.
            fresh: compute every answer anew.
            build: makes an engine; one that shares bases between systems by default.
            progress: shows how far it is, given a system, a part of its run and how many rows
                that has; a bar on the console by default.
        """
        self.runs = runs
        self.options = options
        self._progress = progress or partial(_bar, console)
        self.fresh = fresh
        self._engines = Engines()
        self._build = build or self._engines.build
        self._models: dict[tuple[Any, ...], CachedModel] = {}
        self._trained: dict[tuple[Any, ...], _TrainedRows] = {}

    def evaluate(self, system: System, dataset: Dataset) -> tuple[Evaluation, Path]:
        """Let a system answer a dataset, store the run, and read it back.

        Returns the evaluation as read from disk, and the run's folder.
        """
        started = datetime.now(UTC)
        model = self._model(system, AS_IT_IS)
        evaluation, answered = self._evaluate(model, dataset.examples, _data(dataset))
        record = evaluation.record.having(
            started=started.isoformat(timespec="seconds"),
            notes=[
                *_reuse_notes(answered, len(dataset.examples)),
                *_context_notes(evaluation),
                *adapter_notes(system),
                *_training_notes(system, evaluation.record),
                *_trust_notes(system, evaluation.record.contamination),
            ],
            **_circumstances(system),
            cost=_cost(evaluation.rows, answered).to_json(),
        )
        folder = write_run(replace(evaluation, record=record), self.runs)
        model.close()
        del evaluation, answered
        return read_run(folder, {example.id: example for example in dataset.examples}), folder

    def ask(
        self, system: System, variant: Variant, run: Path, name: str, examples: Sequence[Example]
    ) -> Evaluation:
        """Let a system answer other rows, or a variant of its task, as a part of a run.

        Returns the evaluation as read from disk.
        """
        data = DataRecord(source=name, sha256=hash_examples(examples), rows=len(examples))
        model = self._model(system, variant)
        evaluation, _ = self._evaluate(model, examples, data, name)
        folder = write_evaluation_part(run, name, evaluation)
        model.close()
        return read_run(folder)

    def complete(
        self, system: System, variant: Variant, run: Path, name: str, requests: Sequence[Request]
    ) -> Part:
        """Let a system answer requests that belong to no task, as a part of a run."""
        model = self._model(system, variant)
        with self._progress(system.name, name, len(requests)) as advance:
            answered = model.answer(lambda: requests, advance)
        record = RunRecord(
            system=system.name,
            requests_sha256=hash_requests(requests),
            **_identity(model),
            unanswered=answered.unanswered,
            reused_rows=answered.reused,
            **_spent(answered),
        )
        rows = ({"id": n, **completion_to_json(said)} for n, said in answered.completions.items())
        write_part(run, name, record, rows)
        model.close()
        return read_part(run, name)

    def measure_divergences(
        self, system: System, run: Path, name: str, texts: Mapping[str, str]
    ) -> Part:
        """Measure how far an adapter moved its base on plain texts, as a part of a run."""
        model = self._model(system, AS_IT_IS)
        with self._progress(system.name, name, len(texts)):
            started, loaded = time.perf_counter(), model.load_seconds
            rows = model.divergences(texts)
            load = model.load_seconds - loaded
            took = time.perf_counter() - started - load
        record = RunRecord(
            system=system.name,
            texts_sha256=hash_texts(texts),
            **_identity(model),
            seconds=Seconds(load=round(load, 3), answer=round(took, 3)),
        )
        write_part(run, name, record, rows)
        model.close()
        return read_part(run, name)

    def close(self) -> None:
        """End the last system's turn.

        Raises:
            RuntimeError: it has changed the base that it shared with others.
        """
        self._engines.close()

    def _trained_rows(self, system: System) -> _TrainedRows:
        key = (system.folder, system.adapter_folder)
        if key not in self._trained:
            self._trained[key] = _TrainedRows(system)
        return self._trained[key]

    def _model(self, system: System, variant: Variant) -> CachedModel:
        options = replace(
            self.options,
            device=variant.device or self.options.device,
            batch_size=variant.batch_size or self.options.batch_size,
        )
        asked = system if variant.adapter else without_adapter(system)
        asked = asked.with_task(variant.task) if variant.task else asked
        namespace = variant.cache_namespace
        key = (system.folder, asked.task.fingerprint, variant.adapter, options, namespace)
        if key not in self._models:
            self._models[key] = CachedModel(
                asked, options, self.runs, self._build, cache_namespace=namespace
            )
            if self.fresh:
                self._models[key].store.ignore_known()
        return self._models[key]

    def _evaluate(
        self, model: CachedModel, examples: Sequence[Example], data: DataRecord, name: str = ""
    ) -> tuple[Evaluation, Answered]:
        system = model.system
        trained = self._trained_rows(system)
        contamination, seen = trained.find(examples)
        if not name:
            twins = training_twins(system, examples, seen, trained.data_sha256)
            contamination = contamination.model_copy(update={"twins": twins})
        groups = duplicate_groups(examples)
        with self._progress(system.name, name, len(examples)) as advance:
            answered = model.answer(
                lambda: build_requests(system.task, system.format, examples), advance
            )
        if not answered.completions:
            why = next(iter(answered.unanswered.values()), "there was nothing to ask")
            raise UserError(f"{system.name} gave no answer at all: {why}")
        record = RunRecord(
            **_identity(model),
            data=data,
            contamination=contamination,
            part=name or None,
            reused_rows=answered.reused,
            unanswered=answered.unanswered,
            **_spent(answered),
        )
        evaluation = evaluate(
            system.name,
            system.task,
            system.format,
            examples,
            answered.completions,
            record=record,
            seen=seen,
            groups=groups,
        )
        return evaluation, answered


def hash_requests(requests: Sequence[Request]) -> str:
    """Hash what is asked, in order, with the requests' ids; hexadecimal."""
    asked = [[request.id, request_sha256(request)] for request in requests]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def hash_texts(texts: Mapping[str, str]) -> str:
    """Hash texts with their names; hexadecimal."""
    return hashlib.sha256(json.dumps(dict(texts)).encode()).hexdigest()


def _identity(model: CachedModel) -> dict[str, Any]:
    """Everything that decides what the answers are."""
    system = model.system
    return {
        "base": system.config.base,
        "weights_sha256": model.weights_sha256,
        "trained_sha256": model.trained_sha256,
        "quantization": system.config.quantization,
        "format": system.format.name,
        "thoughts": system.format.thoughts.added,
        "normalize": system.config.normalize,
        "task_sha256": system.task.fingerprint,
        "abilities": sorted(system.capabilities),
        **model.described,
    }


def _data(dataset: Dataset) -> DataRecord:
    return DataRecord(
        source=dataset.source,
        sha256=dataset.sha256,
        rows=len(dataset.examples),
        label_mappings=dict(dataset.label_mappings),
        notes=list(dataset.notes),
        left_out=dataset.left_out,
        **({"split": dataset.split} if dataset.split != "test" else {}),
        skipped=[SkippedRow(where=row.where, why=row.why) for row in dataset.skipped],
    )


class _TrainedRows:
    """Which rows a system was trained on, by the fingerprints it carries."""

    def __init__(self, system: System) -> None:
        self._fingerprints: Fingerprints | None = None
        self._known: dict[tuple[tuple[str, str], ...], Match | None] = {}
        """By a row's inputs: a gate asks the same rows in many ways."""
        self._contamination = self._look(system)

    @property
    def data_sha256(self) -> str | None:
        """Of the rows; None where they are not known."""
        return self._fingerprints.data_sha256 if self._fingerprints else None

    def find(self, examples: Sequence[Example]) -> tuple[Contamination, tuple[Match | None, ...]]:
        """For each example what it repeats, empty where that is not known; and in sum."""
        if self._fingerprints is None:
            return self._contamination, ()
        keys = [exact_inputs(example) for example in examples]
        new = {k: e for k, e in zip(keys, examples, strict=True) if k not in self._known}
        if new:
            matches = self._fingerprints.match(list(new.values()))
            self._known |= zip(new, matches, strict=True)
        seen = tuple(self._known[key] for key in keys)
        kinds = Counter(match.kind.value for match in seen if match is not None)
        return self._contamination.model_copy(update={"seen": dict(sorted(kinds.items()))}), seen

    def _look(self, system: System) -> Contamination:
        path = system.folder / FINGERPRINTS
        if path.is_file():
            fingerprints = load_fingerprints(path)
            provenance = Provenance.read(system.folder)
            trained_on = provenance.data_sha256 if provenance else None
            if trained_on != fingerprints.data_sha256 and trained_on is not None:
                why = say("training.other_rows", path=shown_path(path))
                return Contamination(status="unknown", why=why)
            if provenance and (other := provenance.replaced_weights(system.folder)):
                why = say("training.other_weights", path=shown_path(other))
                return Contamination(status="unknown", why=why)
            self._fingerprints = fingerprints
            return Contamination(
                status="checked",
                trained_rows=fingerprints.rows,
                data_sha256=fingerprints.data_sha256,
                fingerprints_sha256=hash_file(path),
                declared=trained_on is None,
            )
        if system.trained_files or system.config.trained_elsewhere:
            why = say("training.unknown", path=shown_path(path), system=system.argument)
            return Contamination(status="unknown", why=why)
        return Contamination(status="untrained")


def _cost(rows: Sequence[EvaluatedRow], answered: Answered) -> Cost:
    """What the answers cost; those known from before keep the seconds they took then."""
    waits = [row.completion.seconds for row in rows]
    median, slow = quantiles(waits, (0.5, 0.95))
    new = len(answered.completions) - answered.reused
    return Cost(
        seconds_per_row_p50=round(median, 6),
        seconds_per_row_p95=round(slow, 6),
        rows_per_second=round(new / answered.seconds, 3) if new and answered.seconds else None,
        prompt_tokens=sum(row.completion.prompt_tokens for row in rows),
        generated_tokens=sum(
            len(row.completion.token_ids) or row.completion.counted_tokens for row in rows
        ),
        peak_memory_bytes=peak_memory(),
        **_operations(answered),
    )


def _spent(answered: Answered) -> dict[str, Any]:
    """What a part of a run took."""
    seconds = Seconds(load=round(answered.load_seconds, 3), answer=round(answered.seconds, 3))
    return {"seconds": seconds, "cost": Cost(**_operations(answered))}


def _operations(answered: Answered) -> dict[str, float]:
    return {"operations": answered.operations} if answered.operations else {}


def _circumstances(system: System) -> dict[str, Any]:
    head, dirty = commit(system.folder)
    return {
        "commit": head,
        "dirty": dirty,
        "packages": package_versions(),
        "machine": machine(),
        "processor": processor(),
    }


def _reuse_notes(answered: Answered, asked: int) -> list[Note]:
    if not answered.reused:
        return []
    if answered.reused == asked:
        return [say("note.all_reused")]
    return [say("note.reused", n=answered.reused, all=asked)]


def _context_notes(evaluation: Evaluation) -> list[Note]:
    cut = [row.completion for row in evaluation.truncated_rows]
    if not cut:
        return []
    counts = {
        "n": len(cut),
        "all": len(evaluation.rows),
        "longest": max(said.prompt_tokens for said in cut),
    }
    if made_for := evaluation.record.engine.get("context_tokens"):
        return [say("note.beyond_context", **counts, context=made_for)]
    return [say("note.cut_prompts", **counts)]


def _training_notes(system: System, record: RunRecord) -> list[Note]:
    """What a reader of the verdict has to know of the training."""
    notes: list[Note] = []
    if not system.trained_files:
        return notes
    provenance = Provenance.read(system.folder)
    if provenance is None:
        return [say("note.no_provenance")]
    told = [
        (provenance.normalize == record.normalize, "note.other_normalisation"),
        (provenance.prompt_sha256 == record.prompt_sha256, "note.other_prompt"),
        (provenance.weights_sha256 == record.weights_sha256, "note.other_weights"),
    ]
    if system.config.llamacpp is not None:  # the weights are merged, and the template the file's
        told = told[:1]
    if not system.is_baseline:
        notes += [say(code) for same, code in told if not same]
    data = record.data
    if provenance.data_sha256 == data.sha256 or provenance.data in (
        data.source,
        Path(data.source).name,
    ):
        notes.append(say("note.trained_on_these", source=provenance.data))
    return notes


def _trust_notes(system: System, contamination: Contamination) -> Iterator[Note]:
    """What the verdict rests on that nothing here can prove."""
    config = system.config
    if config.llamacpp is not None:
        file = system.folder / config.llamacpp.file
        yield say("note.judged_file", file=file.name, sha256=hash_file(file))
    if config.engine == "replay":
        yield say("note.answers_recorded", file=config.answers)
    if contamination.declared:
        yield say("note.rows_declared")
    if contamination.status == "untrained" and not config.adapter:
        yield say("note.untrained")
    elif not config.adapter and config.trained_elsewhere:
        yield say("note.merged")


@contextlib.contextmanager
def _bar(console: Console, system: str, part: str, total: int) -> Iterator[Callable[[], None]]:
    title = f"{system}: {part}" if part else system
    bar = Progress(
        TextColumn(title, markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)
