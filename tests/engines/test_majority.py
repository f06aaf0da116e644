from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.engines.baseline import Answer, BaselineEngine
from evalkit.engines.majority import MajorityModel, fit_majority, load_majority
from evalkit.errors import UserError
from evalkit.formats import get_format
from evalkit.records import Example, Label, Request
from evalkit.tasks import Task, load_task

INTENTS = load_task("intents")
NOTIFICATIONS = load_task("notifications-3level")


def wishes(*labels: tuple[str, ...]) -> list[Example]:
    return [Example(str(n), {"prompt": ""}, {"intents": label}) for n, label in enumerate(labels)]


def notes(*labels: tuple[str, int]) -> list[Example]:
    return [
        Example(str(n), {}, {"folder": folder, "priority": priority})
        for n, (folder, priority) in enumerate(labels)
    ]


def fit_notes() -> MajorityModel:
    return fit_majority(NOTIFICATIONS, notes(("Alerts", 3), ("Work", 3), ("Alerts", 1)))


def test_each_field_has_its_most_frequent_value():
    assert (
        fit_notes().answer([{}, {}])
        == [Answer({"folder": "Alerts", "priority": 3}, {"folder": 2 / 3, "priority": 2 / 3})] * 2
    )


def test_of_a_set_the_most_frequent_set_counts():
    rows = wishes(("payment",), ("payment", "inventory"), ("none",), ("payment", "inventory"))
    assert fit_majority(INTENTS, rows).always == Answer(
        {"intents": ("payment", "inventory")}, {"intents": 0.5}
    )


def test_a_tie_goes_to_what_the_task_lists_first():
    rows = wishes(("none",), ("payment", "inventory"), ("payment",))
    assert fit_majority(INTENTS, rows).always.labels == {"intents": ("payment",)}
    expected: dict[str, Label] = {"folder": "Work", "priority": 1}
    assert fit_majority(NOTIFICATIONS, notes(("Alerts", 2), ("Work", 1))).always.labels == expected


def test_answers_are_canonical_and_carry_confidences():
    fmt = get_format("json", NOTIFICATIONS)
    engine = BaselineEngine(fit_notes(), NOTIFICATIONS, fmt)
    inputs = {"app_name": "a", "title": "b", "body": "c"}
    request = Request("r", fmt.prompt(NOTIFICATIONS, inputs), inputs, "")
    ((name, completion),) = engine.complete([request])
    assert (name, completion.text) == ("r", '{"folder": "Alerts", "priority": 3}')
    assert completion.confidences == {"folder": 2 / 3, "priority": 2 / 3}
    assert engine.describe() == {"engine": "majority"}


@pytest.mark.parametrize(
    ("task", "rows"),
    [
        (INTENTS, wishes(("payment", "inventory"), ("none",))),
        (NOTIFICATIONS, notes(("Alerts", 3), ("Work", 3))),
    ],
)
def test_what_is_read_is_what_was_written(task: Task, rows: list[Example], tmp_path: Path):
    model = fit_majority(task, rows)
    model.save(tmp_path / "a.json")
    model.save(tmp_path / "b.json")
    assert load_majority(tmp_path / "a.json", task) == model
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "made by another version of evalkit"),
        ({"answer": {"folder": "Alerts"}}, "cannot be read as a baseline"),
        ({"answer": {"folder": "Alerts", "priority": "3"}}, "'3' is not a value of Priority"),
        ({"answer": {"folder": "Alerts", "priority": True}}, "True is not a value of Priority"),
        ({"answer": {"folder": "Spam", "priority": 3}}, "'Spam' is not a value of Folders"),
        ({"answer": {"folder": ["Alerts"], "priority": 3}}, "is not a value of Folders"),
        ({"answer": None}, "cannot be read as a baseline"),
        ({"share": {"folder": 0.5, "priority": 1.5}}, "not between 0 and 1"),
        ({"share": {"folder": 0.5, "priority": float("nan")}}, "not between 0 and 1"),
    ],
)
def test_a_file_with_a_fault_is_a_user_error(tmp_path: Path, change: dict[str, Any], said: str):
    path = tmp_path / "baseline.json"
    fit_notes().save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError) as caught:
        load_majority(path, NOTIFICATIONS)
    assert str(caught.value).startswith(str(path))
    assert said in str(caught.value)
    assert "`evalkit train` makes it anew" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_what_is_no_such_file_is_a_user_error(tmp_path: Path, content: bytes):
    path = tmp_path / "baseline.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot be read as a baseline"):
        load_majority(path, NOTIFICATIONS)


def test_another_tasks_file_is_a_user_error(tmp_path: Path):
    fit_notes().save(tmp_path / "baseline.json")
    with pytest.raises(UserError, match="other inputs, fields or values than 'intents'"):
        load_majority(tmp_path / "baseline.json", INTENTS)
