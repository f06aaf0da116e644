"""Records written as JSON lines, CSV or Parquet, by the ending of the file's name."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evalkit.data.spreadsheets import inert
from evalkit.errors import UserError

Record = Mapping[str, Any]


def check_ending(path: Path) -> None:
    """Refuse a file that no writer is for.

    Raises:
        UserError: its name ends otherwise.
    """
    if path.suffix.lower() not in WRITERS:
        raise UserError(
            f"{path}: evalkit writes {', '.join(WRITERS)}; end its name in one of them."
        )


def write_records(path: Path, records: Sequence[Record], *, ending: str) -> None:
    """Write records into a file.

    JSON lines keep them as they are. A table has a column for each value within, named by its
    path (`values.priority`); in CSV a list is one cell, its members apart at commas, and no text is
    one that a spreadsheet takes for a formula.
    """
    WRITERS[ending.lower()](path, records)


def _write_json_lines(path: Path, records: Sequence[Record]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records)


def _write_csv(path: Path, records: Sequence[Record]) -> None:
    rows = [dict(_flat(record)) for record in records]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _columns(rows))
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)


def _write_parquet(path: Path, records: Sequence[Record]) -> None:
    import pyarrow as pa  # type: ignore[import-untyped]  # ships no types
    import pyarrow.parquet as pq  # type: ignore[import-untyped]  # ships no types

    rows = [dict(_flat(record)) for record in records]
    columns = {name: [row.get(name) for row in rows] for name in _columns(rows)}
    pq.write_table(pa.table(columns), path)


WRITERS: Mapping[str, Callable[[Path, Sequence[Record]], None]] = {
    ".jsonl": _write_json_lines,
    ".ndjson": _write_json_lines,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}


def _flat(record: Record, before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _columns(rows: Iterable[Record]) -> list[str]:
    """Every column that some row has, in the order in which they come up."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _cell(value: object) -> object:
    value = ", ".join(map(str, value)) if isinstance(value, list) else value
    return inert(value) if isinstance(value, str) else value
