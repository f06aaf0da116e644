"""Every gate of the suites leads to the rows behind it.

The suites run on a system that answers wrongly in every way there is; what `evalkit` measures is
held against bounds that nothing meets.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

# pytester unloads what a run imports: numpy and torch cannot be loaded twice.
import pytest
import scipy.special  # noqa: F401

from evalkit.gates import load_policies
from evalkit.pytest_plugin.session import GateSession

ROOT = Path(__file__).parents[2]
SCRIPTED = """
import json
from pathlib import Path

import pytest

from evalkit.data import Kind, Match, load_dataset
from evalkit.evaluation import evaluate
from evalkit.formats import get_format
from evalkit.gates import Policy, judge
from evalkit.records import Completion, FinishReason
from evalkit.reports.sections.cases import SHOWN, case_table, to_rows
from evalkit.reports.view import Link, Page
from evalkit.run_record import RunRecord

FOUND = []


def other(field, right, n):
    members = set(right) if isinstance(right, tuple) else {right}
    others = [v for v in field.labels if v not in members and v not in field.exclusive]
    value = others[n % len(others)]
    return (value,) if isinstance(right, tuple) else value


def said(task, fmt, n, example, wrong):
    if not wrong:
        return fmt.render(task, example.labels, example.inputs)
    if n % 7 == 0:
        return "{"
    if n % 7 == 1:
        return '{"folder": "Nowhere", "priority": 1}' if "folder" in task.fields else "nowhere"
    labels = {name: other(f, example.labels[name], n) for name, f in task.fields.items()}
    return fmt.render(task, labels, example.inputs)


def answered(task, examples, wrong, **record):
    name = "json" if "folder" in task.fields else "labels"
    fmt = get_format(name, task)
    completions = {
        e.id: Completion(
            said(task, fmt, n, e, wrong(n)), FinishReason.STOP, margin=5.0,
            confidences={name: 0.5 + (n * 37 % 50) / 100 for name in task.fields},
            saw_whole_prompt=n % 9 > 0,
        )
        for n, e in enumerate(examples)
    }
    seen = [Match(Kind.EXACT, 1.0) if n % 20 == 19 else None for n in range(len(examples))]
    known = {"status": "checked", "trained_rows": 9, "seen": {"exact": 6}}
    found = RunRecord.model_validate({"format": name, "contamination": known, **record})
    return evaluate("scripted", task, fmt, examples, completions, record=found, seen=seen)


@pytest.fixture(scope="session")
def evaluation(system_under_test):
    task = system_under_test.task
    rows = load_dataset(f"fixtures/{task.family}/test.jsonl", task).examples[:120]
    return answered(task, rows, lambda n: n % 2)


@pytest.fixture(scope="session")
def tfidf_baseline(system_under_test, evaluation):
    rows = [row.example for row in evaluation.rows]
    return answered(system_under_test.task, rows, lambda n: False)


@pytest.fixture(scope="session")
def ask(system_under_test):
    def asked(name, examples, *, task=None, **how):
        wrong = (lambda n: False) if name.startswith("fresh") else (lambda n: n % 3)
        return answered(task or system_under_test.task, examples, wrong, part=name)

    return asked


@pytest.fixture(scope="session")
def answers():
    lines = Path("fixtures/forgetting/probes.jsonl").read_text().splitlines()
    known = {p["id"]: p.get("accepted", ["5"])[0] for p in map(json.loads, lines)}
    label = '{"folder": "Work", "priority": 1}'

    def asked(name, requests, *, adapter=True):
        text = known.get if not adapter else (lambda id: label)
        return {r.id: Completion(text(r.id), FinishReason.STOP) for r in requests}

    return asked


@pytest.fixture(scope="session")
def divergences():
    return lambda name, texts: [{"id": id, "kl": 1.0, "tokens": 9} for id in texts]


@pytest.fixture
def gate():
    def hold(name, measured, *, slice=None, part=""):
        paired = hasattr(measured, "comparison")
        bound = {"min_difference": 0.99} if paired else {"max_value": 0.0}
        metric = getattr(measured, "metric", None)
        if metric and not paired and not metric.lower_is_better:
            bound = {"min_value": 1.0}
        policy = Policy(why="x", min_cases=1, **bound)
        verdict = judge(name, policy, measured, slice_name=str(slice or ""))
        link = to_rows("rows", verdict)
        (table,) = case_table(verdict) or [None]
        FOUND.append({
            "gate": name, "slice": verdict.slice, "value": verdict.estimate.value,
            "is_linked": isinstance(link, Link | Page),
            "cases": [case.id + case.text for case in verdict.cases],
            "sure": [case.sure for case in verdict.cases],
            "heads": [column.head.code for column in table.columns] if table else [],
            "part": part,
        })

    return hold


def pytest_sessionfinish():
    Path("found.json").write_text(json.dumps(FOUND))
"""
SHOWN = {
    "flip_rate": "case.before",
    "accuracy_under_changes": "case.before",
    "attack_success_rate": "case.context",
    "forgetting": "case.before",
    "unseen_folder_accuracy": "case.context",
    "folder_name_bias": "case.context",
    "renamed_folders_loss": "case.before",
    "answer_instability": "case.before",
    "clear_differences": "case.before",
    "classified_general_prompts": "case.text",
    "divergence_from_base": "case.context",
}
"""What a reader has to see of the rows of a gate."""


@pytest.fixture
def found(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """What the suites of both tasks measured, and where it leads."""
    ignored = shutil.ignore_patterns("__pycache__")
    for folder in ("suites", "fixtures"):
        shutil.copytree(ROOT / folder, pytester.path / folder, ignore=ignored)
    (pytester.path / "suites" / "conftest.py").write_text(SCRIPTED)
    monkeypatch.setattr(GateSession, "_lacking", lambda *_: [])
    told: list[dict] = []
    for task, form in (("notifications-3level", "json"), ("intents", "labels")):
        system = pytester.path / "adapters" / task / "system.toml"
        system.parent.mkdir(parents=True)
        system.write_text(f'task = "{task}"\nformat = "{form}"\nengine = "keyword"\n')
        pytester.runpytest_inprocess("suites", "--model", task, "-q", "-p", "no:cacheprovider")
        told += json.loads((pytester.path / "found.json").read_text())
    return told


def test_every_gate_leads_to_its_rows(found: list[dict]) -> None:
    of_suites = set(load_policies(ROOT / "suites" / "gates.toml"))
    assert {gate["gate"] for gate in found} == of_suites
    assert {gate["gate"] for gate in found if gate["is_linked"]} == of_suites
    # A number that nothing pulls down has no rows, and no other goes without.
    assert [
        gate for gate in found if gate["value"] not in (0.0, 1.0) and not gate["is_linked"]
    ] == []
    for gate in found:
        assert len(set(gate["cases"])) == len(gate["cases"]), gate
        sure = [known for known in gate["sure"] if known is not None]
        assert sure == sorted(sure, reverse=True), gate["gate"]
    for name, what in SHOWN.items():
        heads = [gate["heads"] for gate in found if gate["gate"] == name and gate["cases"]]
        assert heads, name
        assert all(what in head for head in heads), name
    spaces = {gate["part"] for gate in found if gate["gate"] == "unseen_folder_accuracy"}
    assert spaces == {"Finance to Travel", "Education to Food"}
