"""The task.toml of a project is known where one stands in its folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evalkit.data.any_task import load_by_any_task
from evalkit.errors import UserError
from evalkit.tasks import known_tasks, load_task, task_names

TICKETS = """
name = "tickets"
family = "tickets"
summary = "tickets into queues"
instruction = "Sort it."

[inputs.text]
title = "Text"
paths = ["text"]

[fields.queue]
kind = "choice"
title = "Queues"
paths = ["queue"]
values = [{ value = "A", description = "a" }, { value = "B", description = "b" }]
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "task.toml").write_text(TICKETS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_is_known_by_its_name(project: Path):
    assert [task.name for task in known_tasks()] == ["tickets", *task_names()]
    assert load_task("tickets") == load_task("task.toml")


def test_rows_are_read_by_it(project: Path):
    row = {"id": "1", "text": "where is it", "queue": "B"}
    (project / "rows.jsonl").write_text(json.dumps(row) + "\n")
    task, dataset = load_by_any_task("rows.jsonl")
    assert task.name == "tickets"
    assert dataset.examples[0].labels == {"queue": "B"}


def test_elsewhere_it_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="There is no task 'tickets'"):
        load_task("tickets")
