"""Runs on disk: read back as written, whole or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.data import Kind, Match
from evalkit.data.loading import hash_examples
from evalkit.errors import EvidenceError, UserError
from evalkit.evaluation import EvaluatedRow, Evaluation
from evalkit.formats import get_format
from evalkit.records import Completion, Example, FinishReason
from evalkit.run_record import RunRecord
from evalkit.runs import (
    ASKED,
    BASELINES,
    baseline_folders,
    copy_run,
    find_run,
    read_for_judging,
    read_part,
    read_run,
    read_subject,
    read_verdicts,
    write_evaluation_part,
    write_part,
    write_run,
    write_verdicts,
)
from evalkit.tasks import load_task

TASKS = {"json": load_task("notifications-3level"), "labels": load_task("intents")}


def evaluation(format_name: str, texts: list[str]) -> Evaluation:
    task = TASKS[format_name]
    fmt = get_format(format_name, task)
    inputs = dict.fromkeys(task.inputs, "an input with\u2028a line break")
    labels = {"json": {"folder": "Work", "priority": 3}, "labels": {"intents": ("payment",)}}
    rows = tuple(
        EvaluatedRow(
            Example(str(i), inputs, labels[format_name]),
            Completion(text, FinishReason.STOP, (1, 2), 7, 0.25),
            fmt.parse(task, text),
        )
        for i, text in enumerate(texts)
    )
    data = {"rows": len(rows), "sha256": hash_examples(row.example for row in rows)}
    record = RunRecord.model_validate({"note": "x", "format": format_name, "data": data})
    return Evaluation("mine", task, rows, record)


texts = st.lists(
    st.one_of(
        st.text(st.characters(exclude_categories=[])),
        st.sampled_from(
            ['{"folder": "Work", "priority": 3}', "payment, none", '{"folder": "X"}', ""]
        ),
    ),
    min_size=1,
    max_size=5,
)


@given(texts, st.sampled_from(["json", "labels"]))
def test_a_run_reads_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, said: list[str], format_name: str
) -> None:
    runs = tmp_path_factory.mktemp("runs")
    written = evaluation(format_name, said)
    read = read_run(write_run(written, runs))
    assert read.rows == written.rows
    assert read.task == written.task
    assert read.system == written.system
    assert read.record.to_json()["note"] == "x"


def test_two_runs_in_one_second_do_not_overwrite_each_other(tmp_path: Path) -> None:
    first, second = (write_run(evaluation("json", ["x"]), tmp_path) for _ in range(2))
    assert first != second
    assert sorted(tmp_path.iterdir()) == sorted([first, second])


def test_a_changed_run_is_refused(tmp_path: Path) -> None:
    folder = write_run(evaluation("json", ["x", "y"]), tmp_path)
    path = folder / "predictions.jsonl"
    lines = path.read_text()
    path.write_text(lines.replace("\n", "\n\n"))
    with pytest.raises(UserError, match="was changed after the run"):
        read_run(folder)  # a blank line is no row
    path.write_text(lines.splitlines()[0] + "\n")
    with pytest.raises(UserError, match="has 1 of the run's 2 rows"):
        read_run(folder)


def test_one_changed_byte_of_predictions_or_record_is_refused(tmp_path: Path) -> None:
    folder = write_run(evaluation("json", ["x", "y"]), tmp_path)
    for name, old, new in (
        ("predictions.jsonl", '"priority": 3', '"priority": 2'),
        ("record.json", '"note": "x"', '"note": "z"'),
    ):
        path = folder / name
        whole = path.read_text()
        assert old in whole
        path.write_text(whole.replace(old, new, 1))
        with pytest.raises(EvidenceError, match="was changed after the run"):
            read_run(folder)
        path.write_text(whole)
        read_run(folder)


def test_what_was_seen_in_training_and_groups_are_kept(tmp_path: Path) -> None:
    written = evaluation("json", ["x", "y"])
    seen = Match(Kind.NEAR, 0.9)
    rows = (
        replace(written.rows[0], contaminated_by=seen, group=4),
        replace(written.rows[1], group=4),
    )
    read = read_run(write_run(replace(written, rows=rows), tmp_path))
    assert read.rows == rows
    assert read.clean_rows == rows[1:]


def test_a_run_is_found_by_path_name_start_system_or_baseline(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    folder = write_run(evaluation("json", ["x"]), runs)
    for name in (str(folder), folder.name, folder.name[:9]):
        assert find_run(name, runs) == folder
    copy_run(folder, runs / BASELINES / "good")
    assert find_run("good", runs) == runs / BASELINES / "good"
    with pytest.raises(UserError, match="Did you mean 'good'"):
        find_run("goood", runs)
    system = folder.name.partition("-")[2]
    with pytest.raises(UserError, match=f"Did you mean '{system}'"):
        find_run(f"{system}x", runs)
    newer = write_run(evaluation("json", ["x"]), runs)
    assert find_run(system, runs) == newer
    with pytest.raises(UserError, match="2 runs in"):
        find_run(folder.name[:9], runs)


def test_a_baseline_is_replaced_by_a_whole_run_only(tmp_path: Path) -> None:
    kept = tmp_path / "baselines" / "good"
    folder = write_run(evaluation("json", ["x"]), tmp_path)
    copy_run(folder, kept)
    other = write_run(evaluation("json", ["y"]), tmp_path)
    (other / "predictions.jsonl").write_text("")
    with pytest.raises(EvidenceError):
        copy_run(other, kept)
    assert read_run(kept).rows[0].completion.text == "x"
    copy_run(write_run(evaluation("json", ["z"]), tmp_path), kept)
    assert read_run(kept).rows[0].completion.text == "z"
    assert {path.name for path in kept.parent.iterdir()} == {"good", ".good.lock"}


def test_verdicts_on_other_predictions_or_criteria_are_not_believed(tmp_path: Path) -> None:
    folder = write_run(evaluation("json", ["x"]), tmp_path)
    assert read_verdicts(folder) is None
    record = json.loads((folder / "record.json").read_text())
    said = {"predictions_sha256": record["predictions_sha256"], "criteria_sha256": "1"}
    write_verdicts(folder, said)
    found = read_verdicts(folder) or {}
    assert found == read_verdicts(folder, "1")
    assert found.pop("verdicts_sha256")
    assert found.pop("sentences") == {}
    assert found == said | {"asked_sha256": {}, "record_sha256": record["record_sha256"]}
    with pytest.raises(EvidenceError, match="other criteria"):
        read_verdicts(folder, "2")
    write_verdicts(folder, {"predictions_sha256": "0"})
    with pytest.raises(EvidenceError, match="other predictions"):
        read_verdicts(folder)


@pytest.mark.parametrize("content", ["", "[]x", None])
def test_what_is_no_run_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "record.json").write_text(content)
    with pytest.raises(UserError, match="is not a run"):
        read_run(tmp_path)


def test_another_schema_is_refused(tmp_path: Path) -> None:
    folder = write_run(evaluation("json", ["x"]), tmp_path)
    path = folder / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 99}))
    with pytest.raises(UserError, match="schema 99"):
        read_run(folder)


def judge(folder: Path, **said: object) -> None:
    record = json.loads((folder / "record.json").read_text())
    write_verdicts(folder, {"predictions_sha256": record["predictions_sha256"], **said})


def test_verdicts_replace_each_other_whole(tmp_path: Path) -> None:
    folder = write_run(evaluation("json", ["x"]), tmp_path)
    there = {path.name for path in folder.iterdir()}
    judge(folder, may_ship=True)
    judge(folder, may_ship=False)
    assert {path.name for path in folder.iterdir()} == there | {"verdicts.json"}
    assert (read_verdicts(folder) or {})["may_ship"] is False


@pytest.mark.parametrize("old", ['"may_ship": false', '"verdicts_sha256": "'])
def test_verdicts_that_were_edited_are_not_believed(tmp_path: Path, old: str) -> None:
    folder = write_run(evaluation("json", ["x"]), tmp_path)
    judge(folder, may_ship=False)
    path = folder / "verdicts.json"
    whole = path.read_text()
    assert old in whole
    path.write_text(whole.replace(old, old.replace("false", "true").replace('_sha256": "', '": "')))
    with pytest.raises(EvidenceError, match=r"was changed|has no hash"):
        read_verdicts(folder)


def rehash(folder: Path, **changes: object) -> None:
    """What somebody does who edits a run and knows of its hashes."""
    predictions = (folder / "predictions.jsonl").read_bytes()
    record = json.loads((folder / "record.json").read_text()) | changes
    record["predictions_sha256"] = hashlib.sha256(predictions).hexdigest()
    del record["record_sha256"]
    digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
    (folder / "record.json").write_text(json.dumps(record | {"record_sha256": digest}))


def test_verdicts_on_another_record_are_not_believed(tmp_path: Path) -> None:
    folder = write_run(evaluation("json", ["x"]), tmp_path)
    judge(folder)
    rehash(folder, note="y")
    assert read_run(folder).record.to_json()["note"] == "y"
    with pytest.raises(EvidenceError, match=r"of another record\.json"):
        read_verdicts(folder)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"fields": {"folder": "Work"', '"fields": {"folder": "Personal"', "not read as the row"),
        ('{"failure": "no_answer"', '{"failure": "empty"', "not read as the row"),
        ('"labels": {"folder": "Work"', '"labels": {"folder": "Alerts"', "other inputs or labels"),
        ("an input", "another input", "other inputs or labels"),
    ],
)
def test_an_edited_row_is_refused_though_every_hash_was_made_anew(
    tmp_path: Path, old: str, new: str, why: str
) -> None:
    right = '{"folder": "Work", "priority": 3}'
    folder = write_run(evaluation("json", [right, "nothing"]), tmp_path)
    path = folder / "predictions.jsonl"
    whole = path.read_text()
    assert old in whole
    path.write_text(whole.replace(old, new))
    rehash(folder)
    with pytest.raises(EvidenceError, match=why):
        read_for_judging(folder)


def test_rows_that_are_gone_are_missed_though_every_hash_was_made_anew(tmp_path: Path) -> None:
    right = '{"folder": "Work", "priority": 3}'
    folder = write_run(evaluation("json", [right, "nothing"]), tmp_path)
    path = folder / "predictions.jsonl"
    path.write_text(path.read_text().splitlines(keepends=True)[0])
    rehash(folder, rows=1)
    assert len(read_run(folder).rows) == 1
    with pytest.raises(EvidenceError, match="other inputs or labels"):
        read_for_judging(folder)
    rehash(folder, rows=1, unanswered={"1": "the server was gone"})
    assert len(read_for_judging(folder).rows) == 1


def test_json_that_is_nested_too_deep_is_no_run_and_no_verdict(tmp_path: Path) -> None:
    folder = write_run(evaluation("json", ["x"]), tmp_path)
    (folder / "verdicts.json").write_text("[" * 100_000)
    with pytest.raises(EvidenceError, match="nested too deep"):
        read_verdicts(folder)
    (folder / "record.json").write_text("[" * 100_000)
    for read in (read_run, read_subject):
        with pytest.raises(UserError, match="not a run: it is nested too deep"):
            read(folder)


def test_a_killed_baseline_set_loses_neither(tmp_path: Path) -> None:
    """Killed between its renames: the one that was there is put back, and is not in the way."""
    folder = write_run(evaluation("json", ["x"]), tmp_path)
    kept = tmp_path / BASELINES / "good"
    copy_run(folder, kept)
    kept.rename(kept.with_name(".good.old"))
    assert read_run(find_run("good", tmp_path)).rows[0].completion.text == "x"
    kept.rename(kept.with_name(".good.old"))
    assert baseline_folders(tmp_path) == [kept]
    # Killed after the second rename: the new one counts, and the old one goes.
    shutil.copytree(kept, kept.with_name(".good.old"))
    assert baseline_folders(tmp_path) == [kept]
    assert {path.name for path in kept.parent.iterdir()} == {"good", ".good.lock"}


def test_a_part_of_a_run_is_bound_to_its_verdicts(tmp_path: Path) -> None:
    folder = write_run(evaluation("json", ["x"]), tmp_path)
    other = evaluation("labels", ["payment"])
    with pytest.raises(UserError, match="is not a run"):
        read_part(folder, "other")
    write_evaluation_part(folder, "other", other)
    assert read_run(folder / ASKED / "other").rows == other.rows
    write_part(folder, "probes", RunRecord(system="x"), [{"id": "a"}, {"id": "b"}])
    record, rows = read_part(folder, "probes")
    assert (record.system, record.rows, rows) == ("x", 2, [{"id": "a"}, {"id": "b"}])
    write_verdicts(folder, {"predictions_sha256": read_run(folder).record.predictions_sha256})
    assert read_verdicts(folder)
    write_part(folder, "probes", RunRecord(system="x"), [{"id": "a"}])
    with pytest.raises(EvidenceError, match="other answers"):
        read_verdicts(folder)
    path = folder / ASKED / "probes" / "predictions.jsonl"
    path.write_bytes(path.read_bytes().replace(b"a", b"c"))
    with pytest.raises(EvidenceError, match="changed after the run"):
        read_part(folder, "probes")
