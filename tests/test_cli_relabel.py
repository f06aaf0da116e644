"""Mistakes out to those who label, and their corrections back into the rows: on the intents."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest

from evalkit.cli import main
from evalkit.data import load_dataset
from evalkit.data.relabelling import _same
from evalkit.data.spreadsheets import inert
from evalkit.evaluation import evaluate
from evalkit.formats import get_format
from evalkit.gates import Policy, conclude, judge
from evalkit.records import Completion, FinishReason
from evalkit.reports.verdicts import verdicts_to_json
from evalkit.run_record import RunRecord
from evalkit.runs import read_run, write_run, write_verdicts
from evalkit.tasks import load_task

FIXTURE = Path(__file__).parents[1] / "fixtures" / "intents" / "test.jsonl"
TASK = load_task("intents")
SAID = "inventory"
"""What the system answers to every one of the rows."""
POLICY = Policy(min_value=0.3, min_cases=5, why="x")
FIELD = "intents"


@pytest.fixture
def cli(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], project: str
) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["evalkit", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        return int(str(stop.value.code)), said.out, said.err

    return run


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Twelve rows of the fixture, and a judged run that says one intent of all."""
    monkeypatch.chdir(tmp_path)
    lines = FIXTURE.read_text(encoding="utf-8").splitlines(keepends=True)
    Path("rows.jsonl").write_text("".join(lines[:12]), encoding="utf-8")
    data = load_dataset("rows.jsonl", TASK)
    fmt = get_format("labels", TASK)
    text = fmt.render(TASK, {FIELD: (SAID,)}, {})
    completions = {
        e.id: Completion(text, FinishReason.STOP, confidences={FIELD: 0.5 + n / 100})
        for n, e in enumerate(data.examples)
    }
    record = RunRecord.model_validate(
        {
            "format": "labels",
            "started": "2026-01-02T03:04:05+00:00",
            "data": {"source": "rows.jsonl", "sha256": data.sha256, "rows": 12},
        }
    )
    run = write_run(
        evaluate("mine", TASK, fmt, data.examples, completions, record=record), Path("runs")
    )
    made = read_run(run)
    verdict = judge("exact", POLICY, made.accuracy(FIELD))
    release = conclude("mine", TASK.family, [verdict], {"exact": POLICY})
    write_verdicts(run, verdicts_to_json(release, made, "c" * 64))
    return run.name


def labels(path: str = "rows.jsonl") -> dict[str, tuple[str, ...]]:
    return {e.id: e.labels[FIELD] for e in load_dataset(path, TASK).examples}  # type: ignore[misc]


def wrong() -> list[str]:
    return [id for id, label in labels().items() if label != (SAID,)]


def by_csv(path: Path, corrected: dict[str, list[str]]) -> None:
    """Open the file in a spreadsheet, fill in cells, save it."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["id"] in corrected:
            row["corrected.intents"] = ", ".join(corrected[row["id"]])
            row["by"] = "ana"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def by_label_studio(path: Path, corrected: dict[str, list[str]]) -> None:
    """Import the tasks, annotate some, skip one, and export them as JSON."""
    tasks = json.loads(path.read_text(encoding="utf-8"))
    for number, task in enumerate(tasks, 1):
        chosen = corrected.get(task["data"]["row_id"])
        result = {"id": "x", "type": "choices", "from_name": FIELD, "to_name": "prompt"}
        value = {"value": {"choices": chosen or ["none"]}}
        given = {"completed_by": {"id": 7, "email": "ana"}, "result": [result | value]}
        task |= {"id": number, "annotations": [given | {"was_cancelled": chosen is None}]}
    path.write_text(json.dumps(tasks), encoding="utf-8")


def by_argilla(path: Path, corrected: dict[str, list[str]]) -> None:
    """Log the records, answer some, and `records.to_json`."""
    records = json.loads(path.read_text(encoding="utf-8"))
    for record in records:
        if record["id"] in corrected:
            answer = {"value": corrected[record["id"]], "user_id": "ana"}
            record |= {"responses": {FIELD: [answer]}, "_server_id": "0"}
    path.write_text(json.dumps(records), encoding="utf-8")


WAYS = {
    "--csv": ("errors.csv", by_csv),
    "--label-studio": ("errors.json", by_label_studio),
    "--argilla": ("errors.json", by_argilla),
}
by_way = pytest.mark.parametrize("option", WAYS)


@by_way
def test_the_way_there_and_back(cli: Any, project: str, option: str) -> None:
    before, mistakes = labels(), wrong()
    file, label = WAYS[option]
    code, out, err = cli("errors", project, option, file)
    assert code == 0, err
    assert f"({len(mistakes)} rows)" in out
    # Two labels are corrected to what the system said, one to something else, one is confirmed.
    first, second, third, fourth = mistakes[:4]
    other = ["payment", "user_auth"]
    label(
        Path(file),
        {first: [SAID], second: [SAID], third: other, fourth: list(before[fourth])},
    )
    code, out, err = cli("data", "relabel", file, "--json")
    assert code == 0, err
    said = json.loads(out)
    assert (len(said["changed"]), said["confirmed"], said["disputed"]) == (3, 1, [])
    assert labels() == before  # never in place
    changed = {first: (SAID,), second: (SAID,), third: tuple(sorted(other, key=order))}
    assert labels("rows.relabelled.jsonl") == before | changed
    log = [json.loads(line) for line in Path("rows.changes.jsonl").read_text().splitlines()]
    assert [(c["id"], tuple(c["after"]), c["by"]) for c in log] == [
        (id, changed[id], ["ana"]) for id in mistakes[:3]
    ]
    # Two more of twelve are right now, and no model was asked.
    right = 12 - len(mistakes)
    figure = said["figures"]["intents accuracy"]
    assert [figure[when]["successes"] for when in ("was", "is")] == [right, right + 2]
    (gate,) = said["gates"]
    assert (gate["gate"], gate["is"]["estimate"]["successes"]) == ("exact", right + 2)


def order(value: str) -> int:
    return TASK.fields[FIELD].labels.index(value)


def test_only_the_rows_that_changed_are_written_anew(cli: Any, project: str) -> None:
    cli("errors", project, "--csv", "errors.csv")
    (first, *_) = wrong()
    by_csv(Path("errors.csv"), {first: [SAID]})
    before = Path("rows.jsonl").read_bytes().splitlines()
    assert cli("data", "relabel", "errors.csv", "--in-place")[0] == 0
    after = Path("rows.jsonl").read_bytes().splitlines()
    (changed,) = (n for n, pair in enumerate(zip(before, after, strict=True)) if len({*pair}) > 1)
    assert json.loads(after[changed]) == json.loads(before[changed]) | {"output": [SAID]}
    # What was corrected is no mistake any more: the same file once more changes nothing.
    code, out, _ = cli("data", "relabel", "errors.csv", "--in-place", "--json")
    assert (code, json.loads(out)["changed"]) == (0, [])
    assert len(Path("rows.changes.jsonl").read_text().splitlines()) == 1


def test_what_the_files_say_of_a_mistake(cli: Any, project: str) -> None:
    options = ("--csv", "e.csv", "--label-studio", "ls.json", "--argilla", "a.json")
    assert cli("errors", project, *options)[0] == 0
    mistakes = wrong()
    with Path("e.csv").open(encoding="utf-8", newline="") as file:
        cells = {row["id"]: row for row in csv.DictReader(file)}
    tasks = {t["data"]["row_id"]: t for t in json.loads(Path("ls.json").read_text())}
    records = {r["id"]: r for r in json.loads(Path("a.json").read_text())}
    assert {*cells} == {*tasks} == {*records} == {*mistakes}
    example = next(e for e in load_dataset("rows.jsonl", TASK).examples if e.id == mistakes[0])
    right = ", ".join(example.labels[FIELD])  # type: ignore[arg-type]
    row, task, record = (found[example.id] for found in (cells, tasks, records))
    assert (row["right.intents"], row["said.intents"], row["gates"]) == (right, SAID, "exact")
    assert row["input.prompt"] == task["data"]["prompt"] == record["fields"]["prompt"]
    assert row["input.prompt"] == example.inputs["prompt"]
    assert task["predictions"][1]["model_version"] == "mine"
    assert task["predictions"][1]["score"] == float(row["confidence.intents"])
    assert record["suggestions"][FIELD] == {"value": [SAID], "score": None, "agent": "mine"}
    assert record["metadata"]["gates"] == task["data"]["gates"] == ["exact"]
    view = Xml.fromstring(Path("ls.xml").read_text(encoding="utf-8"))
    assert [c.get("value") for c in view.iter("Choice")] == list(TASK.fields[FIELD].labels)
    (choices,) = view.iter("Choices")
    assert (choices.get("name"), choices.get("choice")) == (FIELD, "multiple")


def test_people_who_disagree_change_nothing(cli: Any, project: str) -> None:
    cli("errors", project, "--argilla", "errors.json")
    records = json.loads(Path("errors.json").read_text())
    answers = [{"value": [v], "user_id": v} for v in (SAID, "payment")]
    records[0]["responses"] = {FIELD: answers}
    records[1]["responses"] = {FIELD: [answers[0], answers[0] | {"user_id": "bo"}]}
    Path("errors.json").write_text(json.dumps(records))
    said = json.loads(cli("data", "relabel", "errors.json", "--json")[1])
    (disputed,), (changed,) = said["disputed"], said["changed"]
    assert disputed["id"] == records[0]["id"]
    assert (changed["id"], changed["by"]) == (records[1]["id"], [SAID, "bo"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"id": "i-999"}, "has no row 'i-999'"),
        ({"input.prompt": "another text"}, "has another prompt"),
        ({"corrected.intents": "inventry"}, r"Did you mean 'inventory'\?"),
        ({"corrected.intents": ""}, "corrects nothing"),
    ],
)
def test_what_does_not_hold_together_is_refused(
    cli: Any, project: str, change: dict[str, str], says: str
) -> None:
    cli("errors", project, "--csv", "errors.csv")
    with Path("errors.csv").open(encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file)) | {"corrected.intents": SAID} | change
    with Path("errors.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerow(row)
    code, _, err = cli("data", "relabel", "errors.csv")
    assert code == 4
    assert re.search(says, err), err
    assert not Path("rows.relabelled.jsonl").exists()


def test_an_apostrophe_that_a_spreadsheet_kept_or_lost_is_no_other_text() -> None:
    for text in ("=1+1", "+1"):
        assert _same(text, inert(text))
