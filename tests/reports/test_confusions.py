"""What was taken for what: many values, and sets of values, on a phone, a page and a terminal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browsing import misplaced

from evalkit.data import load_dataset
from evalkit.evaluation import Evaluation, evaluate
from evalkit.formats import get_format
from evalkit.records import Completion, Example, FinishReason
from evalkit.reports.html.run_page import run_page
from evalkit.reports.judged import JudgedRun
from evalkit.reports.render.terminal import to_text
from evalkit.reports.run_view import run_view
from evalkit.run_record import RunRecord
from evalkit.tasks import load_task
from evalkit.tasks.variants import with_values

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).parents[2]
TOPICS = (
    *("Work", "Personal", "Promotions", "Alerts", "Finance", "Shopping", "Social", "Health"),
    *("Travel", "Education", "Games", "News", "Home", "Food", "Entertainment", "Appointments"),
)
SMALLEST = """(width) => {
  const found = [];
  for (const cell of document.querySelectorAll(".matrix td, .matrix th")) {
    const name = cell.textContent.trim();
    if (cell.getBoundingClientRect().right > width) found.push(`beyond the screen: ${name}`);
    if (cell.scrollWidth > cell.clientWidth + 1) found.push(`cut: ${name}`);
    if (parseFloat(getComputedStyle(cell).fontSize) < 9) found.push(`too small: ${name}`);
  }
  return found;
}"""


def of_topics(n: int, rows: int = 640) -> Evaluation:
    """A field of that many values; every third row is taken for the next one."""
    topics = TOPICS[:n]
    task = with_values(load_task("notifications-3level"), "folder", dict.fromkeys(topics, "x"))
    examples = [
        Example(str(i), dict.fromkeys(task.inputs, "x"), {"folder": topics[i % n], "priority": 2})
        for i in range(rows)
    ]
    said = {
        e.id: json.dumps(e.labels | {"folder": topics[(i + (i % 3 == 0)) % n]})
        for i, e in enumerate(examples)
    }
    return answered(task, examples, said)


def of_intents() -> Evaluation:
    """The test set of the intents, of which every fourth is taken for another."""
    task = load_task("intents")
    examples = load_dataset(str(ROOT / "fixtures" / "intents" / "test.jsonl"), task).examples
    said = {
        e.id: "payment" if i % 4 == 0 else ", ".join(e.labels["intents"])
        for i, e in enumerate(examples)
    }
    return answered(task, examples, said)


def answered(task, examples, said) -> Evaluation:
    name = "labels" if task.family == "intents" else "json"
    completions = {id: Completion(text, FinishReason.STOP) for id, text in said.items()}
    record = RunRecord.model_validate({"format": name, "started": "2026-01-02T03:04:05+00:00"})
    return evaluate("mine", task, get_format(name, task), examples, completions, record=record)


@pytest.mark.parametrize(("made", "matrices"), [(lambda: of_topics(16), 2), (of_intents, 0)])
def test_confusions_fit_a_phone_and_can_be_read(
    show: Callable[..., Page],
    page: Page,
    tmp_path: Path,
    made: Callable[[], Evaluation],
    matrices: int,
) -> None:
    html = run_page(JudgedRun(tmp_path, made(), None, "it was not judged"))
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 844})
        show(html)
        assert page.locator(".matrix").count() == matrices
        assert page.evaluate(SMALLEST, width) == []
        assert misplaced(page) == []


def test_a_set_of_labels_has_a_count_of_each_kind_of_mistake(tmp_path: Path) -> None:
    mine = of_intents()
    table = run_page(JudgedRun(tmp_path, mine, None, "it was not judged"))
    assert "Has it, missed" in table
    shown = to_text(run_view(JudgedRun(tmp_path, mine, None, "")), 80, colour=False)
    (line,) = [line.split() for line in shown.splitlines() if line.split()[:1] == ["payment"]][1:2]
    has = [row for row in mine.rows if "payment" in row.example.labels["intents"]]
    named = [row for row in mine.rows if "payment" in (row.predicted("intents") or ())]
    both = [row for row in has if row in named]
    assert list(map(int, line[1:])) == [len(both), len(has) - len(both), len(named) - len(both)]


def test_a_terminal_gives_values_numbers_where_names_do_not_fit(tmp_path: Path) -> None:
    run = JudgedRun(tmp_path, of_topics(12), None, "it was not judged")
    lines = to_text(run_view(run, "folder"), 80, colour=False).splitlines()
    (head,) = (at for at, line in enumerate(lines) if line.split()[-3:] == ["10", "11", "12"])
    (news,) = (line.split() for line in lines[head:] if line.startswith(" 12 News"))
    rows = [row for row in run.evaluation.rows if row.example.labels["folder"] == "News"]
    right = sum(row.is_right("folder") for row in rows)
    assert list(map(int, news[2:])) == [len(rows) - right, *[0] * 10, right]
    assert max(len(line) for line in lines if line.startswith(" ")) <= 80
