"""No text of a table becomes a formula, and each comes back as it was."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.data.row_files import open_row_file
from evalkit.data.sources import read_source
from evalkit.data.spreadsheets import inert, original
from evalkit.data.tables import write_records

TEXTS = (
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "＝1",
    "'=1",
    "''-1",
    "'quoted'",
    "1",
)


@given(st.text(alphabet="'=+-@\t\r\n＝a "))
def test_no_text_begins_like_a_formula_and_each_comes_back(text: str) -> None:
    assert not inert(text).startswith(tuple("=+-@\t\r\n＝＋－＠"))
    assert original(inert(text)) == text


@pytest.mark.parametrize("starts", [("inputs", "values"), ("input", "corrected")])
def test_what_is_written_for_spreadsheets_is_read_as_it_was(
    starts: tuple[str, str], tmp_path: Path
) -> None:
    path, (asked, said) = tmp_path / "rows.csv", starts
    records = [{"id": text, asked: {"a": text}, said: {"b": [text, text]}} for text in TEXTS]
    write_records(path, records, ending=".csv")
    with path.open(encoding="utf-8", newline="") as file:
        cells = [cell for row in list(csv.reader(file))[1:] for cell in row]
    assert [cell for cell in cells if cell[0] in "=+-@\t\r\n＝"] == []
    rows = [{"id": text, f"{asked}.a": text, f"{said}.b": f"{text}, {text}"} for text in TEXTS]
    assert [row.content for row in read_source(str(path), "test").rows] == rows
    # What the commands that rewrite rows make of them is the same again.
    file_ = open_row_file(str(path), "remap")
    again = [file_.write(line.row.content or {}) for line in file_.lines()]
    assert b"\r\n".join([file_.header, *again, b""]) == path.read_bytes()


def test_a_table_of_somebody_elses_is_read_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,text\n1,'-tis\n")
    (row,) = read_source(str(path), "test").rows
    assert row.content == {"id": "1", "text": "'-tis"}
