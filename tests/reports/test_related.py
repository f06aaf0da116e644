"""The runs that a run is read beside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evalkit.evaluation import Evaluation, evaluate
from evalkit.formats import get_format
from evalkit.gates import Policy, conclude, judge
from evalkit.records import Completion, Example, FinishReason
from evalkit.reports.judged import JudgedRun, read_judged
from evalkit.reports.related import find_related
from evalkit.reports.verdicts import verdicts_to_json
from evalkit.run_record import RunRecord
from evalkit.runs import read_run, write_run, write_verdicts
from evalkit.tasks import load_task

TASK = load_task("notifications-3level")
POLICY = Policy(min_value=0.5, min_cases=1, why="x")


class Runs:
    """A folder of runs, each a minute after the one before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.minute = 0

    def add(
        self,
        system: str,
        *,
        priority: int = 1,
        trained: bool = True,
        weights: str = "w",
        rows: str = "r",
        label: int = 1,
        judged: bool = True,
    ) -> JudgedRun:
        self.minute += 1
        example = Example(
            "a", dict.fromkeys(TASK.inputs, "x"), {"folder": "Work", "priority": label}
        )
        answer = json.dumps({"folder": "Work", "priority": priority})
        record = {
            "format": "json",
            "weights_sha256": weights,
            "trained_sha256": {"a": "1"} if trained else {},
            "data": {"sha256": rows},
            "started": f"2026-01-02T03:{self.minute:02}:00+00:00",
            "cost": {},
        }
        fmt = get_format("json", TASK)
        completions = {"a": Completion(answer, FinishReason.STOP)}
        made: Evaluation = evaluate(
            system, TASK, fmt, [example], completions, record=RunRecord.model_validate(record)
        )
        folder = write_run(made, self.folder)
        # Runs of one second are told apart by a number; their order is that of their names.
        folder = folder.rename(folder.with_name(f"2026{self.minute:02}-{system}"))
        if judged:
            read = read_run(folder)
            verdict = judge("accuracy", POLICY, read.accuracy("priority"))
            release = conclude(system, "notifications", [verdict], {"accuracy": POLICY})
            write_verdicts(folder, verdicts_to_json(release, read, "c"))
        return read_judged(folder)

    def related(self, run: JudgedRun) -> list[str]:
        return [found.name for found in find_related(run, self.folder)]


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def test_the_base_and_the_run_before_are_found(runs: Runs) -> None:
    runs.add("mine", priority=2)
    before = runs.add("mine", priority=3)
    runs.add("bare", trained=False, priority=2)
    base = runs.add("bare", trained=False, priority=3)
    run = runs.add("mine")
    runs.add("mine", priority=2)
    assert runs.related(run) == [base.name, before.name]


def test_a_base_is_known_by_its_name_where_the_weights_are_not(runs: Runs) -> None:
    base = runs.add("mine-base", trained=False, weights="other", priority=2)
    runs.add("another", trained=False, weights="other", priority=2)
    assert runs.related(runs.add("mine")) == [base.name]


def test_other_rows_labels_predictions_and_unjudged_runs_are_passed_over(runs: Runs) -> None:
    runs.add("mine", priority=2, rows="other")
    runs.add("mine", priority=2, label=2)
    runs.add("mine", priority=1)
    runs.add("mine", priority=2, judged=False)
    runs.add("bare", priority=2, trained=False, judged=False)
    changed = runs.add("mine", priority=2)
    path = changed.folder / "record.json"
    path.write_text(path.read_text().replace('"system": "mine"', '"system": "x"'))
    (runs.folder / "20260000-broken").mkdir()
    (runs.folder / "20260000-broken" / "record.json").write_text("{")
    assert runs.related(runs.add("mine")) == []


def test_a_system_without_training_has_no_base(runs: Runs) -> None:
    runs.add("bare", trained=False, priority=2)
    other = runs.add("other", trained=False)
    assert runs.related(other) == []
