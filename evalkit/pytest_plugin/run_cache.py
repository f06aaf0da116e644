"""What systems answered: made once a session, or read from a stored run."""

from __future__ import annotations

import re
import sys
import traceback
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import pytest

from evalkit.console import LegibleConsole
from evalkit.data.loading import hash_examples
from evalkit.engines.building import EngineOptions
from evalkit.errors import (
    DoesNotApply,
    EvidenceError,
    InsufficientData,
    UserError,
    fault_of_the_machine,
)
from evalkit.evaluation import Measurement, check_same_rows, compare
from evalkit.gates import Policy
from evalkit.locale import say
from evalkit.printable import legible
from evalkit.pytest_plugin.progress import live_line, rows_asked
from evalkit.pytest_plugin.rows import fault_of_rows, load_rows, same_rows
from evalkit.runs import (
    ASKED,
    find_run,
    read_for_judging,
    read_part,
    read_subject,
    read_verdicts,
)
from evalkit.runs.rows import completion_from_json
from evalkit.runs.runner import Runner, hash_requests, hash_texts
from evalkit.systems import find_baseline, missing_parts

if TYPE_CHECKING:
    from evalkit.data import Dataset
    from evalkit.data.dev_changes import Split
    from evalkit.evaluation import Evaluation, PairedComparison
    from evalkit.records import Completion, Estimate, Example, Request
    from evalkit.run_record import RunRecord
    from evalkit.runs import Part
    from evalkit.runs.runner import Variant
    from evalkit.systems import System
    from evalkit.tasks import Task

    _Part = TypeVar("_Part", Evaluation, Part)

_T = TypeVar("_T")
_Baseline = Literal["tfidf", "embeddings"]
"""The engine of a baseline that suites hold a system against."""


@dataclass(frozen=True)
class SystemUnderTest:
    """What is judged: a system that is to answer, or the run of one that did."""

    name: str
    task: Task
    capabilities: frozenset[str]
    """What suites may need: see `System.capabilities`."""
    system: System | None = None
    run: Path | None = None
    split: Split = "test"
    """Whether it is asked what a release is judged by, or what settings are chosen by."""


class RunCache:
    """The answers of every system under test, by its name."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.datasets: dict[str, Dataset] = {}
        self.evaluations: dict[str, Evaluation] = {}
        self.runs: dict[str, Path] = {}
        self.faults: dict[str, list[str]] = {}
        """What is wrong with the evidence, in sentences."""
        self._baseline: Evaluation | None = None
        self._baseline_run: Path | None = None
        self._baselines: dict[tuple[str, str], Evaluation] = {}
        """By system and hash of the rows."""
        self._parts: dict[tuple[str, str], Any] = {}
        """By subject and name of the part."""
        self._runner: Runner | None = None
        self._line = live_line(config, self.runs_folder)

    # Before anything answers

    def subject(self, system: System) -> SystemUnderTest:
        """A system that is to answer."""
        self.faults.setdefault(system.name, [])
        decoding = self.config.getoption("decoding")
        if decoding and "language_model" in system.capabilities:
            config = system.config.model_copy(update={"decoding": decoding})
            system = replace(system, config=config)
        split = self.config.getoption("split")
        return SystemUnderTest(system.name, system.task, system.capabilities, system, split=split)

    def stored(self, named: str, taken: Sequence[str]) -> SystemUnderTest:
        """A run to be judged again. What is wrong with it is a fault, not an end.

        Args:
            named: a run's folder, or its name under `--runs`.
            taken: names of other subjects.
        """
        folder = find_run(named, self.runs_folder)
        system, task, capabilities = read_subject(folder)
        name = folder.absolute().name if system in taken else system
        self.runs[name] = folder
        self.faults.setdefault(name, [])
        try:
            self.evaluations[name] = read_for_judging(folder)
            self._note_unanswered(name, self.evaluations[name].record)
        except EvidenceError as error:
            self.faults[name] = [error.message]
        known = self.evaluations.get(name)
        split: Split = "dev" if known and known.record.data.split == "dev" else "test"
        return SystemUnderTest(name, task, capabilities, run=folder, split=split)

    @property
    def runs_folder(self) -> Path:
        """Where runs are written."""
        return Path(self.config.getoption("runs"))

    def load_rows(self, subjects: Sequence[SystemUnderTest]) -> None:
        """Read the rows of the systems that are to answer, and hold stored runs against theirs.

        Raises:
            UserError: there are none, they cannot be read, or `--against` is of others.
        """
        for subject in subjects:
            if subject.system is not None:
                self.datasets[subject.name] = load_rows(self.config, subject.task)
            elif subject.name in self.evaluations:
                fault = fault_of_rows(self.config, self.evaluations[subject.name])
                self.faults[subject.name] += [fault] if fault else []
        self._load_baseline(subjects)

    def _load_baseline(self, subjects: Sequence[SystemUnderTest]) -> None:
        """Read the run that `--against` names, and refuse it where it is of other rows."""
        named = self.config.getoption("against")
        if named is None:
            return

        self._baseline_run = find_run(named, self.runs_folder)
        baseline = read_for_judging(self._baseline_run)
        self._baseline = replace(baseline, system=f"{baseline.system} ({named})")
        for name in (subject.name for subject in subjects):
            if name in self.datasets:
                ours = {example.id: example for example in self.datasets[name].examples}
            elif name in self.evaluations:
                ours = self.evaluations[name].examples
            else:
                continue
            check_same_rows(ours, self._baseline.examples, (f"'{name}'", f"--against {named}"))

    # Answers

    def evaluate(self, subject: SystemUnderTest) -> Evaluation:
        """Let a system answer the rows it is judged on, once."""
        if subject.name not in self.evaluations:
            assert subject.system is not None
            self.evaluations[subject.name], self.runs[subject.name] = self._run(
                subject.system, self.datasets[subject.name]
            )
            self._note_unanswered(subject.name, self.evaluations[subject.name].record)
        return self.evaluations[subject.name]

    def _run(self, system: System, dataset: Dataset) -> tuple[Evaluation, Path]:
        return self._guarded(system, lambda runner: runner.evaluate(system, dataset))

    def evaluate_baseline(
        self, subject: SystemUnderTest, evaluation: Evaluation, engine: _Baseline
    ) -> Evaluation:
        """Let the baseline of a system's task answer the same rows, once."""
        rows = evaluation.record.contamination.data_sha256
        system = find_baseline(subject.task, engine=engine, beside=subject.system, rows=rows)
        if system is None:
            kind = "TF-IDF" if engine == "tfidf" else engine
            raise InsufficientData(
                f"there is no {kind} baseline for task '{subject.task.name}' on the shelf: a "
                f'folder with engine = "{engine}" in its system.toml'
            )
        if system.name == evaluation.system:
            raise DoesNotApply(say(f"lacks.is_{engine}"))
        if parts := missing_parts(system):
            raise InsufficientData("\n".join(parts))
        key = (system.name, evaluation.record.data.sha256)
        if key not in self._baselines:
            asked = self.datasets.get(system.name)  # where it is itself under test
            if asked and asked.sha256 == key[1]:
                self._baselines[key] = self.evaluate(self.subject(system))
            else:
                self._baselines[key] = self._run(system, same_rows(evaluation))[0]
        return self._baselines[key]

    def ask(
        self,
        subject: SystemUnderTest,
        name: str,
        examples: Sequence[Example],
        variant: Variant,
    ) -> Evaluation:
        """Let a system answer other rows as a part of its run, once. See the fixture `ask`."""
        examples = examples[: self.config.getoption("limit")]
        asked = variant.task or subject.task
        evaluated = self._part(
            subject,
            name,
            len(examples),
            lambda folder: read_for_judging(folder / ASKED / name),
            lambda runner, system, run: runner.ask(system, variant, run, name, examples),
        )
        if (evaluated.record.data.sha256, evaluated.task.fingerprint) != (
            hash_examples(examples),
            asked.fingerprint,
        ):
            raise EvidenceError(say("fault.stale_part", name=name))
        return evaluated

    def answers(
        self, subject: SystemUnderTest, name: str, requests: Sequence[Request], variant: Variant
    ) -> dict[str, Completion]:
        """Let a system answer requests that belong to no task. See the fixture `answers`."""
        requests = requests[: self.config.getoption("limit")]
        record, rows = self._part(
            subject,
            name,
            len(requests),
            lambda run: read_part(run, name),
            lambda runner, system, run: runner.complete(system, variant, run, name, requests),
        )
        if record.requests_sha256 != hash_requests(requests):
            raise EvidenceError(say("fault.stale_requests", name=name))
        _check_ids(name, rows, {request.id for request in requests} - record.unanswered.keys())
        return {row["id"]: completion_from_json(row) for row in rows}

    def divergences(
        self, subject: SystemUnderTest, name: str, texts: Mapping[str, str]
    ) -> list[dict[str, Any]]:
        """Measure how far an adapter moved its base. See the fixture `divergences`."""
        texts = dict(list(texts.items())[: self.config.getoption("limit")])
        record, rows = self._part(
            subject,
            name,
            len(texts),
            lambda run: read_part(run, name),
            lambda runner, system, run: runner.measure_divergences(system, run, name, texts),
        )
        if record.texts_sha256 != hash_texts(texts):
            raise EvidenceError(say("fault.stale_texts", name=name))
        _check_ids(name, rows, texts.keys())
        return rows

    def against_baseline(
        self, measured: Measurement | Estimate | PairedComparison
    ) -> PairedComparison | None:
        """The same number against the run that `--against` names, where it can be compared."""
        if self._baseline is None or not isinstance(measured, Measurement):
            return None
        if measured.metric is None or measured.evaluation is None:
            return None
        if measured.evaluation.is_selection:
            return None
        baseline = self._baseline
        part = measured.evaluation.record.part
        if part is not None:
            assert self._baseline_run is not None
            folder = self._baseline_run / ASKED / part
            if not folder.is_dir():
                return None  # the baseline was not asked this
            baseline = replace(read_for_judging(folder), system=baseline.system)
        return compare(measured.evaluation, baseline, measured.metric)

    def baseline_tiers(self) -> dict[str, str] | None:
        """The tiers of the criteria that the baseline run was judged by, by name.

        None where no verdict says; empty where no baseline was named.
        """
        if self._baseline_run is None:
            return {}
        try:
            verdicts = read_verdicts(self._baseline_run)
        except EvidenceError:
            return None
        if verdicts is None:
            return None
        return {g["gate"]: Policy.model_validate(g["policy"]).tier for g in verdicts["gates"]}

    def _part(
        self,
        subject: SystemUnderTest,
        name: str,
        count: int,
        read: Callable[[Path], _Part],
        make: Callable[[Runner, System, Path], _Part],
    ) -> _Part:
        """A part of a subject's run: made once, or read where the run is a stored one."""
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
            raise ValueError(f"{name!r}: a part is named with lower-case letters, digits and '-'")
        if not count:
            raise InsufficientData(f"'{name}': there is nothing to ask")
        if "live" not in subject.capabilities:
            raise InsufficientData(say("lacks.live", who=subject.name))
        key = (subject.name, name)
        if key not in self._parts:
            if subject.system is None:
                assert subject.run is not None
                if not (subject.run / ASKED / name).is_dir():
                    raise InsufficientData(f"the run was not asked '{name}'")
                self._parts[key] = read(subject.run)
            else:
                system, run = subject.system, self.runs[subject.name]
                self._parts[key] = self._guarded(system, lambda runner: make(runner, system, run))
            self._note_unanswered(subject.name, self._parts[key].record)
        found: _Part = self._parts[key]
        return found

    def _guarded(self, system: System, make: Callable[[Runner], _T]) -> _T:
        """Let a system answer. What breaks down here ends the session."""
        capture = self.config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled(), warnings.catch_warnings():
            # What libraries have deprecated is not what a release engineer came to read.
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            try:
                self._runner = self._runner or self._make_runner()
                self._line.plan(system.name, lambda: rows_asked(self.runs_folder, system.name))
                return make(self._runner)
            except KeyboardInterrupt:
                sys.stderr.write(
                    "\nWhat was answered is kept; the same command goes on from there.\n"
                )
                raise
            except (InsufficientData, EvidenceError):
                raise
            except UserError as error:
                pytest.exit(legible(str(error)), returncode=pytest.ExitCode.USAGE_ERROR)
            except Exception as error:
                if fault := fault_of_the_machine(error, [str(self.runs_folder)]):
                    pytest.exit(legible(fault), returncode=pytest.ExitCode.USAGE_ERROR)
                # Not a wrong answer of the model: nothing may be judged on what is missing.
                pytest.exit(
                    f"evalkit broke down while '{system.name}' was answering; nothing was "
                    f"judged.\n{legible(traceback.format_exc())}",
                    returncode=pytest.ExitCode.INTERNAL_ERROR,
                )

    def asked(self) -> Iterator[tuple[str, str, RunRecord]]:
        """Of all that was asked: the system, the part of its run, and the record."""
        for name, evaluation in self.evaluations.items():
            yield name, "", evaluation.record
        for (name, part), found in self._parts.items():
            yield name, part, found.record

    def close(self) -> None:
        """End the last system's turn; one that changed what others share leaves nothing judged."""
        try:
            if self._runner is not None:
                self._runner.close()
        except RuntimeError:
            pytest.exit(
                "evalkit broke down after the last answer; nothing was judged.\n"
                f"{legible(traceback.format_exc())}",
                returncode=pytest.ExitCode.INTERNAL_ERROR,
            )

    def _make_runner(self) -> Runner:
        console = LegibleConsole(stderr=True)
        option = self.config.getoption
        options = EngineOptions(option("device"), option("precision"), option("batch_size"))
        return Runner(
            self.runs_folder, options, console, fresh=option("fresh"), progress=self._line
        )

    def _note_unanswered(self, name: str, record: RunRecord) -> None:
        """Rows without an answer leave everything open."""
        if lost := record.unanswered:
            n, why = len(lost), next(iter(lost.values()))
            code = "fault.one_unanswered" if n == 1 else "fault.unanswered"
            fault = say(code, n=n, why=why)
            if fault not in self.faults[name]:
                self.faults[name].append(fault)


def _check_ids(name: str, rows: Sequence[Mapping[str, Any]], asked: Collection[str]) -> None:
    """See to it that the rows of a part are those to what its record says was asked, each once."""
    if sorted(row["id"] for row in rows) != sorted(asked):
        raise EvidenceError(say("fault.torn_part", name=name))
