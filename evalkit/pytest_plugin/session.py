"""What the gate knows during one pytest session."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evalkit.errors import (
    DoesNotApply,
    EvidenceError,
    InsufficientData,
    UserError,
    did_you_mean,
    fault_of_the_machine,
)
from evalkit.gates import conclude, load_policies, lowered_tiers, policies_sha256
from evalkit.gates.policy import may_lose
from evalkit.gates.sealing import breach, read_seal, sealed_before
from evalkit.locale import say
from evalkit.printable import legible, printable
from evalkit.pytest_plugin.expected import Expected, params
from evalkit.pytest_plugin.junit import record_release
from evalkit.pytest_plugin.marks import check_family, check_marks, families_of, place
from evalkit.pytest_plugin.phases import measured_rate, phase_table, phases
from evalkit.pytest_plugin.rows import RowsLeftOut
from evalkit.pytest_plugin.run_cache import RunCache, SystemUnderTest
from evalkit.pytest_plugin.suite_files import find_suites
from evalkit.reports.judged import JudgedRun
from evalkit.reports.render.terminal import to_terminal, to_text
from evalkit.reports.terminal import (
    WRONG_CASES,
    evidence,
    refused,
    release_report,
    release_screen,
    side_by_side,
    surest,
)
from evalkit.reports.verdicts import release_from_json, verdicts_to_json
from evalkit.reports.writing import write_comparison, write_index, write_run_page
from evalkit.runs import home_of, read_verdicts, write_verdicts
from evalkit.systems import load_system, missing_parts, shown_path

if TYPE_CHECKING:
    from evalkit.gates import Policy, Release, Verdict
    from evalkit.tasks import Field


class SubjectName(str):
    """What evalkit parametrises `system_under_test` with; a project's own is something else."""

    __slots__ = ()


NO_MODEL = SubjectName("no-model")
MISFIT = SubjectName("misfit")


def subject_of(item: pytest.Item) -> SubjectName | None:
    """The system that a test is for; None for a test that asks for none of evalkit's."""
    name = params(item).get("system_under_test")
    return name if isinstance(name, SubjectName) else None


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
        self.criteria: dict[Path, dict[str, Policy]] = {}
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
        if self._fits(item):
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
        fits: list[pytest.Item] = []
        misfits: list[pytest.Item] = []
        for item in items:
            (fits if self._fits(item) else misfits).append(item)
        if misfits:
            self.config.hook.pytest_deselected(items=misfits)
            items[:] = fits

    def _fits(self, item: pytest.Item) -> bool:
        given = params(item)
        name = subject_of(item)
        if name == MISFIT:
            return False
        if name not in self.subjects:
            return True
        fields = self.subjects[name].task.fields
        each_value = item.get_closest_marker("each_value")
        if each_value is not None:
            spec = fields.get(each_value.args[0])
            if spec is None or given.get("value") not in spec.labels:
                return False
        return item.get_closest_marker("each_field") is None or given.get("field") in fields

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
                self._check_choice()
                family = self.subjects[unused[0]].task.family
                raise UserError(
                    f"No test that was collected is for '{unused[0]}' (a task of family "
                    f"'{family}'). Name a folder of suites: pytest suites/ --model {unused[0]}"
                )
            self._check_parts()
            self.run_cache.load_rows(list(self.subjects.values()))
            self._check_criteria()
            self._look_for_suites()
            # Faulty evidence is not judged.
            session.items[:] = [
                item for item in session.items if not self._is_spoilt(subject_of(item))
            ]

    def _check_choice(self) -> None:
        """Refuse a choice of tests that leaves none."""
        option = self.config.option
        for flag, given in (("-k", option.keyword), ("-m", option.markexpr)):
            if given:
                raise UserError(
                    f"No test is chosen by {flag} '{given}'. `pytest --collect-only -q` with the "
                    "same suites and --model lists what there is to choose from."
                )

    def _is_spoilt(self, name: str | None) -> bool:
        subject = self.subjects.get(name or "")
        if subject is None or subject.run is None:
            return False
        return bool(self.run_cache.faults[subject.name])

    def _check_criteria(self) -> None:
        """Read the criteria, and refuse what in them can only be a slip.

        Raises:
            UserError: a criterion is not valid, or its name is nearly what a suite asks for.
        """
        suites = sorted(self.expected.files)
        for suite in suites:
            read_seal(gates_of(suite))  # what is no seal is said before anything answers
        asked = {suite: self.expected.asked(suite) for suite in suites}
        everywhere = {name for names in asked.values() for name in names}
        for suite, names in asked.items():
            path, policies = self.policies(suite)
            for name in sorted(names - policies.keys()):
                if guess := did_you_mean(name, policies.keys() - everywhere):
                    raise UserError(
                        f"{path}: {suite.name} asks for [{name}], which is not there.{guess}"
                    )
        tasks = [subject.task for subject in self.subjects.values()]
        for path, policies in self.criteria.items():
            for name, policy in policies.items():
                if policy.task is not None:
                    check_family(policy.task, f"{path}: [{name}]", tasks, self.config.rootpath)

    def _look_for_suites(self) -> None:
        """Which tests stand beside those that were collected, and were not."""
        if self.is_partial:
            return
        beside = {path.parent for path in (*self.expected.files, *self.criteria)}
        here = self.config.invocation_params.dir
        suites = find_suites(beside, [here / argument for argument in self.config.args])
        criteria = self.all_policies
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

    def policies(self, suite: Path) -> tuple[Path, dict[str, Policy]]:
        """The gates.toml that belongs to a suite, and what it says."""
        named = self.config.getoption("gates")
        path = Path(named) if named else gates_of(suite)
        if path not in self.criteria:
            self.criteria[path] = load_policies(path)
        return path, self.criteria[path]

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
            else:
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
        evidence = self.run_cache
        for name, subject in self.subjects.items():
            if name in evidence.evaluations or evidence.faults[name]:
                yield self._release(name, subject)
            # Otherwise it never came to answer.

    def _release(self, name: str, subject: SystemUnderTest) -> Release:

        spoilt = self._is_spoilt(name)
        policies = {} if spoilt else self.all_policies
        said = self.verdicts.get(name, {})
        verdicts = [v for spoken in said.values() for v in spoken]
        missed = {} if spoilt else self.expected.missed(name, set(said), policies)
        rows = RowsLeftOut.of(self.run_cache.evaluations.get(name))
        allowed = rows.judge(policies, subject.task.family)
        return conclude(
            name,
            subject.task.family,
            [*verdicts, *([allowed] if allowed else [])],
            policies,
            broken=self.broken.get(name, ()),
            missed=missed | self._uncollected.get(name, {}),
            not_applicable=self._not_applicable(subject),
            withdrawn=self.expected.withdrawn(name, policies),
            partial=self.is_partial,
            faults=[
                *self.run_cache.faults[name],
                *rows.faults(allowed),
                *self._breaches(),
            ],
            caveats=[*rows.caveats(), *self._caveats(), *self._seals(name).values()],
            names=self.expected.names(name, policies, subject.task.fields),
        )

    @property
    def all_policies(self) -> dict[str, Policy]:
        """The criteria of all suites that were collected."""
        return {name: p for found in self.criteria.values() for name, p in found.items()}

    def _not_applicable(self, subject: SystemUnderTest) -> dict[str, str]:
        """What does not apply to a system, and why: criteria, gates with slices, tests."""
        not_applicable: dict[str, str] = {}
        for name, policy in self.all_policies.items():
            if lacking := [what for what in policy.needs if what not in subject.capabilities]:
                not_applicable[name] = say(f"lacks.{lacking[0]}", who="it")
        slices = self.expected.unfit(subject.name, self.all_policies)
        return not_applicable | {
            n: w for n, w in slices.items() if n.partition("[")[0] not in not_applicable
        }

    def _breaches(self) -> list[str]:
        """Where criteria are looser than those that were sealed, be they of another file."""
        own = {gates_of(suite): self.policies(suite)[1] for suite in sorted(self.expected.files)}
        found = (breach(path, now) for path, now in {**own, **self.criteria}.items())
        return [why for why in found if why]

    def _caveats(self) -> list[str]:
        """What is to be known of the criteria."""
        found = self._lowered()
        if empty := [name for name, policy in self.all_policies.items() if policy.is_empty]:
            found.append(say("note.criteria_that_cannot_fail", names=", ".join(empty)))
        if losing := [name for name, policy in self.all_policies.items() if may_lose(name, policy)]:
            found.append(say("note.criteria_that_may_lose", names=", ".join(losing)))
        if named_by := where_gates_are_named(self.config):
            file = self.config.getoption("gates")
            found.append(say("note.criteria_named", file=file, by=named_by))
        return found

    def _seals(self, name: str) -> dict[str | None, str]:
        """Since when the criteria were sealed, and what to say of it; empty where none is.

        Where they are in several files, the one whose seal is missing or broken is told.
        """
        evaluation = self.run_cache.evaluations.get(name)
        if evaluation is None:
            return {}

        found = [sealed_before(path, evaluation.record) for path in self.criteria]
        told = sorted((when or "", note) for when, note in found if note is not None)
        if not told:
            return {}
        when, note = told[0]
        whole = len(told) == len(found)
        return {when if whole and when else None: note}

    def _lowered(self) -> list[str]:
        """Which criteria block less than they did for the run that `--against` names."""
        named, before = self.config.getoption("against"), self.run_cache.baseline_tiers()
        if before is None:
            return [say("note.tiers_unknown", baseline=named)]
        return [
            say("note.tier_lowered", baseline=named, gate=gate, before=was, now=now)
            for gate, (was, now) in lowered_tiers(before, self.all_policies).items()
        ]

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
        replaced = []
        for release in releases:
            record_release(self.record_for_suite, release)
            if release.system in evidence.evaluations:
                evaluation = evidence.evaluations[release.system]
                folder = evidence.runs[release.system]
                content = verdicts_to_json(
                    release,
                    evaluation,
                    policies_sha256(self.all_policies),
                    [shown_path(path) for path in self.criteria],
                    next(iter(self._seals(release.system)), None),
                )
                if before := _verdict_before(folder):
                    replaced.append(
                        f"replaced: {before}, as {legible(folder.name)} was judged before"
                    )
                try:
                    write_verdicts(folder, content)
                except OSError as error:
                    fault = fault_of_the_machine(error, [str(folder)])
                    if fault is None:
                        raise
                    pytest.exit(legible(fault), returncode=pytest.ExitCode.USAGE_ERROR)
                # As it is read back, so that a report is the same whoever writes it.
                read_back = release_from_json(content, evaluation)
                self.judged[release.system] = JudgedRun(folder, evaluation, read_back)
            unfit = not release.may_ship and not release.partial
            # Where every run was refused, pytest has found no tests.
            if unfit and session.exitstatus in (
                pytest.ExitCode.OK,
                pytest.ExitCode.NO_TESTS_COLLECTED,
            ):
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reports = [*replaced, *self._write_reports(list(self.judged.values()))]
        result = yield
        terminal = self.config.pluginmanager.getplugin("terminalreporter")
        if terminal is not None:
            self._show(terminal, releases)
            terminal.write("".join(f"{line}\n" for line in reports))
        return result

    def _fault_the_unasked(self, session: pytest.Session) -> None:
        """A system that a whole run asked nothing, as every test was skipped, has not passed."""
        if self.is_partial or session.exitstatus != pytest.ExitCode.OK or not self.all_policies:
            return
        for name in sorted(self._reported - self.run_cache.evaluations.keys()):
            if not self.run_cache.faults[name]:
                self.run_cache.faults[name].append("No test asked it anything")

    def _write_reports(self, judged: list[JudgedRun]) -> Iterator[str]:
        """A page for each run, one that compares them, and the index; what is where, in lines."""
        runs = home_of([run.folder for run in judged], self.run_cache.runs_folder)
        pages = [("report", partial(write_run_page, run)) for run in judged]
        if len(judged) > 1:
            pages.append(("comparison", partial(write_comparison, judged, runs)))
        if runs.is_dir():
            pages.append(("all runs", partial(write_index, runs)))
        for what, write in pages:
            try:
                yield f"{what}: {shown_path(write())}"
            except Exception as error:  # whatever it is, the verdict stands
                kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
                yield f"{what}: not written. {kind}{printable(str(error), 500)}"

    @property
    def _is_brief(self) -> bool:
        """Whether failed gates are told once, in the verdict: not with -v, -rA and the like."""
        option = self.config.option
        asked = option.verbose > 0 or option.reportchars != "fE" or option.tbstyle != "auto"
        return not asked

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> Generator[None, object, object]:
        """Keep out of pytest's list of failures what the verdict says; count it all the same."""
        stats = terminalreporter.stats
        if not self._is_brief or "failed" not in stats:
            return (yield)
        failed = stats["failed"]
        stats["failed"] = [report for report in failed if report.nodeid not in self._explained]
        try:
            return (yield)
        finally:
            stats["failed"] = failed

    def _show(self, terminal: pytest.TerminalReporter, releases: list[Release]) -> None:
        """May each system ship, and why not; every gate with -v."""
        terminal.section("release gate")
        width, colour = terminal._tw.fullwidth, terminal.hasmarkup
        for release in releases:
            if (run := self.judged.get(release.system)) is None:
                shown = refused(release)
            elif self._is_brief:
                shown = release_screen(run, width)
            else:
                shown = release_report(run)
            terminal.write(to_text(shown, width, colour=colour))
        if self.config.option.durations is not None:
            self._show_phases(terminal)
        judged = [release for release in releases if release.system in self.judged]
        if len(judged) > 1:
            terminal.section("side by side")
            evaluations = [self.judged[release.system].evaluation for release in judged]
            shown = side_by_side(judged, evaluations)
            terminal.write(to_text(shown, width, colour=colour))

    def _show_phases(self, terminal: pytest.TerminalReporter) -> None:
        """Where the time went, with `--durations`."""
        asked = list(self.run_cache.asked())
        counting = [record for *_, record in asked if record.cost.operations]
        rate = measured_rate(counting[0].engine) if counting else None
        if shown := phase_table(phases(asked), self.config.option.durations, rate):
            terminal.section("where the time went")
            width, colour = terminal._tw.fullwidth, terminal.hasmarkup
            terminal.write(to_text(to_terminal(shown), width, colour=colour))


def gates_of(suite: Path) -> Path:
    """The gates.toml beside a suite, or the nearest above it."""
    above = [folder / "gates.toml" for folder in suite.parents]
    return next((path for path in above if path.is_file()), suite.parent / "gates.toml")


def where_gates_are_named(config: pytest.Config) -> str:
    """What names the criteria's file besides the command line; empty where nothing does."""
    typed = [str(argument) for argument in config.invocation_params.args]
    if not config.getoption("gates") or any(a.partition("=")[0] == "--gates" for a in typed):
        return ""
    in_environment = "--gates" in os.environ.get("PYTEST_ADDOPTS", "")
    return "PYTEST_ADDOPTS in the environment" if in_environment else "pytest's addopts"


def did_you_mean_path(given: str) -> str:
    """`` Did you mean 'suites'?`` for a path that is not there; empty where it is."""
    there, missing = Path(), ""
    for part in Path(given).parts:
        if not (there / part).exists():
            missing = part
            break
        there /= part
    if not missing or not there.is_dir():
        return ""
    known = {path.name: str(path) for path in sorted(there.iterdir())}
    return did_you_mean(missing, (), known)


class as_usage_errors:  # noqa: N801 (reads as a verb at its call)
    """Turn `UserError` into pytest's usage error: one message, exit code 4."""

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: Any) -> None:
        fault = str(error) if isinstance(error, UserError) else fault_of_the_machine(error)
        if fault:
            raise pytest.UsageError(legible(fault)) from error


def _verdict_before(folder: Path) -> str:
    """What is stored as the verdict on a run, in words; empty where it was never judged."""
    try:
        found = read_verdicts(folder)
    except EvidenceError:
        return "a verdict that does not hold for what is there"
    if found is None:
        return ""
    return "may ship" if found["may_ship"] else "may NOT ship"
