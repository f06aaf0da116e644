"""Rows to be classified: inputs without labels, read at the paths where a task's rows have them."""

from __future__ import annotations

import sys

from evalkit.data.loading import BadRow, OnBadRow
from evalkit.data.rows import RowFault, row_reader
from evalkit.data.sources import read_json_lines, read_source
from evalkit.errors import UserError
from evalkit.records import Example
from evalkit.tasks import Task

STDIN = "-"


def load_questions(
    source: str, task: Task, *, on_bad_row: OnBadRow = "stop"
) -> tuple[list[Example], list[BadRow]]:
    """Read the id and the inputs of each row; what else a row has is left alone.

    Args:
        source: as `load_dataset` takes it, or `-` for JSON lines from standard input.
        task: says where a row keeps its inputs.
        on_bad_row: `stop` at the first row without inputs, or `skip` such rows and list them.

    Returns examples without labels, and the rows that were skipped.

    Raises:
        UserError: the source cannot be read or holds no rows, or a row is bad (under `stop`).
    """
    raw = (
        read_json_lines(sys.stdin.buffer, "standard input")
        if source == STDIN
        else read_source(source, "test")
    )
    if not raw.rows:
        raise UserError(f"{source} holds no rows. Put at least one into it.")
    reader = row_reader(task, is_table=raw.is_table, is_text=raw.is_text)
    asked: list[Example] = []
    skipped: list[BadRow] = []
    for row in raw.rows:
        try:
            asked.append(reader.question(row))
        except RowFault as fault:
            if on_bad_row == "stop":
                raise UserError(
                    f"{row.where}: {fault} Mend the row, or pass --on-bad-row skip to leave out "
                    "rows like it."
                ) from None
            skipped.append(BadRow(row.where, str(fault)))
    return asked, skipped
