"""`evalkit init`, as its user meets it: the skeleton goes from nothing to a verdict."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from evalkit.data import find_overlap, load_dataset
from evalkit.gates import load_policies
from evalkit.tasks import load_task

ROOT = Path(__file__).parents[1]
SKELETON = ROOT / "evalkit" / "skeleton"


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    # Outside the checkout, as at a user's: no shelf and no settings of this project.
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "EVALKIT_SHELF"))}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def evalkit(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    code = "from evalkit.cli import main; main()"
    return run(sys.executable, "-c", code, *arguments, cwd=cwd)


def test_init_train_judge(tmp_path: Path) -> None:
    done = evalkit("init", "mine", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    mine = tmp_path / "mine"
    trained = evalkit("train", "tfidf-demo", cwd=mine)
    assert trained.returncode == 0, trained.stderr
    judged = run(sys.executable, "-m", "pytest", "suites/", "--model", "tfidf-demo", cwd=mine)
    assert judged.returncode == 0, judged.stdout + judged.stderr
    assert "tfidf-demo may ship" in judged.stdout
    # The same criteria stop a release that is not good enough.
    gates = mine / "suites" / "gates.toml"
    gates.write_text(gates.read_text().replace("min_value = 0.70", "min_value = 1.0"))
    judged = run(sys.executable, "-m", "pytest", "suites/", "--model", "tfidf-demo", cwd=mine)
    assert judged.returncode == 1, judged.stdout + judged.stderr
    assert "tfidf-demo may NOT ship" in judged.stdout


def test_a_folder_in_use_is_refused_and_an_empty_one_is_not(tmp_path: Path) -> None:
    used, file, empty = (tmp_path / name for name in ("used", "file", "empty"))
    used.mkdir()
    (used / "notes.txt").write_text("mine")
    file.write_text("mine")
    empty.mkdir()
    for name, message in (("used", "is not empty"), ("file", "is a file")):
        done = evalkit("init", name, cwd=tmp_path)
        assert done.returncode == 4
        assert message in done.stderr
        assert "Traceback" not in done.stderr
    assert [path.name for path in used.iterdir()] == ["notes.txt"]
    assert evalkit("init", ".", cwd=empty).returncode == 0
    assert (empty / "task.toml").is_file()


def test_the_skeleton_fits_together() -> None:
    task = load_task(str(SKELETON / "task.toml"))
    train = load_dataset(str(SKELETON / "data" / "train.jsonl"), task).examples
    test = load_dataset(str(SKELETON / "fixtures" / task.family / "test.jsonl"), task).examples
    assert len(test) >= 10
    assert not any(find_overlap(train, test).matches)
    asked = {
        name
        for suite in (SKELETON / "suites").glob("test_*.py")
        for name in re.findall(r'gate\(\s*"(\w+)"', suite.read_text(encoding="utf-8"))
    }
    assert asked == set(load_policies(SKELETON / "suites" / "gates.toml"))


@pytest.mark.parametrize("page", [SKELETON / "README.md", ROOT / "docs" / "your-own-task.md"])
def test_the_pages_print_the_commands(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for command in ("fetch demo", "train tfidf-demo", "train demo"):
        assert f"evalkit {command}" in text
    assert "pytest suites/ --model demo" in text
