"""What the gate knows during one pytest session."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from evalkit.errors import DoesNotApply, EvidenceError, InsufficientData, UserError
from evalkit.gates import conclude, policies_sha256
from evalkit.locale import say
from evalkit.printable import legible
from evalkit.pytest_plugin.criteria import Criteria
from evalkit.pytest_plugin.ending import (
    is_brief,
    show_releases,
    store_verdicts,
    verdict_before,
    write_reports,
)
from evalkit.pytest_plugin.expected import Expected
from evalkit.pytest_plugin.junit import record_release
from evalkit.pytest_plugin.marks import check_family, check_marks, families_of, place
from evalkit.pytest_plugin.parameters import NO_MODEL, fits, subject_of
from evalkit.pytest_plugin.rows import RowsLeftOut
from evalkit.pytest_plugin.run_cache import RunCache, SystemUnderTest
from evalkit.pytest_plugin.suite_files import find_suites
from evalkit.pytest_plugin.usage import (
    as_usage_errors,
    check_choice,
    did_you_mean_path,
    is_partial,
)
from evalkit.reports.terminal import WRONG_CASES, evidence, surest
from evalkit.reports.verdicts import verdicts_to_json
from evalkit.systems import load_system, missing_parts, shown_path

if TYPE_CHECKING:
    from evalkit.gates import Release, Verdict
    from evalkit.reports.judged import JudgedRun
    from evalkit.tasks import Field


class GateSession:
    """What the gate knows during one pytest session."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.run_cache = RunCache(config)
        self.subjects: dict[str, SystemUnderTest] = {}
        self.verdicts: dict[str, dict[str, list[Verdict]]] = {}
        self.broken: dict[str, list[str]] = {}
        self._reported: set[str] = set()
        self.expected = Expected()
        self._families: set[str] = set()
        """Families of tasks that are known to be."""
        self._uncollected: dict[str, dict[str, str]] = {}
        self.criteria = Criteria(config)
        self.is_assumed = False
        """Whether the system was not named."""
        self.why_none_assumed = ""
        """Why there is no system that needs no naming."""
        self.judged: dict[str, JudgedRun] = {}
        """What was judged, by system, once the session ends."""
        self._told: set[str] = set()
        """Ids of rows that stand under a failure."""
        self._explained: set[str] = set()
        """Node ids of tests whose failure is what a gate said, and nothing else."""
        self.record_for_suite: Callable[[str, object], None] | None = None
        """Adds a property to the JUnit report, once a gate was asked for."""

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
            self._add(self.run_cache.subject(load_system(model)), f"--model {model}")
        for run in runs:
            self._add(self.run_cache.stored(run, list(self.subjects)), f"--run {run}")

    def assume_subject(self) -> None:
        """Take the project's only system where a suite asks for one and none was named."""
        spread = self.config.getoption("numprocesses", None) or hasattr(self.config, "workerinput")
        if self.subjects or self.why_none_assumed or spread:
            return
        try:
            self._add(self.run_cache.subject(load_system()), "the project's only system")
            self.is_assumed = True
        except UserError as error:
            self.why_none_assumed = str(error)

    def _add(self, subject: SystemUnderTest, asked: str) -> None:
        if subject.name in self.subjects:
            raise UserError(f"{asked}: '{subject.name}' is named twice.")
        self.subjects[subject.name] = subject

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Take down what has to be judged, before anything may leave it out."""
        name = subject_of(item)
        if name is None or not self.subjects:
            return
        self.expected.note(item)
        tasks = [subject.task for subject in self.subjects.values()]
        with as_usage_errors():
            for family in families_of(item):
                if family not in self._families:  # a look at the whole shelf
                    check_family(family, place(item), tasks, self.config.rootpath)
                    self._families.add(family)
            if name not in self.subjects:
                return
            check_marks(item, self.subjects[name].task)
        if fits(item, self.subjects):
            lacking = self._lacking(item, self.subjects[name])
            unfit = say(f"lacks.{lacking[0]}", who="it") if lacking else ""
            self.expected.add(item, name, unfit)

    @staticmethod
    def _lacking(item: pytest.Item, subject: SystemUnderTest) -> list[str]:
        needed = [what for mark in item.iter_markers("needs") for what in mark.args]
        return [what for what in needed if what not in subject.capabilities]

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out suites and values that are not for the task of a system."""
        misfits = [item for item in items if not fits(item, self.subjects)]
        if misfits:
            self.config.hook.pytest_deselected(items=misfits)
            items[:] = [item for item in items if fits(item, self.subjects)]

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        """Of files and folders that are not there, say what is near."""
        try:
            return (yield)
        except pytest.UsageError as error:
            paths = (arg.partition("::")[0] for arg in self.config.args)
            near = next(filter(None, map(did_you_mean_path, paths)), "")
            raise pytest.UsageError(f"{error}.{near}" if near else str(error)) from None

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Before anything is loaded: is all that the suites need here?"""
        names = [subject_of(item) for item in session.items]
        wanted = {name for name in names if name}
        if not wanted and self.is_assumed:
            self.subjects.clear()
        if self.config.option.collectonly or (not wanted and not self.subjects):
            return
        if isinstance(sys.exception(), pytest.UsageError):
            return  # pytest has found no such file, and is about to say so
        with as_usage_errors():
            if NO_MODEL in wanted:
                raise UserError(
                    f"Which system is under test? Give --model NAME. {self.why_none_assumed}"
                )
            if unused := [name for name in self.subjects if name not in wanted]:
                check_choice(self.config)
                family = self.subjects[unused[0]].task.family
                raise UserError(
                    f"No test that was collected is for '{unused[0]}' (a task of family "
                    f"'{family}'). Name a folder of suites: pytest suites/ --model {unused[0]}"
                )
            self._check_parts()
            self.run_cache.load_rows(list(self.subjects.values()))
            asked = {suite: self.expected.asked(suite) for suite in sorted(self.expected.files)}
            self.criteria.check(asked, [subject.task for subject in self.subjects.values()])
            self._look_for_suites()
            # Faulty evidence is not judged.
            session.items[:] = [
                item for item in session.items if not self._is_spoilt(subject_of(item))
            ]

    def _is_spoilt(self, name: str | None) -> bool:
        subject = self.subjects.get(name or "")
        if subject is None or subject.run is None:
            return False
        return bool(self.run_cache.faults[subject.name])

    def _look_for_suites(self) -> None:
        """Which tests stand beside those that were collected, and were not."""
        if is_partial(self.config):
            return
        beside = {path.parent for path in (*self.expected.files, *self.criteria.by_file)}
        here = self.config.invocation_params.dir
        suites = find_suites(beside, [here / argument for argument in self.config.args])
        criteria = self.criteria.all
        self._uncollected = {
            name: self.expected.uncollected(subject, suites, criteria)
            for name, subject in self.subjects.items()
        }

    def _check_parts(self) -> None:
        complaints = []
        for name, subject in self.subjects.items():
            if subject.system is not None and (parts := missing_parts(subject.system)):
                complaints.append("\n  ".join([f"'{name}' cannot run yet.", *parts]))
        if complaints:
            raise UserError("\n".join(complaints))
        if self.config.getoption("batch_size") < 1:
            raise UserError("--batch-size must be 1 or more.")

    @staticmethod
    def _says_the_same(one: Verdict, other: Verdict) -> bool:
        parts = ("gate", "slice", "outcome", "estimate")
        return all(getattr(one, part) == getattr(other, part) for part in parts)

    def add(self, subject: SystemUnderTest, nodeid: str, verdict: Verdict) -> None:
        """Take down what a gate said; the same of one test that was run again, once."""
        said = self.verdicts.setdefault(subject.name, {}).setdefault(nodeid, [])
        if not any(self._says_the_same(verdict, known) for known in said):
            said.append(verdict)

    def fields_of(self, system: str) -> Mapping[str, Field]:
        """The fields of a system's task."""
        return self.subjects[system].task.fields

    def evidence(self, subject: SystemUnderTest, verdict: Verdict) -> str:
        """Why a gate did not pass, with rows that stand under no other failure."""
        text = evidence(verdict, subject.task, self._told)
        self._told |= {row.example.id for row in surest(verdict, self._told)[:WRONG_CASES]}
        return text

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        """Skip what a system is not able to do; leave open what there is no evidence for."""
        subject = self.subjects.get(subject_of(item) or "")
        if subject is not None and (lacking := self._lacking(item, subject)):
            pytest.skip(say(f"lacks.{lacking[0]}", who=subject.name))
        with self._inconclusive(item, subject):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """A number that cannot be made for want of data is inconclusive, not an error."""
        subject = self.subjects.get(subject_of(item) or "")
        with self._inconclusive(item, subject):
            return (yield)

    @contextmanager
    def _inconclusive(self, item: pytest.Item, subject: SystemUnderTest | None) -> Iterator[None]:
        try:
            yield
        except DoesNotApply as why:
            if subject is not None:
                self.expected.withdraw(subject.name, item.nodeid, why.args[0])
            pytest.skip(str(why))
        except InsufficientData as error:
            if subject is not None and item.nodeid not in self.verdicts.get(subject.name, {}):
                self.expected.leave_open(subject.name, item.nodeid, error.args[0])
            pytest.fail(legible(f"INCONCLUSIVE: {error}"), pytrace=False)
        except EvidenceError as error:
            if subject is not None:
                self.run_cache.faults[subject.name].append(error.message)
            pytest.fail(legible(f"INCONCLUSIVE: {error}"), pytrace=False)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Remember how suite tests went, and those that broke before their gate spoke."""
        report = yield
        name = subject_of(item)
        self.expected.report(name or "", report)
        if name in self.subjects:
            self._reported.add(name)
        if report.failed and name:
            said = self.verdicts.get(name, {}).get(item.nodeid, [])
            if any(v.blocks for v in said):
                self._explained.add(item.nodeid)
            elif not self.expected.is_left_open(name, item.nodeid):
                self.broken.setdefault(name, []).append(item.name)
        return report

    def releases(self) -> Iterator[Release]:
        """What the verdicts on each system come to."""
        evidence = self.run_cache
        for name, subject in self.subjects.items():
            if name in evidence.evaluations or evidence.faults[name]:
                yield self._release(name, subject)
            # Otherwise it never came to answer.

    def _release(self, name: str, subject: SystemUnderTest) -> Release:
        spoilt = self._is_spoilt(name)
        policies = {} if spoilt else self.criteria.all
        said = self.verdicts.get(name, {})
        verdicts = [v for spoken in said.values() for v in spoken]
        missed = {} if spoilt else self.expected.missed(name, set(said), policies)
        lacking = self.expected.lacking(name, policies)
        rows = RowsLeftOut.of(self.run_cache.evaluations.get(name))
        allowed = rows.judge(policies, subject.task.family)
        return conclude(
            name,
            subject.task.family,
            [*verdicts, *([allowed] if allowed else [])],
            policies,
            broken=[*self.broken.get(name, ()), *lacking],
            missed=missed | lacking | self._uncollected.get(name, {}),
            not_applicable=self._not_applicable(subject),
            withdrawn=self.expected.withdrawn(name, policies),
            partial=is_partial(self.config),
            faults=[
                *self.run_cache.faults[name],
                *rows.faults(allowed),
                *self.criteria.breaches(self.expected.files),
            ],
            caveats=[
                *rows.caveats(),
                *self.criteria.caveats(self.run_cache.baseline_tiers()),
                *self._seals(name).values(),
            ],
            names=self.expected.names(name, policies, subject.task.fields),
        )

    def _seals(self, name: str) -> dict[str | None, str]:
        evaluation = self.run_cache.evaluations.get(name)
        return self.criteria.seals(evaluation.record) if evaluation is not None else {}

    def _not_applicable(self, subject: SystemUnderTest) -> dict[str, str]:
        """What does not apply to a system, and why: criteria, gates with slices, tests."""
        not_applicable: dict[str, str] = {}
        for name, policy in self.criteria.all.items():
            if lacking := [what for what in policy.needs if what not in subject.capabilities]:
                not_applicable[name] = say(f"lacks.{lacking[0]}", who="it")
        slices = self.expected.unfit(subject.name, self.criteria.all)
        return not_applicable | {
            n: w for n, w in slices.items() if n.partition("[")[0] not in not_applicable
        }

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Store the verdicts and show them, after all that pytest itself has to say.

        A whole run that may not ship never exits with 0.
        """
        evidence = self.run_cache
        self._fault_the_unasked(session)
        if not evidence.evaluations and not any(evidence.faults.values()):
            return (yield)

        evidence.close()
        if session.exitstatus == pytest.ExitCode.USAGE_ERROR:
            return (yield)  # nothing was judged, and what was judged before stays
        releases = list(self.releases())
        lines: list[str] = []
        for release in releases:
            record_release(self.record_for_suite, release)
            if release.system in evidence.evaluations:
                evaluation = evidence.evaluations[release.system]
                folder = evidence.runs[release.system]
                content = verdicts_to_json(
                    release,
                    evaluation,
                    policies_sha256(self.criteria.all),
                    [shown_path(path) for path in self.criteria.by_file],
                    next(iter(self._seals(release.system)), None),
                )
                if before := verdict_before(folder):
                    lines.append(f"replaced: {before}, as {legible(folder.name)} was judged before")
                self.judged[release.system] = store_verdicts(folder, content, evaluation)
            unfit = not release.may_ship and not release.partial
            # Where every run was refused, pytest has found no tests.
            if unfit and session.exitstatus in (
                pytest.ExitCode.OK,
                pytest.ExitCode.NO_TESTS_COLLECTED,
            ):
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        lines += write_reports(list(self.judged.values()), evidence.runs_folder)
        result = yield
        terminal = self.config.pluginmanager.getplugin("terminalreporter")
        if terminal is not None:
            show_releases(terminal, releases, self.judged, evidence, lines)
        return result

    def _fault_the_unasked(self, session: pytest.Session) -> None:
        """A system that a whole run asked nothing, as every test was skipped, has not passed."""
        if is_partial(self.config) or session.exitstatus != pytest.ExitCode.OK:
            return
        if not self.criteria.all:
            return
        for name in sorted(self._reported - self.run_cache.evaluations.keys()):
            if not self.run_cache.faults[name]:
                self.run_cache.faults[name].append("No test asked it anything")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> Generator[None, object, object]:
        """Keep out of pytest's list of failures what the verdict says; count it all the same."""
        stats = terminalreporter.stats
        if not is_brief(self.config) or "failed" not in stats:
            return (yield)
        failed = stats["failed"]
        stats["failed"] = [report for report in failed if report.nodeid not in self._explained]
        try:
            return (yield)
        finally:
            stats["failed"] = failed
