"""Files gone through line by line, each line as it is."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit.data.row_files import open_row_file, open_task_rows
from evalkit.data.sources import read_source
from evalkit.errors import UserError

cells = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r"), max_size=8)


def test_json_lines_stand_as_they_are(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{ "a":1 }\r\n\n  {"b": "\\u00e9"}\n{broken\n{"c": 3}')
    lines = list(open_row_file(str(path), "clean").lines())
    assert [line.raw for line in lines] == [
        b'{ "a":1 }',
        b'  {"b": "\\u00e9"}',
        b"{broken",
        b'{"c": 3}',
    ]
    assert [line.row.number for line in lines] == [1, 3, 4, 5]
    assert lines[2].row.content is None


@given(st.lists(st.tuples(cells, cells), max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_csv_rows_are_those_of_the_whole_file_and_can_be_put_together_again(tmp_path, table):
    path = tmp_path / "rows.csv"
    quoted = [
        "{},{}".format(*('"' + cell.replace('"', '""') + '"' for cell in row)) for row in table
    ]
    text = "\n".join(['"prompt",output', *quoted]) + "\n"
    path.write_bytes(text.encode())
    file = open_row_file(str(path), "clean")
    lines = list(file.lines())
    assert [line.row for line in lines] == list(read_source(str(path), "test").rows)
    if len(lines) == len(table):  # rows that are blank are left out
        again = b"".join(raw + b"\n" for raw in (file.header, *(line.raw for line in lines)))
        assert again == text.encode()


def test_a_task_is_found_by_trying(write, row):
    assert open_task_rows(write(row(1), row(2, priority=5)), "clean").task.name == (
        "notifications-5level"
    )
    mostly = [{"prompt": "pay", "output": ["payment"]}, row(1), {"prompt": "x", "output": ["none"]}]
    assert open_task_rows(write(*mostly), "clean").task.name == "intents"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("hf:someone/something", "Save the rows as JSON lines first"),
        ("rows.parquet", "Save the rows as JSON lines first"),
        ("nothing.jsonl", "There is no file"),
        ("{empty}", "holds no rows"),
        ("{strange}", "No known task reads any of the first 1 rows"),
    ],
)
def test_what_cannot_be_opened(tmp_path, source, message):
    (tmp_path / "empty.jsonl").write_text("\n")
    (tmp_path / "strange.jsonl").write_text('{"a": 1}\n')
    source = source.format(empty=tmp_path / "empty.jsonl", strange=tmp_path / "strange.jsonl")
    with pytest.raises(UserError, match=message):
        open_task_rows(source, "clean")


def test_a_file_that_changes_meanwhile_is_refused(write, tmp_path):
    path = write({"prompt": "pay", "output": ["payment"]})
    rows = open_task_rows(path, "clean")
    with open(path, "a") as file:  # noqa: PTH123
        file.write("\n")
    with pytest.raises(UserError, match="changed while it was read"):
        list(rows.read())


def test_bad_rows_and_repeated_ids_stop_or_are_skipped(write):
    rows = [
        {"id": 1, "prompt": "pay", "output": ["payment"]},
        {"id": 1, "prompt": "top up", "output": ["payment"]},
        {"prompt": "sign in"},
        {"prompt": "bye", "output": ["none"]},
    ]
    found = open_task_rows(write(*rows), "split")
    with pytest.raises(UserError, match=r":2: id '1' is already at"):
        list(found.read_examples("stop"))
    kept = [example.id for _, example in found.read_examples("skip")]
    assert kept == ["1", "row-000004"]


def test_what_a_row_is_written_as(tmp_path, write):
    content = {"prompt": "支付\n", "output": ["payment"]}
    written = open_row_file(write(content), "remap").write(content)
    assert json.loads(written) == content
    assert "支付".encode() in written
    path = tmp_path / "rows.csv"
    path.write_text("prompt,,output\n")
    assert open_row_file(str(path), "remap").write({"output": "a,b", "prompt": "x"}) == b'x,,"a,b"'
