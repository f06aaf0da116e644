"""What the gate knows during one pytest session."""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evalkit.errors import EvidenceError, InsufficientData, UserError

if TYPE_CHECKING:
    from evalkit.data import Dataset
    from evalkit.evaluation import Contest, Evaluation, Measurement
    from evalkit.gates import Policy, Release, Verdict
    from evalkit.records import Estimate
    from evalkit.systems import System
    from evalkit.tasks import Task

NO_MODEL = "no-model"
MISFIT = "misfit"


@dataclass(frozen=True)
class Subject:
    """What is judged: a system that is to answer, or the run of one that did."""

    name: str
    task: Task
    system: System | None = None
    run: Path | None = None


class GateSession:
    """What the gate knows during one pytest session."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.subjects: dict[str, Subject] = {}
        self.datasets: dict[str, Dataset] = {}
        self.evaluations: dict[str, Evaluation] = {}
        self.runs: dict[str, Path] = {}
        self.faults: dict[str, list[str]] = {}
        self.baseline: Evaluation | None = None
        """The run that `--against` names."""
        self.tfidf: dict[tuple[str, str], Evaluation] = {}
        """By system and hash of the rows."""
        self.verdicts: dict[str, dict[str, list[Verdict]]] = {}
        self.broken: dict[str, list[str]] = {}
        self.is_tfidf: set[str] = set()
        """Subjects that are the TF-IDF baseline themselves."""
        self.criteria: dict[Path, dict[str, Policy]] = {}

    def find_subjects(self) -> None:
        """Read the system.toml of every `--model` and the record of every `--run`."""
        models = self.config.getoption("model") or []
        runs = self.config.getoption("run") or []
        if (models or runs) and (
            self.config.getoption("numprocesses", None) or self.config.getoption("tx", None)
        ):
            raise UserError(
                "Suites judge one evaluation in one process. Run them without pytest-xdist's -n."
            )
        for model in models:
            from evalkit.systems import load_system

            system = load_system(model)
            self._add(Subject(system.name, system.task, system), f"--model {model}")
        for run in runs:
            self._add(self._stored(run), f"--run {run}")

    def _add(self, subject: Subject, asked: str) -> None:
        if subject.name in self.subjects:
            raise UserError(f"{asked}: '{subject.name}' is named twice.")
        self.subjects[subject.name] = subject
        self.faults.setdefault(subject.name, [])

    def _stored(self, name: str) -> Subject:
        """A run to be judged again. What is wrong with it is a fault, not an end."""
        from evalkit.store import find_run, read_run, read_subject

        folder = find_run(name, Path(self.config.getoption("runs")))
        system, task = read_subject(folder)
        subject = Subject(
            folder.absolute().name if system in self.subjects else system, task, run=folder
        )
        self.runs[subject.name] = folder
        try:
            self.evaluations[subject.name] = read_run(folder)
        except EvidenceError as error:
            self.faults[subject.name] = [str(error)]
        return subject

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out suites and values that are not for the task of a system."""
        fits: list[pytest.Item] = []
        misfits: list[pytest.Item] = []
        for item in items:
            (fits if self._fits(item) else misfits).append(item)
        if misfits:
            self.config.hook.pytest_deselected(items=misfits)
            items[:] = fits

    def _fits(self, item: pytest.Item) -> bool:
        params = _params(item)
        name = params.get("system_under_test")
        if name == MISFIT:
            return False
        if name not in self.subjects:
            return True
        fields = self.subjects[name].task.fields
        each_value = item.get_closest_marker("each_value")
        if each_value is not None:
            spec = fields.get(each_value.args[0])
            if spec is None or params.get("value") not in spec.labels:
                return False
        return item.get_closest_marker("each_field") is None or params.get("field") in fields

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Before anything is loaded: is all that the suites need here?"""
        names = [_params(item).get("system_under_test") for item in session.items]
        wanted = {name for name in names if name}
        if self.config.option.collectonly or (not wanted and not self.subjects):
            return
        with as_usage_errors():
            if NO_MODEL in wanted:
                raise UserError(
                    "Which system is under test? Give --model NAME. `evalkit systems` lists them."
                )
            if unused := [name for name in self.subjects if name not in wanted]:
                family = self.subjects[unused[0]].task.family
                raise UserError(
                    f"No test that was collected is for '{unused[0]}' (a task of family "
                    f"'{family}'). Name a folder of suites: pytest suites/ --model {unused[0]}"
                )
            self._check_parts()
            for subject in self.subjects.values():
                if subject.system is not None:
                    self.datasets[subject.name] = self._load_dataset(subject.task)
                elif subject.name in self.evaluations:
                    self._check_rows(subject.name)
            for item in session.items:
                if "gate" in getattr(item, "fixturenames", ()):
                    self.policies(item.path)
            self._load_baseline()
            # Faulty evidence is not judged.
            session.items[:] = [
                item
                for item in session.items
                if not self._is_spoilt(_params(item).get("system_under_test"))
            ]

    def _is_spoilt(self, name: str | None) -> bool:
        subject = self.subjects.get(name or "")
        return subject is not None and subject.run is not None and bool(self.faults[subject.name])

    def _check_parts(self) -> None:
        from evalkit.systems import missing_parts

        complaints = []
        for name, subject in self.subjects.items():
            if subject.system is not None and (parts := missing_parts(subject.system)):
                complaints.append("\n  ".join([f"'{name}' cannot run yet.", *parts]))
        if complaints:
            raise UserError("\n".join(complaints))
        if self.config.getoption("batch_size") < 1:
            raise UserError("--batch-size must be 1 or more.")

    def _load_dataset(self, task: Task) -> Dataset:
        from evalkit.data import load_dataset
        from evalkit.systems import shown_path

        source = self.config.getoption("data")
        if source is None:
            path = self.config.rootpath / "fixtures" / task.family / "test.jsonl"
            if not path.is_file():
                raise UserError(
                    f"There are no rows to judge on: {shown_path(path)} is not there. Write it, "
                    "or name others with --data."
                )
            source = shown_path(path)
        return load_dataset(
            source,
            task,
            on_bad_row=self.config.getoption("on_bad_row"),
            mapping=self.config.getoption("mapping"),
            limit=self.config.getoption("limit"),
        )

    def _check_rows(self, name: str) -> None:
        """Is a stored run one of the rows that are there now?"""
        from evalkit.data import load_dataset

        evaluation = self.evaluations[name]
        data = evaluation.record["data"]
        source = self.config.getoption("data") or data["source"]
        if source == data["source"] and not Path(source).is_file():
            return  # nothing to hold it against
        limit = len(evaluation.rows) if data["left_out"] else None
        try:
            found = load_dataset(
                source,
                evaluation.task,
                on_bad_row="skip" if data["skipped"] else "stop",
                mapping=next(iter(data["label_mappings"].values()), "none"),
                limit=self.config.getoption("limit") or limit,
            )
        except UserError as error:
            self.faults[name].append(f"its rows cannot be read now: {error}")
            return
        if found.sha256 != data["sha256"]:
            self.faults[name].append(
                f"stale: {source} now holds other rows than the {data['rows']} it was run on"
            )

    def _load_baseline(self) -> None:
        """Read the run that `--against` names, and refuse it where it is of other rows."""
        named = self.config.getoption("against")
        if named is None:
            return
        from evalkit.evaluation import check_same_rows
        from evalkit.store import find_run, read_run

        baseline = read_run(find_run(named, Path(self.config.getoption("runs"))))
        self.baseline = replace(baseline, system=f"{baseline.system} ({named})")
        for name in self.subjects:
            if name in self.datasets:
                ours = {example.id: example for example in self.datasets[name].examples}
            elif name in self.evaluations:
                ours = self.evaluations[name].examples
            else:
                continue
            check_same_rows(ours, self.baseline.examples, (f"'{name}'", f"--against {named}"))

    def policies(self, suite: Path) -> tuple[Path, dict[str, Policy]]:
        """The gates.toml that belongs to a suite, and what it says."""
        from evalkit.gates import load_policies

        named = self.config.getoption("gates")
        if named:
            path = Path(named)
        else:
            above = [folder / "gates.toml" for folder in suite.parents]
            path = next((p for p in above if p.is_file()), suite.parent / "gates.toml")
        if path not in self.criteria:
            self.criteria[path] = load_policies(path)
        return path, self.criteria[path]

    def evaluate(self, subject: Subject) -> Evaluation:
        """Let a system answer, once."""
        if subject.name not in self.evaluations:
            assert subject.system is not None
            evaluation, folder = self._run(subject.system, self.datasets[subject.name])
            self.evaluations[subject.name] = evaluation
            self.runs[subject.name] = folder
        return self.evaluations[subject.name]

    def evaluate_tfidf(self, subject: Subject, evaluation: Evaluation) -> Evaluation:
        """Let the TF-IDF baseline of a system's task answer the same rows, once."""
        from evalkit.systems import find_baseline, missing_parts

        system = find_baseline(subject.task, beside=subject.system)
        if system is None:
            raise InsufficientData(
                f"there is no TF-IDF baseline for task '{subject.task.name}' on the shelf: a "
                'folder with engine = "tfidf" in its system.toml'
            )
        if system.name == evaluation.system:
            self.is_tfidf.add(subject.name)
            pytest.skip("this is the TF-IDF baseline itself")
        if parts := missing_parts(system):
            raise InsufficientData("\n".join(parts))
        data = evaluation.record["data"]
        key = (system.name, data["sha256"])
        if key not in self.tfidf:
            asked = self.datasets.get(system.name)  # where it is itself under test
            if asked and asked.sha256 == data["sha256"]:
                self.tfidf[key] = self.evaluate(self.subjects[system.name])
            else:
                self.tfidf[key] = self._run(system, _same_rows(evaluation))[0]
        return self.tfidf[key]

    def _run(self, system: System, dataset: Dataset) -> tuple[Evaluation, Path]:
        """Run a system. What breaks down here ends the session."""
        from rich.console import Console

        from evalkit.engines.building import EngineOptions
        from evalkit.running import run_system

        options = EngineOptions(
            device=self.config.getoption("device"),
            precision=self.config.getoption("precision"),
            batch_size=self.config.getoption("batch_size"),
        )
        capture = self.config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled(), warnings.catch_warnings():
            # What libraries have deprecated is not what a release engineer came to read.
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            try:
                return run_system(
                    system,
                    dataset,
                    Path(self.config.getoption("runs")),
                    options,
                    Console(stderr=True),
                )
            except KeyboardInterrupt:
                sys.stderr.write(
                    "\nWhat was answered is kept; the same command goes on from there.\n"
                )
                raise
            except UserError as error:
                pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)
            except Exception:
                # Not a wrong answer of the model: nothing may be judged on what is missing.
                pytest.exit(
                    f"evalkit broke down while '{system.name}' was answering; nothing was "
                    f"judged.\n{traceback.format_exc()}",
                    returncode=pytest.ExitCode.INTERNAL_ERROR,
                )

    def against_baseline(self, measured: Measurement | Estimate | Contest) -> Contest | None:
        """The same number against the run that `--against` names, where it can be compared."""
        from evalkit.evaluation import Measurement, compare

        if self.baseline is None or not isinstance(measured, Measurement):
            return None
        if measured.metric is None or measured.evaluation is None:
            return None
        return compare(measured.evaluation, self.baseline, measured.metric)

    def add(self, subject: Subject, nodeid: str, verdict: Verdict) -> None:
        """Take down what a gate said."""
        self.verdicts.setdefault(subject.name, {}).setdefault(nodeid, []).append(verdict)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self) -> Generator[None, object, object]:
        """A baseline that is not there leaves its gate inconclusive."""
        try:
            return (yield)
        except InsufficientData as error:
            pytest.fail(f"INCONCLUSIVE: {error}", pytrace=False)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Generator[None, object, object]:
        """A number that cannot be made for want of data is inconclusive, not an error."""
        try:
            return (yield)
        except InsufficientData as error:
            pytest.fail(f"INCONCLUSIVE: {error}", pytrace=False)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Remember suite tests that failed in another way than by a gate's verdict."""
        report = yield
        name = _params(item).get("system_under_test")
        if report.failed and name:
            from evalkit.gates import Outcome

            said = self.verdicts.get(name, {}).get(item.nodeid, [])
            if all(v.outcome is Outcome.PASS for v in said):
                self.broken.setdefault(name, []).append(item.name)
        return report

    @property
    def is_partial(self) -> bool:
        """Whether the user chose some of the tests rather than a folder of suites."""
        option = self.config.option
        chosen = option.keyword or option.markexpr or option.deselect
        last = getattr(option, "lf", False) or getattr(option, "failedfirst", False)
        named = any("::" in arg or arg.endswith(".py") for arg in self.config.args)
        return bool(chosen or last or named)

    def releases(self) -> Iterator[Release]:
        """What the verdicts on each system come to."""
        from evalkit.gates import conclude

        policies = self.all_policies
        for name, subject in self.subjects.items():
            if name not in self.evaluations and not self.faults[name]:
                continue  # it never came to answer
            verdicts = [v for said in self.verdicts.get(name, {}).values() for v in said]
            yield conclude(
                name,
                subject.task.family,
                verdicts,
                {} if self._is_spoilt(name) else policies,
                broken=self.broken.get(name, ()),
                excused=self._excused(subject),
                partial=self.is_partial,
                faults=[*self.faults[name], *self._partial_rows(name)],
            )

    @property
    def all_policies(self) -> dict[str, Policy]:
        """The criteria of all suites that were collected."""
        return {name: p for found in self.criteria.values() for name, p in found.items()}

    def _excused(self, subject: Subject) -> list[str]:
        """Comparisons with the TF-IDF baseline do not apply to the baseline itself."""
        if subject.name not in self.is_tfidf:
            return []
        return [name for name, p in self.all_policies.items() if p.min_difference is not None]

    def _partial_rows(self, name: str) -> list[str]:
        if name not in self.evaluations:
            return []
        evaluation = self.evaluations[name]
        left_out = evaluation.record["data"]["left_out"]
        if not left_out:
            return []
        n = len(evaluation.rows)
        return [f"partial: only the first {n:,} of {n + left_out:,} rows were answered"]

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Store the verdicts and show them, after all that pytest itself has to say.

        A whole run that may not ship never exits with 0.
        """
        if not self.evaluations and not any(self.faults.values()):
            return (yield)
        from evalkit.gates import policies_sha256
        from evalkit.reporting.verdicts import verdicts_to_json
        from evalkit.store import write_verdicts

        releases = list(self.releases())
        for release in releases:
            if release.system in self.evaluations:
                content = verdicts_to_json(
                    release,
                    self.evaluations[release.system],
                    policies_sha256(self.all_policies),
                )
                write_verdicts(self.runs[release.system], content)
            unfit = not release.may_ship and not release.partial
            # Where every run was refused, pytest has found no tests.
            if unfit and session.exitstatus in (
                pytest.ExitCode.OK,
                pytest.ExitCode.NO_TESTS_COLLECTED,
            ):
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        result = yield
        terminal = self.config.pluginmanager.getplugin("terminalreporter")
        if terminal is not None:
            self._show(terminal, releases)
        return result

    def _show(self, terminal: pytest.TerminalReporter, releases: list[Release]) -> None:
        """Every gate, then one line for each system: may it ship?"""
        from evalkit.reporting.terminal import closing_line, release_report, side_by_side, to_text
        from evalkit.systems import shown_path

        terminal.section("release gate")
        width, colour = terminal._tw.fullwidth, terminal.hasmarkup
        for release in releases:
            name = release.system
            if name in self.evaluations:
                run = shown_path(self.runs[name])
                shown = release_report(release, self.evaluations[name], run)
            else:
                shown = [closing_line(release)]
            terminal.write(to_text(shown, width, colour=colour))
        judged = [release for release in releases if release.system in self.evaluations]
        if len(judged) > 1:
            evaluations = [self.evaluations[release.system] for release in judged]
            terminal.section("side by side")
            shown = side_by_side(judged, evaluations)
            terminal.write(to_text(shown, width, colour=colour))


class as_usage_errors:  # noqa: N801 (reads as a verb at its call)
    """Turn `UserError` into pytest's usage error: one message, exit code 4."""

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: Any) -> None:
        if isinstance(error, UserError):
            raise pytest.UsageError(str(error)) from error


def _same_rows(evaluation: Evaluation) -> Dataset:
    """The data set that a system was evaluated on, for another to be."""
    from evalkit.data import BadRow, Dataset

    data = evaluation.record["data"]
    return Dataset(
        data["source"],
        tuple(row.example for row in evaluation.rows),
        tuple(BadRow(row["where"], row["why"]) for row in data["skipped"]),
        data["label_mappings"],
        data["sha256"],
        tuple(data["notes"]),
        data["left_out"],
    )


def _params(item: pytest.Item) -> dict[str, Any]:
    callspec = getattr(item, "callspec", None)
    return callspec.params if callspec is not None else {}
