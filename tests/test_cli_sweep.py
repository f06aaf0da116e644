"""`evalkit sweep`, with trainings and verdicts that are made up here."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evalkit.cli import app
from evalkit.cli.sweep import Commands
from evalkit.systems import System
from judged_runs import write_judged_run

TOML = """\
task = "notifications-3level"
format = "json"
engine = "tfidf"

[recipe]
data = "rows.jsonl"
"""
Sweep = Callable[..., dict[str, Any]]


@pytest.fixture
def tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was trained, in order. More of c is better; c = 7 diverges."""
    monkeypatch.setenv("EVALKIT_SHELF", str(tmp_path / "adapters"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "adapters" / "mine").mkdir(parents=True)
    (tmp_path / "adapters" / "mine" / "system.toml").write_text(TOML, encoding="utf-8")
    (tmp_path / "adapters" / "mine" / "rows.jsonl").write_text("{}\n", encoding="utf-8")
    seen: list[str] = []

    def train(self: Any, system: System, changes: Sequence[str], folder: Path) -> int:
        seen.append(changes[0])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "c").write_text(changes[0].partition("=")[2])
        return 4 if changes[0] == "c=7" else 0

    def judge(self: Any, folder: Path) -> int:
        right = min(20, 4 + 4 * int((folder / "c").read_text()))
        data = {"source": "dev.jsonl", "sha256": "d" * 64, "rows": 20, "split": "dev"}
        write_judged_run(folder / "runs", right=right, data=data)
        return 1

    monkeypatch.setattr(Commands, "train", train)
    monkeypatch.setattr(Commands, "judge", judge)
    return seen


def sweep(*options: str, code: int = 0) -> Any:
    done = CliRunner().invoke(app, ["sweep", "mine", *options, "--json"])
    if code:
        return done.exception
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_the_best_on_dev_rows_comes_first_and_can_be_pasted(tried: list[str]) -> None:
    found = sweep("--set", "c=1,3,2,7")
    assert tried == ["c=1", "c=3", "c=2", "c=7"]
    assert [trial["changes"]["c"] for trial in found["trials"]] == [3, 2, 1, 7]
    assert found["best"]["changes"] == {"c": 3}
    assert found["trials"][-1]["score"] is None
    assert json.loads(Path("runs/sweeps/mine/sweep.json").read_text()) == found
    said = CliRunner().invoke(app, ["sweep", "mine", "--set", "c=1,3,2"]).stdout
    keys = said[said.index("[recipe]") :]
    assert tomllib.loads(keys) == {"recipe": {"c": 3}}


def test_what_was_tried_is_not_tried_again_unless_something_changed(tried: list[str]) -> None:
    first = sweep("--set", "c=1,2")
    assert sweep("--set", "c=1,2,3")["trials"][1:] == first["trials"]
    assert tried == ["c=1", "c=2", "c=3"]
    sweep("--set", "c=7", code=4)
    sweep("--set", "c=7", code=4)
    assert tried[3:] == ["c=7", "c=7"], "what broke off is tried again"
    Path("adapters/mine/rows.jsonl").write_text("{}\n{}\n", encoding="utf-8")
    sweep("--set", "c=1")
    assert tried[5:] == ["c=1"], "the rows are others"


def test_a_search_that_was_interrupted_goes_on(
    tried: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna", reason="trials are drawn with the extra `sweep`")
    whole = sweep("--set", "c=1..6", "--trials", "5")
    drawn = list(tried)
    assert sweep("--set", "c=1..6", "--trials", "5") == whole
    assert tried == drawn
    assert sweep("--set", "c=1..6", "--trials", "8")["trials"]
    assert tried[: len(drawn)] == drawn


def test_no_choice_on_test_rows(tried: list[str]) -> None:
    assert "has trained on them" in str(sweep("--set", "c=1", "--split", "test", code=4))
    assert not tried


def test_every_recipe_is_checked_before_one_is_trained(tried: list[str]) -> None:
    assert "did you mean" in str(sweep("--set", "cc=1", code=4)).lower()
    assert "c:" in str(sweep("--set", "c=1,-1", code=4))
    assert not tried


def test_verdicts_on_test_rows_are_no_score(
    tried: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge(self: Any, folder: Path) -> int:
        write_judged_run(folder / "runs")
        return 1

    monkeypatch.setattr(Commands, "judge", judge)
    assert "No trial came to an end" in str(sweep("--set", "c=1", code=4))
