"""What changed between two runs of what should be the same model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from command_line import Done, evalkit
from evalkit.errors import UserError
from evalkit.evaluation import EvaluatedRow, Evaluation
from evalkit.formats import get_format
from evalkit.records import Completion, Example, FinishReason
from evalkit.reports.compare import compare_answers, parity_to_json
from evalkit.reports.render.terminal import to_terminal, to_text
from evalkit.reports.sections.parity import parity_blocks
from evalkit.run_record import RunRecord
from evalkit.runs import write_run
from evalkit.tasks import load_task

TASK = load_task("notifications-3level")
JSON = get_format("json", TASK)
RECORD = {
    "prompt_sha256": "aa",
    "engine": {"engine": "transformers"},
    "contamination": {"status": "untrained"},
    "data": {"source": "rows.jsonl"},
    "notes": [],
    "format": "json",
}


def run(name: str, *said: tuple[str, float | None], prompt_tokens: int = 40, **record: object):
    """A run that said these texts with these margins; right is Work and 2, on every row."""
    rows = []
    for number, (text, margin) in enumerate(said):
        labels = {"folder": "Work", "priority": 2}
        example = Example(f"r{number}", dict.fromkeys(TASK.inputs, f"x{number}"), labels)
        completion = Completion(
            text, FinishReason.STOP, prompt_tokens=prompt_tokens + number, margin=margin
        )
        rows.append(EvaluatedRow(example, completion, JSON.parse(TASK, text)))
    return Evaluation(name, TASK, tuple(rows), RunRecord.model_validate(RECORD | record))


def text(folder: str = "Work", priority: int = 2) -> str:
    return json.dumps({"folder": folder, "priority": priority})


RIGHT = (text(), 5.0)
FULL = run("full", RIGHT, RIGHT, RIGHT, (text(priority=3), 0.25), RIGHT, (text("Alerts"), 2.0))
SERVED = run(
    "served",
    RIGHT,
    (text("Alerts"), 0.5),  # was right, is wrong
    (text().replace(" ", ""), 3.0),  # another text that says the same
    (text(), 0.125),  # was wrong, is right
    RIGHT,
    ("\x1b[2J" + text("Alerts"), None),  # wrong as before, in another text
)


def test_texts_and_what_they_say_are_counted_apart():
    found = compare_answers(FULL, SERVED)
    counts = {name: (share.successes, share.n) for name, share in found.changed.items()}
    assert counts == {"text": (4, 6), "folder": (1, 6), "priority": (1, 6)}
    assert all(share.low < share.value < share.high for share in found.changed.values())


def test_accuracy_is_compared_row_by_row():
    tests = {c.metric.name: c.comparison for c in compare_answers(FULL, SERVED).headline}
    folder, priority = tests["folder accuracy"], tests["priority accuracy"]
    assert (folder.only_first, folder.only_second) == (1, 0)
    assert (priority.only_first, priority.only_second) == (0, 1)
    assert tests["all fields right"].difference == 0


def test_the_least_decided_rows_come_first():
    found = [ours.example.id for ours, _ in compare_answers(FULL, SERVED).differing]
    assert found == ["r3", "r1", "r5", "r2"]


def test_rows_of_unknown_margin_come_last():
    one, other = run("a", (text(), None), (text(), 9.0)), run("b", ("x", None), ("y", 9.0))
    found = [ours.example.id for ours, _ in compare_answers(one, other).differing]
    assert found == ["r1", "r0"]


def test_the_report_shows_both_answers_and_how_sure_they_were():
    shown = shown_text(FULL, SERVED, show=2)
    assert "A: full (run-a)\nB: served (run-b)\n" in shown
    assert "4 of 6" in shown
    assert "prompt: hashes equal\nprompt tokens: as many in 6 of 6 rows" in shown
    assert "least margin of a row, in logits: 1.25 where the text differs, 5.00 where" in shown
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    first = lines.index(f"r3 A {text(priority=3)} wrong 0.25")
    assert lines[first + 1] == f"B {text()} right 0.12"
    assert "and 2 more: `evalkit parity A B --limit 4`" in shown
    everything = shown_text(FULL, SERVED, show=10)
    assert "more: " not in everything
    assert "\x1b" not in everything


def shown_text(one: Evaluation, other: Evaluation, show: int) -> str:
    names = [f"{one.system} (run-a)", f"{other.system} (run-b)"]
    blocks = parity_blocks(compare_answers(one, other), names, show)
    return to_text(to_terminal(blocks), 100, colour=False)


def test_equal_runs():
    shown = shown_text(FULL, replace(FULL, system="again"), show=5)
    assert "0 of 6" in shown
    assert "least margin" not in shown


def test_prompts_that_differ_are_named():
    other = run("served", *[RIGHT] * 6, prompt_tokens=41, prompt_sha256="bb")
    shown = shown_text(FULL, other, show=0)
    assert "prompt: hashes differ (a server lays out" in shown
    assert "prompt tokens: as many in 0 of 6 rows" in shown
    assert "they differ in: prompt" in shown
    unknown = run("served", *[RIGHT] * 6)
    rows = [replace(r, completion=replace(r.completion, prompt_tokens=0)) for r in unknown.rows]
    shown = shown_text(FULL, replace(unknown, rows=tuple(rows)), show=0)
    assert "prompt tokens" not in shown


def test_rows_without_an_answer_are_left_out_and_counted():
    lost = replace(
        SERVED, rows=SERVED.rows[2:], record=SERVED.record.having(unanswered={"r0": "", "r1": ""})
    )
    found = compare_answers(FULL, lost)
    assert found.unanswered == 2
    assert found.changed["folder"].n == 4
    assert "2 rows without an answer in A or B are left out" in shown_text(FULL, lost, show=0)


def test_nothing_in_common():
    nothing = replace(
        SERVED, rows=(), record=SERVED.record.having(unanswered={f"r{n}": "" for n in range(6)})
    )
    with pytest.raises(UserError, match="No row was answered by both"):
        compare_answers(FULL, nothing)


def test_other_rows_are_refused():
    with pytest.raises(UserError, match="different test sets"):
        compare_answers(FULL, replace(SERVED, rows=SERVED.rows[1:]))


def test_as_data():
    found = json.loads(json.dumps(parity_to_json(compare_answers(FULL, SERVED))))
    assert found["systems"] == ["full", "served"]
    assert found["changed"]["text"]["successes"] == 4
    assert found["prompt"] == {
        "same_sha256": True,
        "rows_with_known_length": 6,
        "rows_of_same_length": 6,
    }
    assert found["differing_rows"][1] == {
        "id": "r1",
        "texts": [text(), text("Alerts")],
        "margins": [5.0, 0.5],
        "right": [True, False],
    }
    assert {paired["metric"] for paired in found["accuracy"]} >= {"folder accuracy"}


def test_the_command(tmp_path: Path):
    folders = [write_run(found, tmp_path / "runs") for found in (FULL, SERVED)]

    def parity(*arguments: str) -> Done:
        return evalkit("parity", *arguments, cwd=tmp_path)

    done = parity(*map(str, folders))
    assert done.returncode == 0, done.stderr
    assert "4 of 6" in done.stdout
    done = parity(*(folder.name for folder in folders), "--json")
    assert json.loads(done.stdout)["rows"] == 6
    done = parity(folders[0].name, "nowhere")
    assert done.returncode == 4
    assert "Traceback" not in done.stderr
