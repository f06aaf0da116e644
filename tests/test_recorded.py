"""Runs that an earlier evalkit wrote: what must not change.

`recorded/` holds three runs on 24 rows, as evalkit wrote them before its runs were read by models:
a TF-IDF baseline that ships, and a tiny untrained model, held to the task's answers (`tiny`) and
free (`wild`). Each has been asked other rows besides, and `wild` something outside of its task.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import gate_imports  # noqa: F401
from evalkit.cli import main
from evalkit.reports.judged import read_judged
from evalkit.runs import read_for_judging, read_part, read_record, read_verdicts
from evalkit.runs.disk import hash_content

RECORDED = Path(__file__).parent / "recorded"
SYSTEMS = ["tfidf", "tiny", "wild"]
SUITE = """
import pytest
from evalkit.records import Prompt, Request, Span

@pytest.mark.each_field
def test_accuracy(evaluation, gate, field):
    gate("accuracy", evaluation.accuracy(field), slice=field)

@pytest.mark.each_value("priority")
def test_recall(evaluation, gate, value):
    gate("recall", evaluation.recall("priority", value), slice=value)

def test_unreadable(evaluation, gate):
    gate("unreadable", evaluation.parse_failure_rate())

def test_contamination(evaluation, gate):
    gate("contamination", evaluation.contamination_rate())

@pytest.mark.needs("live")
def test_other_rows(evaluation, ask, gate):
    rows = [row.example for row in evaluation.rows[:6]]
    gate("other_rows", ask("first-six", rows).accuracy("folder"))

@pytest.mark.needs("language_model", "free_decoding")
def test_free_answers(answers, evaluation):
    asked = [
        Request(name, Prompt("", (Span(text, trusted=True),)), {}, "one short answer")
        for name, text in (("capital", "Name the capital of France."), ("sum", "What is 2 + 2?"))
    ]
    assert list(answers("questions", asked)) == ["capital", "sum"]
"""
BOUNDS = {
    "accuracy": "min_value = 0.5\nmin_cases = 10",
    "recall": "min_value = 0.2\nmin_cases = 4",
    "unreadable": "max_value = 0.01\nmin_cases = 10",
    "contamination": "max_value = 0.01\nmin_cases = 10",
    "other_rows": 'min_value = 0.5\nmin_cases = 5\nneeds = ["live"]',
}


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the recorded runs, and the suite that judged them."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(RECORDED, tmp_path / "runs")
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "test_recorded.py").write_text(SUITE)
    criteria = "".join(f'[{name}]\n{bound}\nwhy = "x"\n' for name, bound in BOUNDS.items())
    (tmp_path / "suites" / "gates.toml").write_text(criteria)
    return tmp_path / "runs"


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    def run(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["evalkit", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code, capsys.readouterr().err
        return capsys.readouterr().out

    return run


def said_then(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RECORDED / name / "verdicts.json").read_text())
    return found


def same(now: Any, then: Any) -> None:
    """Every number and word of then is there now; what has come since may stand beside it."""
    if isinstance(then, dict):
        for key, value in then.items():
            same(now[key], value)
    elif isinstance(then, float):
        assert math.isclose(now, then, rel_tol=1e-9, abs_tol=1e-12)
    else:
        assert now == then


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_recorded_run_opens_and_measures_the_same(name: str) -> None:
    evaluation = read_for_judging(RECORDED / name)
    assert (evaluation.system, len(evaluation.rows)) == (name, 24)
    then = said_then(name)["measured"]
    now = evaluation.overview()
    for metric in ("folder accuracy", "priority accuracy", "all fields right", "parse failures"):
        if metric in then:
            estimate = now[metric].estimate
            same(vars_of(estimate), {k: v for k, v in then[metric].items() if k != "on_all_rows"})


def vars_of(estimate: Any) -> dict[str, Any]:
    return {name: getattr(estimate, name) for name in estimate.__dataclass_fields__}


@pytest.mark.parametrize("folder", sorted(p.parent for p in RECORDED.rglob("record.json")))
def test_a_recorded_record_reads_and_writes_every_key(folder: Path) -> None:
    then = json.loads((folder / "record.json").read_text())
    same(json.loads(json.dumps(read_record(folder).to_json())), then)


def test_a_recorded_part_outside_of_the_task_opens() -> None:
    record, rows = read_part(RECORDED / "wild", "questions")
    assert (record.task, record.rows, [row["id"] for row in rows]) == (None, 2, ["capital", "sum"])


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_recorded_run_is_judged_again_with_the_same_numbers(
    runs: Path, name: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(runs.parent)
    pytester.runpytest_inprocess("suites", "--run", name, "-p", "no:cacheprovider")
    now = {(g["gate"], g["slice"]): g for g in (read_verdicts(runs / name) or {})["gates"]}
    then = [gate for gate in said_then(name)["gates"] if gate["gate"] in BOUNDS]
    assert len(then) == len(now)
    for gate in then:
        found = now[gate["gate"], gate["slice"]]
        for key in ("estimate", "outcome", "counted_against"):
            same(found[key], gate[key])


@pytest.mark.parametrize(
    ("part", "why"),
    [("first-six", "other inputs or labels"), ("questions", "something else than its record")],
)
def test_a_part_that_lost_a_row_spoils_its_run_though_every_hash_was_made_anew(
    runs: Path, part: str, why: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = runs / "wild" / "asked" / part
    kept = b"".join((folder / "predictions.jsonl").read_bytes().splitlines(keepends=True)[:-1])
    (folder / "predictions.jsonl").write_bytes(kept)
    record = json.loads((folder / "record.json").read_text())
    record |= {"rows": record["rows"] - 1, "predictions_sha256": sha256(kept).hexdigest()}
    record["record_sha256"] = hash_content(record, "record_sha256")
    (folder / "record.json").write_text(json.dumps(record))
    monkeypatch.chdir(runs.parent)
    pytester.runpytest_inprocess("suites", "--run", "wild", "-p", "no:cacheprovider")
    (fault,) = (read_verdicts(runs / "wild") or {})["faults"]
    assert why in fault


def test_verdicts_without_a_hash_are_shown_as_none(runs: Path, cli: Callable[..., Any]) -> None:
    assert "has no hash" in read_judged(runs / "tfidf").why_none
    shown = json.loads(cli("show", "tfidf", "--json"))
    assert shown["may_ship"] is None
    same(shown["measured"]["folder accuracy"]["value"], 19 / 24)


def test_recorded_runs_are_held_against_each_other(runs: Path, cli: Callable[..., Any]) -> None:
    text = cli("compare", "tfidf", "tiny")
    assert "79.2%" in text
    assert "29.2%" in text
