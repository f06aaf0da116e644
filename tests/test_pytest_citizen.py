"""evalkit beside other projects' tests: its options and fixtures are where it is used alone."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pytest

from evalkit.pytest_plugin import OPTIONS
from evalkit.pytest_plugin.plugin import pytest_addoption

FOREIGN = """
import pytest

def pytest_addoption(parser):
    for name in ("--model", "--device", "--data", "--run", "--limit", "--runs", "--gates"):
        parser.addoption(name, default="mine")

@pytest.fixture
def system_under_test(request):
    return request.config.getoption("--model")

@pytest.fixture
def gate():
    return "theirs"
"""
OWN_ARGUMENT = """
import pytest

@pytest.mark.parametrize("system_under_test", [{"a": 1}, ["b"]])
def test_parameters(system_under_test):
    assert len(system_under_test) == 1
"""
SYSTEM = 'task = "intents"\nformat = "labels"\nengine = "keyword"\n'


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with a test that takes nothing, and one system on its shelf."""
    folder = pytester.path / "adapters" / "keyword"
    folder.mkdir(parents=True)
    (folder / "system.toml").write_text(SYSTEM)
    (pytester.path / "suites").mkdir()
    (pytester.path / "suites" / "test_it.py").write_text(
        "def test_it(request):\n    assert request.config.getoption('precision') == 'auto'\n"
    )
    return pytester


def outcome(pytester: pytest.Pytester, *arguments: str) -> pytest.ExitCode:
    found = pytester.runpytest_inprocess(*arguments, "-p", "no:cacheprovider", "-q")
    return pytest.ExitCode(found.ret)


def test_a_project_with_options_and_fixtures_of_these_names(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(FOREIGN)
    pytester.makepyfile(
        test_own=OWN_ARGUMENT
        + "\ndef test_fixture(system_under_test, gate, request):\n"
        + "    assert (system_under_test, gate) == ('mine', 'theirs')\n"
        + "    assert request.config.getoption('--device') == 'mine'\n"
        + "    assert not request.config.pluginmanager.has_plugin('evalkit-session')\n"
    )
    found = pytester.runpytest_inprocess("--strict-config", "--strict-markers")
    found.assert_outcomes(passed=3)
    assert outcome(pytester, "--data", "x" * 300) is pytest.ExitCode.OK
    assert outcome(pytester, "--model", "other") is pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize("workers", [(), ("-n", "1")])
def test_an_own_system_under_test_beside_suites(
    project: pytest.Pytester, workers: tuple[str, ...]
) -> None:
    (project.path / "suites" / "gates.toml").touch()
    project.makepyfile(
        test_own=OWN_ARGUMENT,
        test_fixture="import pytest\n"
        "@pytest.fixture(params=[3])\n"
        "def system_under_test(request):\n    return request.param\n"
        "def test_fixture(system_under_test):\n    assert system_under_test == 3\n",
    )
    found = project.runpytest_inprocess("test_own.py", "test_fixture.py", *workers)
    found.assert_outcomes(passed=3)


@pytest.mark.parametrize("place", ["gates.toml", "suites/gates.toml"])
@pytest.mark.parametrize("asked", ["suites", "suites/test_it.py", "suites/test_it.py::test_it", ""])
@pytest.mark.parametrize("ini", ["", "[pytest]\n"])
def test_criteria_say_that_a_project_uses_it(
    project: pytest.Pytester, place: str, asked: str, ini: str
) -> None:
    if ini:
        project.makefile(".ini", pytest=ini)
    (project.path / place).touch()
    assert outcome(project, *([asked] if asked else [])) is pytest.ExitCode.OK


def test_so_they_do_in_the_folder_that_pytest_is_started_in(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.makefile(".ini", pytest="[pytest]\n")
    (project.path / "suites" / "gates.toml").touch()
    monkeypatch.chdir(project.path / "suites")
    assert outcome(project) is pytest.ExitCode.OK


@pytest.mark.parametrize(
    "said",
    [
        ("-p", "evalkit.pytest_plugin"),
        ("-p", "evalkit"),
        ("-o", "evalkit=true"),
        ("--gates", "g.toml"),
    ],
)
def test_so_does_whoever_names_it(project: pytest.Pytester, said: tuple[str, str]) -> None:
    (project.path / "g.toml").touch()
    assert outcome(project, "suites") is pytest.ExitCode.TESTS_FAILED
    assert outcome(project, "suites", *said) is pytest.ExitCode.OK


def test_a_project_can_say_no(project: pytest.Pytester) -> None:
    project.makefile(".ini", pytest="[pytest]\nevalkit = false\n")
    project.makeconftest(FOREIGN)
    (project.path / "gates.toml").touch()
    project.makepyfile(test_own="def test_own(system_under_test): pass\n")
    assert outcome(project, "test_own.py") is pytest.ExitCode.OK


def test_criteria_above_a_project_are_none_of_its_own(project: pytest.Pytester) -> None:
    (project.path / "gates.toml").touch()
    inner = project.path / "inner"
    inner.mkdir()
    (inner / "pytest.ini").write_text("[pytest]\n")
    (inner / "conftest.py").write_text(FOREIGN)
    (inner / "test_own.py").write_text("def test_own(system_under_test): pass\n")
    assert outcome(project, "inner") is pytest.ExitCode.OK


def test_the_door_knows_every_option() -> None:
    names: list[str] = []

    class Parser:
        def parse_known_args(self, _: object) -> argparse.Namespace:
            return argparse.Namespace()

        def getgroup(self, *_: str) -> Parser:
            return self

        def addoption(self, name: str, **_: object) -> None:
            names.append(name)

    pytest_addoption(Parser())  # type: ignore[arg-type]
    assert tuple(names) == OPTIONS


@pytest.mark.parametrize(
    ("place", "option", "says"),
    [
        ("", "--model", "no gates.toml"),
        ("", "--modle", ""),  # it may be anybody's
        ("gates.toml", "--modle", "Did you mean '--model'?"),
        ("gates.toml", "--verbsoe=2", ""),
    ],
)
def test_an_option_that_is_not_there(
    project: pytest.Pytester, place: str, option: str, says: str
) -> None:
    if place:
        (project.path / place).touch()
    found = project.runpytest_inprocess("suites", option, "x", "-p", "no:cacheprovider")
    assert found.ret == pytest.ExitCode.USAGE_ERROR
    said = found.stderr.str()
    assert f"unrecognized arguments: {option}" in said
    assert ("  evalkit: " in said, says in said) == (bool(says), True)


def test_help_shows_the_options_where_they_are(project: pytest.Pytester) -> None:
    assert "--gate-mode" not in str(project.runpytest_inprocess("--help").stdout)
    (project.path / "gates.toml").touch()
    assert "--gate-mode" in str(project.runpytest_inprocess("--help").stdout)


# Beside other plugins, which `make test` puts into a folder of their own: pytest-randomly would
# shuffle these tests, too.

NEIGHBOURS = Path(sys.prefix, "neighbours")
JUDGED = """
import pytest

@pytest.mark.parametrize("slice", "edcba")
def test_one(evaluation, gate, slice):
    gate("one", evaluation.accuracy("intents"), slice=slice)
"""


@pytest.fixture
def neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Playwright's, randomly, rerunfailures and timeout, as if they were installed."""
    if not NEIGHBOURS.is_dir():
        pytest.skip(f"`make test` fills {NEIGHBOURS}")
    monkeypatch.setenv("PYTHONPATH", str(NEIGHBOURS))


@pytest.mark.usefixtures("neighbours")
def test_a_foreign_project_beside_other_plugins(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(FOREIGN.replace('"--device", ', ""))
    pytester.makepyfile(test_own=OWN_ARGUMENT)
    found = pytester.runpytest_subprocess(
        *("--device", "iPhone 13", "--model", "m", "--reruns", "1", "--timeout", "60", "-n", "1")
    )
    found.assert_outcomes(passed=2)


@pytest.mark.usefixtures("neighbours")
def test_a_gate_beside_other_plugins(project: pytest.Pytester) -> None:
    """Its numbers are in the order of the suite, and there once however often it is run again."""
    (project.path / "suites" / "gates.toml").write_text(
        "[one]\nmin_value = 1.0\nmin_cases = 1\nwhy = 'x'\n"
    )
    (project.path / "suites" / "test_it.py").write_text(JUDGED)
    rows = [{"id": text, "prompt": text, "output": ["payment"]} for text in ("refund", "hello")]
    (project.path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = project.runpytest_subprocess(
        *("suites", "--model", "keyword", "--data", "rows.jsonl", "--device", "cpu"),
        *("--reruns", "1", "--timeout", "60", "--randomly-seed", "1"),
    )
    assert found.ret == pytest.ExitCode.TESTS_FAILED, str(found.stdout)
    (verdicts,) = (project.path / "runs").glob("2*/verdicts.json")
    said = json.loads(verdicts.read_text())["gates"]
    assert [gate["slice"] for gate in said] == list("edcba")
