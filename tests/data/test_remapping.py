"""Labels of one scheme written as those of another."""

import json

import pytest

from evalkit.data import load_dataset
from evalkit.data.remapping import count_changes, declared_changes, read_changes, remap
from evalkit.data.row_files import open_task_rows
from evalkit.data.rows import RowFault
from evalkit.errors import UserError


def remapped(path, task, *changes, mapping="auto"):
    rows = open_task_rows(path, "remap", task, "none" if changes else mapping)
    table = read_changes(rows.task, changes) or declared_changes(rows.task, rows.schemes)
    return [remap(line, rows, table) for line in rows.file.lines()]


def test_five_levels_become_three_and_all_else_stays(write, row, three_levels, tmp_path):
    path = write(*(row(n, priority=n) for n in range(1, 6)))
    found = remapped(path, "notifications-3level")
    assert [json.loads(each.raw)["classification"]["priority"] for each in found] == [1, 1, 2, 3, 3]
    assert json.loads(found[4].raw) == row(5, priority=3)
    assert count_changes(found)["priority"] == {
        ("1", "1"): 1, ("2", "1"): 1, ("3", "2"): 1, ("4", "3"): 1, ("5", "3"): 1
    }  # fmt: skip
    out = tmp_path / "out.jsonl"
    out.write_bytes(b"".join(each.raw + b"\n" for each in found))
    mapped = load_dataset(path, three_levels, mapping="five-level").examples
    assert load_dataset(str(out), three_levels, mapping="none").examples == mapped


def test_a_row_whose_labels_stay_keeps_its_line(write):
    line = '{ "prompt" : "pay\\u0021",  "output":["payment"]}'
    (found,) = remapped(write(line), "intents", "intents.Payments=payment")
    assert found.raw == line.encode()


def test_two_values_may_become_one(write):
    row = {"prompt": "pay", "output": ["login", "user_auth"], "more": 1}
    (found,) = remapped(write(row), "intents", "intents.login=user_auth")
    assert json.loads(found.raw) == {**row, "output": ["user_auth"]}


def test_csv_is_written_as_csv(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text('body,app,title,folder,priority\n"a, b",x,y,Jobs,2\nc,x,y,Work,1\n')
    first, second = remapped(str(path), "notifications-3level", "folder.Jobs=Work")
    assert (first.raw, second.raw) == (b'"a, b",x,y,Work,2', b"c,x,y,Work,1")


def test_a_label_the_task_does_not_have_afterwards_is_a_fault(write):
    with pytest.raises(RowFault, match="'refund' is not one of"):
        remapped(write({"prompt": "pay", "output": ["refund"]}), "intents", "intents.x=payment")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("folder", "takes FIELD.OLD=NEW"),
        ("folder.Job", "takes FIELD.OLD=NEW"),
        ("folder.=Work", "takes FIELD.OLD=NEW"),
        ("foldr.Job=Work", "Did you mean 'folder'?"),
        ("folder.Job=Wrok", "Did you mean 'Work'?"),
        ("priority.9=4", "'4' is not a value of 'priority'"),
    ],
)
def test_changes_that_make_no_sense(three_levels, change, message):
    with pytest.raises(UserError, match=message):
        read_changes(three_levels, [change])
    with pytest.raises(UserError, match="mapped twice"):
        read_changes(three_levels, ["folder.a=Work", "folder.a=Alerts"])
