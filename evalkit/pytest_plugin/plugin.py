"""`pytest suites/ --model NAME`: the options, the fixtures suites take, and the marks.

Suites judge, they don't run: the session-scoped `evaluation` fixture lets a system answer a
dataset once, and every test holds a number of that one evaluation against `gates.toml`.
Nothing heavy is imported here before a suite runs.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from evalkit.errors import UserError
from evalkit.gates import find_policy, judge
from evalkit.printable import legible, write_what_fits
from evalkit.pytest_plugin.github import GitHubOutputs
from evalkit.pytest_plugin.junit import record_gate
from evalkit.pytest_plugin.parameters import MISFIT, NO_MODEL, SubjectName
from evalkit.pytest_plugin.run_cache import SystemUnderTest
from evalkit.pytest_plugin.session import GateSession
from evalkit.pytest_plugin.tracking import Tracking
from evalkit.pytest_plugin.usage import as_usage_errors
from evalkit.pytest_plugin.written_order import WrittenOrder
from evalkit.runs.runner import Variant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evalkit.data.dev_changes import Split
    from evalkit.engines.loading import Device
    from evalkit.evaluation import Evaluation, Measurement, PairedComparison
    from evalkit.records import Completion, Estimate, Example, Request
    from evalkit.tasks import Task

    Gate = Callable[..., None]
    Ask = Callable[..., Evaluation]
    Answers = Callable[..., dict[str, Completion]]
    Divergences = Callable[[str, Mapping[str, str]], list[dict[str, Any]]]

DEVICES = ("auto", "cpu", "cuda", "mps")
_SESSION = pytest.StashKey[GateSession]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the gate."""
    taken = vars(parser.parse_known_args([]))
    group = parser.getgroup("evalkit", "release gate (evalkit)")

    def add(name: str, **how: Any) -> None:
        if (dest := name[2:].replace("-", "_")) not in taken:
            group.addoption(name, **how)
        elif dest != "device":  # pytest-playwright has one, of the same shape
            raise pytest.UsageError(
                f"{name} is an option of another plugin as well, so one of the two has to stay out "
                "of this run: `-p no:NAME` leaves a plugin out."
            )

    add("--model", action="append", metavar="NAME", help="system under test: a name on the shelf"
        " or a folder with a system.toml; may be given several times; the project's only system by"
        " default")  # fmt: skip
    add("--run", action="append", metavar="RUN", help="judge a stored run again, without any"
        " model: a folder, or its name under --runs; may be given several times")  # fmt: skip
    add("--data", metavar="SOURCE", help="rows to judge on: a .jsonl, .csv or .parquet file or"
        " hf:OWNER/NAME[:SPLIT]; fixtures/FAMILY/test.jsonl by default")  # fmt: skip
    add("--split", choices=("test", "dev"), default="test", help="dev: what settings are chosen"
        " by, fixtures/FAMILY/dev.jsonl and the suites' other dev material; there is no release"
        " verdict on it")  # fmt: skip
    add("--limit", type=int, metavar="N", help="only the first N rows; then there is no release"
        " verdict")  # fmt: skip
    add("--on-bad-row", choices=("stop", "skip"), default="stop", help="stop at a row that"
        " cannot be read (default), or skip it and say so")  # fmt: skip
    add("--mapping", default="auto", metavar="SCHEME", help="label scheme of the data: auto"
        " (default), none, or one that the task declares")  # fmt: skip
    add("--against", metavar="RUN", help="fail where a gated number is significantly worse than"
        " in this run: a folder, or a name that `evalkit baseline set` gave")  # fmt: skip
    add("--track", choices=("mlflow",), help="log every system's run to a tracker, under its own"
        " settings (MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME)")  # fmt: skip
    add("--runs", default="runs", metavar="DIR", help="where runs are written (default: runs)")
    add("--gates", metavar="FILE", help="release criteria; by default the gates.toml beside the"
        " suite or in a folder above it")  # fmt: skip
    add("--gate-mode", choices=("point", "strict"), default="point", help="point: the value"
        " decides (default); strict: the whole 95%% interval has to pass")  # fmt: skip
    add("--decoding", choices=("free", "constrained"), help="constrained: the likeliest of the"
        " task's answers, and none besides; as the system.toml says by default")  # fmt: skip
    add("--fresh", action="store_true", help="compute every answer again; by default what a"
        " system answered before, under the very same settings, is taken as it was")  # fmt: skip
    add("--device", choices=DEVICES, default="auto", help="what computes the"
        " answers; auto (default) takes a GPU where there is one")  # fmt: skip
    add("--precision", choices=("auto", "fp32", "bf16"), default="auto", help="how exactly"
        " answers are computed; auto (default): bf16 where that is fast, else fp32")  # fmt: skip
    add("--batch-size", type=int, default=16, metavar="N", help="rows per batch (default: 16)")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marks, and find the named systems at once: a typo should not wait."""
    for line in (
        "task(family): the suite is for tasks of this family",
        "needs(ability, ...): for systems that are `live`, a `language_model`, have an `adapter`"
        " or `free_decoding`",
        "each_value(field): run the test once for each value of a field, as `value`",
        "each_field: run the test once for each field of the task, as `field`",
    ):
        config.addinivalue_line("markers", line)
    write_what_fits()
    session = GateSession(config)
    config.stash[_SESSION] = session
    config.pluginmanager.register(session, "evalkit-session")
    config.pluginmanager.register(WrittenOrder(), "evalkit-order")
    config.pluginmanager.register(GitHubOutputs(session), "evalkit-github")
    # Another plugin's `--device` has other values, and another default.
    config.option.device = device = config.getoption("device") or "auto"
    if device not in DEVICES:
        raise pytest.UsageError(f"--device is {', '.join(DEVICES[:-1])} or mps, not '{device}'.")
    with as_usage_errors():
        if config.getoption("track"):
            config.pluginmanager.register(Tracking(session), "evalkit-tracking")
        session.find_subjects()


@pytest.fixture(scope="session")
def system_under_test(request: pytest.FixtureRequest) -> SystemUnderTest:
    """What `--model` or `--run` names: its `name` and its `task`."""
    return request.config.stash[_SESSION].subjects[request.param]


@pytest.fixture(scope="session")
def split(system_under_test: SystemUnderTest) -> Split:
    """`test`, or `dev` with `--split dev` and of a stored run of it: what suites ask by."""
    return system_under_test.split


@pytest.fixture(scope="session")
def evaluation(system_under_test: SystemUnderTest, pytestconfig: pytest.Config) -> Evaluation:
    """The system's answers on the data, made once a session and read back from disk."""
    return pytestconfig.stash[_SESSION].run_cache.evaluate(system_under_test)


@pytest.fixture(scope="session")
def tfidf_baseline(
    evaluation: Evaluation, system_under_test: SystemUnderTest, pytestconfig: pytest.Config
) -> Evaluation:
    """The answers of the shelf's TF-IDF baseline on the same rows.

    A test that takes it is skipped, and its criterion does not apply, where the system under
    test is that baseline itself.
    """
    run_cache = pytestconfig.stash[_SESSION].run_cache
    return run_cache.evaluate_baseline(system_under_test, evaluation, "tfidf")


@pytest.fixture(scope="session")
def embeddings_baseline(
    evaluation: Evaluation, system_under_test: SystemUnderTest, pytestconfig: pytest.Config
) -> Evaluation:
    """The same of the shelf's baseline of static embeddings (`engine = "embeddings"`)."""
    run_cache = pytestconfig.stash[_SESSION].run_cache
    return run_cache.evaluate_baseline(system_under_test, evaluation, "embeddings")


@pytest.fixture(scope="session")
def ask(
    evaluation: Evaluation, system_under_test: SystemUnderTest, pytestconfig: pytest.Config
) -> Ask:
    """`ask("other-rows", examples)`: let the system answer other rows, as a part of its run.

    Args of the function:
        name: of the part: lower-case letters, digits and hyphens.
        examples: the rows.
        task: a variant of the system's task to ask for; the task itself by default.
        adapter: False asks the base without its adapter.
        batch_size: rows per batch, if it matters; that of the session by default.
        device: what it is computed on, if it matters; that of the session by default.
        apart: compute answers anew although equal requests were answered elsewhere.

    It returns an `Evaluation`, made once a session and read back from disk. Where a stored run
    is judged again, it is that run's; the test is inconclusive if the run has none.
    """
    run_cache = pytestconfig.stash[_SESSION].run_cache

    def asked(
        name: str,
        examples: Sequence[Example],
        *,
        task: Task | None = None,
        adapter: bool = True,
        batch_size: int | None = None,
        device: Device | None = None,
        apart: bool = False,
    ) -> Evaluation:
        variant = Variant(task, adapter, batch_size, device, name if apart else "")
        return run_cache.ask(system_under_test, name, examples, variant)

    return asked


@pytest.fixture(scope="session")
def answers(
    evaluation: Evaluation, system_under_test: SystemUnderTest, pytestconfig: pytest.Config
) -> Answers:
    """`answers("probes", requests)`: what the system writes when asked something of no task.

    `adapter=False` asks the base without its adapter. It returns request id -> Completion.
    """
    run_cache = pytestconfig.stash[_SESSION].run_cache

    def asked(
        name: str, requests: Sequence[Request], *, adapter: bool = True
    ) -> dict[str, Completion]:
        return run_cache.answers(system_under_test, name, requests, Variant(adapter=adapter))

    return asked


@pytest.fixture(scope="session")
def divergences(
    evaluation: Evaluation, system_under_test: SystemUnderTest, pytestconfig: pytest.Config
) -> Divergences:
    """`divergences("texts", {id: text})`: how far the adapter moved the base on plain texts.

    It returns for each text `id`, `kl` (mean over its tokens, in nats) and `tokens`.
    """
    run_cache = pytestconfig.stash[_SESSION].run_cache

    def measured(name: str, texts: Mapping[str, str]) -> list[dict[str, Any]]:
        return run_cache.divergences(system_under_test, name, texts)

    return measured


@pytest.fixture
def gate(
    request: pytest.FixtureRequest,
    system_under_test: SystemUnderTest,
    pytestconfig: pytest.Config,
    record_testsuite_property: Callable[[str, object], None],
) -> Gate:
    """`gate(name, measurement)`: hold a number against the criterion of that name.

    The test fails unless the verdict is a pass, or its criterion is not critical. `slice=` names
    the part of the data the number is of, where one criterion is held against several; `part=` is
    what people call it, where that is another name. The number is what a method of `evaluation`
    returns, a comparison of two such (`first.against(second)`), or an `Estimate` of your own.
    """
    session = pytestconfig.stash[_SESSION]
    session.record_for_suite = record_testsuite_property

    def hold(
        name: str,
        measured: Measurement | Estimate | PairedComparison,
        *,
        slice: str | int | None = None,
        part: str = "",
    ) -> None:
        from dataclasses import replace

        path, policies = session.criteria.of(request.path)
        try:
            verdict = judge(
                name,
                find_policy(policies, name, path),
                measured,
                slice_name="" if slice is None else str(slice),
                mode=pytestconfig.getoption("gate_mode"),
                regression=session.run_cache.against_baseline(measured),
            )
        except UserError as error:
            pytest.fail(legible(str(error)), pytrace=False)
        verdict = replace(verdict, asks=asks(request.function), part=part or verdict.part)
        session.add(system_under_test, request.node.nodeid, verdict)
        record_gate(request.node, verdict)
        if verdict.blocks:
            pytest.fail(legible(session.evidence(system_under_test, verdict)), pytrace=False)

    return hold


def asks(test: Callable[..., object]) -> str:
    """What a test asks: the first line of its docstring."""
    return (inspect.getdoc(test) or "").partition("\n")[0]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each suite test once for each system its task mark fits."""
    if not _asks_for_ours(metafunc):
        return
    session = metafunc.config.stash[_SESSION]
    session.assume_subject()
    family = metafunc.definition.get_closest_marker("task")
    fitting = [
        name
        for name, subject in session.subjects.items()
        if family is None or subject.task.family in family.args
    ]
    names = [SubjectName(n) for n in fitting or [MISFIT if session.subjects else NO_MODEL]]
    metafunc.parametrize("system_under_test", names, indirect=True, scope="session")
    tasks = [session.subjects[name].task for name in fitting]
    if (mark := metafunc.definition.get_closest_marker("each_value")) is not None:
        # A field that there is none of is refused once the test is collected.
        specs = [spec for task in tasks for spec in map(task.fields.get, mark.args) if spec]
        values = dict.fromkeys(label for spec in specs for label in spec.labels)
        metafunc.parametrize("value", list(values) or [MISFIT])
    if metafunc.definition.get_closest_marker("each_field") is not None:
        fields = dict.fromkeys(field for task in tasks for field in task.fields)
        metafunc.parametrize("field", list(fields) or [MISFIT])


def _asks_for_ours(metafunc: pytest.Metafunc) -> bool:
    """Whether a test's `system_under_test` is this plugin's: no own fixture, no own parameters."""
    fixtures = metafunc._arg2fixturedefs.get("system_under_test")
    if not fixtures or fixtures[-1].func.__module__ != __name__:
        return False
    marks = metafunc.definition.iter_markers("parametrize")
    given = [mark.args[0] if mark.args else mark.kwargs.get("argnames", "") for mark in marks]
    names = [n for g in given for n in (g.split(",") if isinstance(g, str) else g)]
    return "system_under_test" not in map(str.strip, names)
