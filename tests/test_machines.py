"""Machines as they are: a disk that is full or may not be written, a user without a home."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import gate_imports  # noqa: F401
from command_line import evalkit
from evalkit import cli
from evalkit.environment import expand
from evalkit.errors import UserError, fault_of_the_machine
from evalkit.systems import load_system
from evalkit.weights.cache import cache_root
from judged_runs import write_judged_run

pwd = pytest.importorskip("pwd")
ROWS = Path(__file__).parents[1] / "fixtures" / "intents" / "test.jsonl"
SYSTEM = 'task = "intents"\nformat = "labels"\nengine = "keyword"\n'


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without HOME and without a passwd entry."""

    def nobody(*who: object) -> None:
        raise KeyError(who)

    for name in ("HOME", "EVALKIT_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr(pwd, "getpwnam", nobody)


@pytest.mark.usefixtures("homeless")
def test_without_a_home_the_variables_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="Set HOME, or write the whole path"):
        cache_root()
    with pytest.raises(UserError, match="~/adapters/x"):
        load_system("~/adapters/x")
    monkeypatch.setenv("EVALKIT_CACHE", "/somewhere")
    assert cache_root() == Path("/somewhere")
    assert expand("a/b") == Path("a/b")


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC, errno.ENAMETOOLONG])
def test_what_the_user_can_mend_is_one_message(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise OSError(number, os.strerror(number), "runs/\x1b[2J")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    said = capsys.readouterr().err
    assert stopped.value.code == 4
    assert said.startswith(f"error: runs/\\x1b[2J: {os.strerror(number)}. ")
    assert said.count("\n") == 1


def test_other_errors_are_faults_of_the_program() -> None:
    assert fault_of_the_machine(OSError(errno.EBADF, "bad")) is None
    assert fault_of_the_machine(ValueError("x")) is None
    missing = FileNotFoundError(errno.ENOENT, "none", "/etc/a/b")
    assert fault_of_the_machine(missing, ["/etc/a/bc", "a/b", ""]) is None


@pytest.mark.parametrize("named", ["/etc/a/b", "--out=/etc/a/b/c/d", "/etc/../etc/a/b/"])
def test_a_path_on_the_command_line_is_the_users(named: str) -> None:
    missing = FileNotFoundError(errno.ENOENT, "none", "/etc/a/b")
    said = fault_of_the_machine(missing, ["--runs", named])
    assert said is not None
    assert said.startswith("/etc/a/b: none. Name another place")


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc")
@pytest.mark.parametrize(
    "arguments",
    [
        ("schema", "task", "--out", "/proc/x.json"),
        ("init", "/proc/x"),
        ("attest", "--new-key", "--key", "/proc/x"),
        ("errors", "RUN", "--csv", "/proc/x.csv"),
        ("report", "RUN", "--out", "/proc/x"),
        ("baseline", "set", "RUN", "--runs", "/proc/x"),
        ("data", "clean", "ROWS", "--out", "/proc/x.jsonl"),
    ],
)
def test_no_command_breaks_down_where_it_cannot_write(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    names = {"RUN": str(write_judged_run(tmp_path / "runs")), "ROWS": str(ROWS)}
    done = evalkit(*(names.get(word, word) for word in arguments), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("error: ")
    assert "/proc/x" in done.stderr
    assert "No such file or directory." in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("runs", ["x" * 300, "/sys/evalkit", "/proc/evalkit"])
def test_a_gate_that_cannot_write_judges_nothing(runs: str, pytester: pytest.Pytester) -> None:
    if runs.startswith("/") and sys.platform != "linux":
        pytest.skip("no /sys, no /proc")
    folder = pytester.path / "adapters" / "mine"
    folder.mkdir(parents=True)
    (folder / "system.toml").write_text(SYSTEM)
    (pytester.path / "rows.jsonl").write_text(
        '{"id": "a", "prompt": "I want my money back", "output": ["payment"]}\n'
    )
    (pytester.path / "gates.toml").write_text('[one]\nmin_value = 0.5\nwhy = "half"\n')
    pytester.makepyfile(test_one="def test_one(evaluation, gate): gate('one', None)")
    found = pytester.runpytest_inprocess(
        "--model", "mine", "--data", "rows.jsonl", "--runs", runs, "-p", "no:cacheprovider"
    )
    said = str(found.stdout) + str(found.stderr)
    assert found.ret == 4, said
    assert "Traceback" not in said
    assert "--runs DIR" in said or "shorter name" in said or "Name another place" in said


def test_a_byte_order_mark_in_toml(tmp_path: Path) -> None:
    (tmp_path / "system.toml").write_text(SYSTEM, encoding="utf-8-sig")
    assert load_system(tmp_path).config.engine == "keyword"


GATE = [sys.executable, "-m", "pytest", "--model", "mine", "--data", "rows.jsonl"]
GATE += ["-p", "no:hypothesispytest", "-p", "no:anyio", "-p", "no:xdist"]  # they take as long again
SOCKS = dict.fromkeys(("ALL_PROXY", "HTTPS_PROXY"), "socks5://127.0.0.1:9")
NOBODY = 54_321
"""A number that no user has."""
PROBE = "import os, sys, evalkit, pytest; os.listdir(sys.argv[1]); print(os.getuid())"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A system, a row, a criterion and a suite."""
    folder = tmp_path / "project"
    (folder / "adapters" / "mine").mkdir(parents=True)
    (folder / "adapters" / "mine" / "system.toml").write_text(SYSTEM)
    (folder / "rows.jsonl").write_text(
        '{"id": "\\u98de", "prompt": "money back \\u2028 \\ud83c\\udf89", "output": ["payment"]}\n'
    )
    (folder / "gates.toml").write_text(
        '[one]\nmin_value = 0.5\nmin_cases = 1\nwhy = "飞 – ≥"\n', encoding="utf-8"
    )
    (folder / "test_one.py").write_text(
        "def test_one(evaluation, gate): gate('one', evaluation.accuracy('intents'))\n"
    )
    return folder


def check_verdict(said: subprocess.CompletedProcess[bytes], encoding: str = "utf-8") -> None:
    """It is there, with nothing that the encoding has no bytes for."""
    text = (said.stdout + said.stderr).decode(encoding)
    assert said.returncode in (0, 1), text
    assert re.search(r"mine may\s+(NOT\s+)?ship", text), text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("environment", "encoding"),
    [
        ({"PYTHONIOENCODING": "cp1252", **SOCKS}, "cp1252"),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "COLUMNS": "40"}, "ascii"),
    ],
    ids=["cp1252 behind a proxy", "ascii and narrow"],
)
def test_a_gate_comes_to_its_verdict(
    environment: dict[str, str], encoding: str, project: Path
) -> None:
    given = {**os.environ, **environment}
    check_verdict(
        subprocess.run(GATE, cwd=project, env=given, capture_output=True, check=False), encoding
    )


@pytest.fixture(scope="module")
def nobody(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What makes a command one of a user without a passwd entry, who may read what we may."""
    change = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    reads_all = ["--inh-caps=-all,+dac_read_search", "--ambient-caps=+dac_read_search"]
    for way in (change, change + reads_all, ["unshare", "--user", f"--map-user={NOBODY}"]):
        probe = [*way, sys.executable, "-c", PROBE, str(tmp_path_factory.getbasetemp())]
        with suppress(OSError):
            said = subprocess.run(probe, capture_output=True, text=True, check=False)
            if said.stdout.strip() == str(NOBODY):
                return way
    pytest.skip("neither setpriv nor unshare may make another user of us")


@pytest.fixture
def closed(project: Path) -> Iterator[Path]:
    """A project that nobody may write, beside a folder that everybody may."""
    scratch = project.parent / "scratch"
    scratch.mkdir(mode=0o777)
    scratch.chmod(0o777)
    project.parent.chmod(0o755)
    folders = [path for path in (project, *project.rglob("*")) if path.is_dir()]
    for folder in folders:
        folder.chmod(0o555)
    yield project
    for folder in folders:
        folder.chmod(0o755)


def test_neither_a_home_nor_a_project_to_write_to(nobody: list[str], closed: Path) -> None:
    runs = closed.parent / "scratch" / "runs"
    given = {"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"}
    elsewhere = ["--runs", str(runs), "--basetemp", str(runs.with_name("temporary"))]
    check_verdict(
        subprocess.run(
            [*nobody, *GATE, *elsewhere], cwd=closed, env=given, capture_output=True, check=False
        )
    )
    assert list(runs.glob("2*/verdicts.json"))
    assert sorted(path.name for path in closed.iterdir()) == [
        *("adapters", "gates.toml", "rows.jsonl", "test_one.py")
    ]
