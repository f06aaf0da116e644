"""`pytest suites/ --model NAME`: the fixtures suites take, and the verdict at the end.

Suites judge, they don't run: the session-scoped `evaluation` fixture lets a system answer a
dataset once, and every test holds a number of that one evaluation against `gates.toml`.
Nothing heavy is imported here before a suite runs.
"""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evalkit.errors import InsufficientData, UserError

if TYPE_CHECKING:
    from evalkit.data import Dataset
    from evalkit.evaluation import Evaluation, Measurement
    from evalkit.gates import Policy, Release, Verdict
    from evalkit.records import Estimate
    from evalkit.systems import System

    Gate = Callable[..., None]

NO_MODEL = "no-model"
MISFIT = "misfit"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the gate."""
    group = parser.getgroup("evalkit", "release gate (evalkit)")
    add = group.addoption
    add("--model", action="append", metavar="NAME", help="system under test: a name on the shelf"
        " or a folder with a system.toml; may be given several times")  # fmt: skip
    add("--data", metavar="SOURCE", help="rows to judge on: a .jsonl, .csv or .parquet file or"
        " hf:OWNER/NAME[:SPLIT]; fixtures/FAMILY/test.jsonl by default")  # fmt: skip
    add("--limit", type=int, metavar="N", help="only the first N rows")
    add("--on-bad-row", choices=("stop", "skip"), default="stop", help="stop at a row that"
        " cannot be read (default), or skip it and say so")  # fmt: skip
    add("--mapping", default="auto", metavar="SCHEME", help="label scheme of the data: auto"
        " (default), none, or one that the task declares")  # fmt: skip
    add("--runs", default="runs", metavar="DIR", help="where runs are written (default: runs)")
    add("--gates", metavar="FILE", help="release criteria; by default the gates.toml beside the"
        " suite or in a folder above it")  # fmt: skip
    add("--gate-mode", choices=("point", "strict"), default="point", help="point: the value"
        " decides (default); strict: the whole 95%% interval has to pass")  # fmt: skip
    add("--device", choices=("auto", "cpu", "cuda", "mps"), default="auto")
    add("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    add("--batch-size", type=int, default=16, metavar="N", help="rows per batch (default: 16)")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marks, and find the named systems at once: a typo should not wait."""
    config.addinivalue_line("markers", "task(family): the suite is for tasks of this family")
    config.addinivalue_line(
        "markers", "each_value(field): run the test once for each value of a field, as `value`"
    )
    session = _Session(config)
    config.stash[_SESSION] = session
    config.pluginmanager.register(session, "evalkit-session")
    with _as_usage_errors():
        session.find_systems()


@pytest.fixture(scope="session")
def system_under_test(request: pytest.FixtureRequest) -> System:
    """The system that `--model` names."""
    return request.config.stash[_SESSION].systems[request.param]


@pytest.fixture(scope="session")
def evaluation(system_under_test: System, pytestconfig: pytest.Config) -> Evaluation:
    """The system's answers on the data, made once a session and read back from disk."""
    return pytestconfig.stash[_SESSION].evaluate(system_under_test)


@pytest.fixture
def gate(
    request: pytest.FixtureRequest, system_under_test: System, pytestconfig: pytest.Config
) -> Gate:
    """`gate(name, measurement)`: hold a number against the criterion of that name.

    The test fails unless the verdict is a pass. `slice=` names the part of the data the number
    is of, where one criterion is held against several. The number is what a method of
    `evaluation` returns, or an `Estimate` of your own.
    """
    session = pytestconfig.stash[_SESSION]

    def hold(
        name: str, measured: Measurement | Estimate, *, slice: str | int | None = None
    ) -> None:
        from evalkit.gates import Outcome, find_policy, judge
        from evalkit.reporting.terminal import explain

        path, policies = session.policies(request.path)
        try:
            policy = find_policy(policies, name, path)
        except UserError as error:
            pytest.fail(str(error), pytrace=False)
        verdict = judge(
            name,
            policy,
            measured,
            slice_name="" if slice is None else str(slice),
            mode=pytestconfig.getoption("gate_mode"),
        )
        session.add(system_under_test, request.node.nodeid, verdict)
        if verdict.outcome is not Outcome.PASS:
            pytest.fail(explain(verdict, system_under_test.task), pytrace=False)

    return hold


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each suite test once for each system its task mark fits."""
    if "system_under_test" not in metafunc.fixturenames:
        return
    session = metafunc.config.stash[_SESSION]
    family = metafunc.definition.get_closest_marker("task")
    fitting = [
        name
        for name, system in session.systems.items()
        if family is None or system.task.family in family.args
    ]
    names = fitting or [MISFIT if session.systems else NO_MODEL]
    metafunc.parametrize("system_under_test", names, indirect=True, scope="session")
    each = metafunc.definition.get_closest_marker("each_value")
    if each is not None:
        values: dict[str | int, None] = {}
        for name in fitting:
            spec = session.systems[name].task.fields.get(each.args[0])
            values |= dict.fromkeys(spec.labels if spec else ())
        metafunc.parametrize("value", list(values) or [MISFIT])


class _Session:
    """What the gate knows during one pytest session."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.systems: dict[str, System] = {}
        self.datasets: dict[str, Dataset] = {}
        self.evaluations: dict[str, Evaluation] = {}
        self.runs: dict[str, Path] = {}
        self.verdicts: dict[str, dict[str, list[Verdict]]] = {}
        self.broken: dict[str, list[str]] = {}
        self.criteria: dict[Path, dict[str, Policy]] = {}

    def find_systems(self) -> None:
        """Read the system.toml of every `--model`."""
        models = self.config.getoption("model") or []
        if models and (
            self.config.getoption("numprocesses", None) or self.config.getoption("tx", None)
        ):
            raise UserError(
                "Suites judge one evaluation in one process. Run them without pytest-xdist's -n."
            )
        if models:
            from evalkit.systems import load_system

            for model in models:
                system = load_system(model)
                if system.name in self.systems:
                    raise UserError(f"--model {model}: '{system.name}' is named twice.")
                self.systems[system.name] = system

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
        name, value = params.get("system_under_test"), params.get("value")
        each = item.get_closest_marker("each_value")
        if name == MISFIT or (each and value == MISFIT and name != NO_MODEL):
            return False
        if name not in self.systems or each is None:
            return True
        spec = self.systems[name].task.fields.get(each.args[0])
        return spec is not None and value in spec.labels

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Before anything is loaded: is all that the suites need here?"""
        names = [_params(item).get("system_under_test") for item in session.items]
        wanted = {name for name in names if name}
        if self.config.option.collectonly or (not wanted and not self.systems):
            return
        with _as_usage_errors():
            if NO_MODEL in wanted:
                raise UserError(
                    "Which system is under test? Give --model NAME. `evalkit systems` lists them."
                )
            if unused := [name for name in self.systems if name not in wanted]:
                family = self.systems[unused[0]].task.family
                raise UserError(
                    f"No test that was collected is for '{unused[0]}' (a task of family "
                    f"'{family}'). Name a folder of suites: pytest suites/ --model {unused[0]}"
                )
            self._check_parts()
            for name in self.systems:
                self.datasets[name] = self._load_dataset(self.systems[name])
            for item in session.items:
                if "gate" in getattr(item, "fixturenames", ()):
                    self.policies(item.path)

    def _check_parts(self) -> None:
        from evalkit.systems import missing_parts

        complaints = []
        for name, system in self.systems.items():
            if parts := missing_parts(system):
                complaints.append("\n  ".join([f"'{name}' cannot run yet.", *parts]))
        if complaints:
            raise UserError("\n".join(complaints))
        if self.config.getoption("batch_size") < 1:
            raise UserError("--batch-size must be 1 or more.")

    def _load_dataset(self, system: System) -> Dataset:
        from evalkit.data import load_dataset
        from evalkit.systems import shown_path

        source = self.config.getoption("data")
        if source is None:
            path = self.config.rootpath / "fixtures" / system.task.family / "test.jsonl"
            if not path.is_file():
                raise UserError(
                    f"There are no rows to judge '{system.name}' on: {shown_path(path)} "
                    "is not there. Write it, or name others with --data."
                )
            source = shown_path(path)
        return load_dataset(
            source,
            system.task,
            on_bad_row=self.config.getoption("on_bad_row"),
            mapping=self.config.getoption("mapping"),
            limit=self.config.getoption("limit"),
        )

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

    def evaluate(self, system: System) -> Evaluation:
        """Let a system answer, once. What breaks down here ends the session."""
        if system.name in self.evaluations:
            return self.evaluations[system.name]
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
                evaluation, folder = run_system(
                    system,
                    self.datasets[system.name],
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
        self.evaluations[system.name] = evaluation
        self.runs[system.name] = folder
        return evaluation

    def add(self, system: System, nodeid: str, verdict: Verdict) -> None:
        """Take down what a gate said."""
        self.verdicts.setdefault(system.name, {}).setdefault(nodeid, []).append(verdict)

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
        """What the verdicts on each evaluated system come to."""
        from evalkit.gates import conclude

        policies = {name: p for found in self.criteria.values() for name, p in found.items()}
        for name in self.evaluations:
            verdicts = [v for said in self.verdicts.get(name, {}).values() for v in said]
            family = self.systems[name].task.family
            yield conclude(
                name,
                family,
                verdicts,
                policies,
                broken=self.broken.get(name, ()),
                partial=self.is_partial,
            )

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Store the verdicts and show them, after all that pytest itself has to say.

        A whole run that may not ship never exits with 0.
        """
        if not self.evaluations:
            return (yield)
        from evalkit.reporting.verdicts import verdicts_to_json
        from evalkit.store import write_verdicts

        releases = list(self.releases())
        for release in releases:
            content = verdicts_to_json(release, self.evaluations[release.system])
            write_verdicts(self.runs[release.system], content)
            if session.exitstatus == 0 and not release.may_ship and not release.partial:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        result = yield
        terminal = self.config.pluginmanager.getplugin("terminalreporter")
        if terminal is not None:
            self._show(terminal, releases)
        return result

    def _show(self, terminal: pytest.TerminalReporter, releases: list[Release]) -> None:
        """Every gate, then one line for each system: may it ship?"""
        from evalkit.reporting.terminal import release_report, to_text
        from evalkit.systems import shown_path

        terminal.section("release gate")
        for release in releases:
            name = release.system
            shown = release_report(release, self.evaluations[name], shown_path(self.runs[name]))
            width, colour = terminal._tw.fullwidth, terminal.hasmarkup
            terminal.write(to_text(shown, width, colour=colour))


_SESSION = pytest.StashKey[_Session]()


class _as_usage_errors:  # noqa: N801 (reads as a verb at its call)
    """Turn `UserError` into pytest's usage error: one message, exit code 4."""

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: Any) -> None:
        if isinstance(error, UserError):
            raise pytest.UsageError(str(error)) from error


def _params(item: pytest.Item) -> dict[str, Any]:
    callspec = getattr(item, "callspec", None)
    return callspec.params if callspec is not None else {}
