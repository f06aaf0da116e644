"""Verdicts on disk read back as the release they were."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from evalkit.data import Kind, Match
from evalkit.errors import EvidenceError
from evalkit.evaluation import Evaluation, compare, evaluate
from evalkit.formats import get_format
from evalkit.gates import Policy, Release, conclude, judge
from evalkit.records import Completion, Example, FinishReason
from evalkit.reports.judged import read_judged
from evalkit.reports.render.terminal import line_of, to_terminal, to_text
from evalkit.reports.sections.gates import gate_section
from evalkit.reports.sections.verdict import closing
from evalkit.reports.verdicts import release_from_json, verdicts_to_json
from evalkit.run_record import RunRecord
from evalkit.runs import read_run, write_run, write_verdicts
from evalkit.tasks import load_task

TASK = load_task("notifications-3level")
POLICIES = {
    "accuracy": Policy(min_value=0.8, min_cases=5, why="x"),
    "recall": Policy(min_value=0.5, min_cases=10, why="y"),
    "beats": Policy(min_difference=0.0, min_cases=5, why="z"),
    "other": Policy(max_value=0.1, why="w", needs=("adapter",)),
    "late": Policy(max_value=0.1, why="w"),
}
RECORD = {"format": "json", "cost": {}, "started": "2026-01-02T03:04:05+00:00", "contamination": {}}


def evaluation(right: int, name: str = "mine") -> Evaluation:
    examples = [
        Example(str(i), dict.fromkeys(TASK.inputs, f"text {i}"), {"folder": "Work", "priority": 2})
        for i in range(20)
    ]
    texts = [json.dumps({"folder": "Work", "priority": 2 if i < right else 1}) for i in range(20)]
    completions = {str(i): Completion(text, FinishReason.STOP) for i, text in enumerate(texts)}
    fmt = get_format("json", TASK)
    seen = [Match(Kind.EXACT, 1.0), *[None] * 19]
    return evaluate(
        name, TASK, fmt, examples, completions, record=RunRecord.model_validate(RECORD), seen=seen
    )


def release(mine: Evaluation) -> Release:
    other = evaluation(3, "other")
    recall = mine.recall("priority", 2)
    verdicts = [
        judge(
            "accuracy",
            POLICIES["accuracy"],
            mine.accuracy("priority"),
            regression=compare(mine, evaluation(20, "before"), mine.headline_metrics()[2]),
        ),
        judge("recall", POLICIES["recall"], recall, slice_name="2", mode="strict"),
        judge(
            "beats",
            POLICIES["beats"],
            mine.accuracy("priority").against(other.accuracy("priority")),
        ),
    ]
    return conclude(
        "mine",
        "notifications",
        verdicts,
        POLICIES,
        not_applicable={"other": "it is none"},
        faults=["a fault"],
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_run(evaluation(12), tmp_path)


def test_a_release_comes_back_as_it_was_written(folder: Path) -> None:
    mine = read_run(folder)
    made = release(mine)
    assert made.regressions
    assert made.verdicts[0].wrong
    content = verdicts_to_json(made, mine, "c")
    back = release_from_json(json.loads(json.dumps(content)), mine)
    assert verdicts_to_json(back, mine, "c") == content
    assert back.verdicts[0].wrong == made.verdicts[0].wrong
    assert [v.shown for v in back.verdicts] == ["accuracy", "recall[medium]", "beats"]
    assert line_of(closing(back, TASK.fields)) == line_of(closing(made, TASK.fields))
    tables = (to_terminal(gate_section(release)) for release in (back, made))
    one, other = (to_text(table, 100, colour=True) for table in tables)
    assert one == other


def test_rows_of_another_evaluation_are_not_taken_for_the_runs(folder: Path) -> None:
    mine = read_run(folder)
    made = release(mine)
    first = made.verdicts[0]
    elsewhere = replace(first.wrong[0], completion=Completion("else", FinishReason.STOP))
    made = replace(made, verdicts=(replace(first, wrong=(elsewhere,)),))
    content = verdicts_to_json(made, mine, "c")
    assert content["gates"][0]["counted_against"] == [elsewhere.example.id]
    assert release_from_json(content, mine).verdicts[0].wrong == ()


def test_a_run_is_read_with_its_verdicts(folder: Path) -> None:
    mine = read_run(folder)
    assert read_judged(folder).verdict == "no verdict: it was not judged"
    write_verdicts(folder, verdicts_to_json(release(mine), mine, "c"))
    found = read_judged(folder)
    assert (found.verdict, found.name, found.started.year) == ("may NOT ship", folder.name, 2026)
    assert "other criteria" in read_judged(folder, "d").verdict
    content = verdicts_to_json(release(mine), mine, "c") | {"schema": 2}
    write_verdicts(folder, content)
    assert "schema 2" in read_judged(folder).verdict
    with pytest.raises(EvidenceError, match="evalkit gate"):
        release_from_json(content, mine)
