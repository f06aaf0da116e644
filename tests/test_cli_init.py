"""`evalkit init`, as its user meets it: the skeleton goes from nothing to a verdict."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import gate_imports  # noqa: F401
from command_line import evalkit
from evalkit.data import find_overlap, load_dataset
from evalkit.gates import load_policies
from evalkit.tasks import load_task

ROOT = Path(__file__).parents[1]
SKELETON = ROOT / "evalkit" / "skeleton"


def test_init_train_judge(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    # Outside the checkout, as at a user's: no shelf of this project.
    monkeypatch.delenv("EVALKIT_SHELF", raising=False)
    done = evalkit("init", "mine", cwd=pytester.path)
    assert done.returncode == 0, done.stderr
    mine = pytester.path / "mine"
    ignored = (mine / ".gitignore").read_text().splitlines()
    assert {"*.key", "runs/*"} <= set(ignored), "a private key must not be committed"
    trained = evalkit("train", "tfidf-demo", cwd=mine)
    assert trained.returncode == 0, trained.stderr
    monkeypatch.chdir(mine)
    judge = ("suites/", "--model", "tfidf-demo", "-p", "no:cacheprovider")
    judged = pytester.runpytest_inprocess(*judge)
    assert judged.ret == 0
    judged.stdout.fnmatch_lines(["*tfidf-demo may ship*"])
    # The same criteria stop a release that is not good enough.
    gates = mine / "suites" / "gates.toml"
    gates.write_text(gates.read_text().replace("min_value = 0.70", "min_value = 1.0"))
    judged = pytester.runpytest_inprocess(*judge)
    assert judged.ret == 1
    judged.stdout.fnmatch_lines(["*tfidf-demo may NOT ship*"])


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
