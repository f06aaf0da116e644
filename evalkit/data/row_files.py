"""Files of rows gone through line by line, as often as needed, and with each line as it is.

The commands that write rows read them so: what they keep is written byte for byte, and the file
need not fit into memory.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Generic, TypeVar

from evalkit.data.mappings import AUTO, choose_schemes
from evalkit.data.quoting import shown_error
from evalkit.data.rows import RowFault, RowReader, row_reader
from evalkit.data.sources import (
    RawRow,
    RawRows,
    check_file,
    csv_columns,
    csv_records,
    csv_row,
    parse_json_line,
    refuse_wide_unicode,
)
from evalkit.data.spreadsheets import inert, is_inert
from evalkit.errors import UserError
from evalkit.records import Example
from evalkit.tasks import Task, known_tasks, load_task

ENDINGS = (".jsonl", ".ndjson", ".csv")
_ROWS_TRIED = 1000
"""So many rows decide which task a file is of."""


@dataclass(frozen=True, slots=True)
class Line:
    """A row and what is in the file for it."""

    row: RawRow
    raw: bytes
    """As it stands, without the line break at its end."""


@dataclass(frozen=True, slots=True)
class RowFile:
    """A JSON-lines or CSV file."""

    source: str
    """As the user gave it."""
    path: Path
    columns: tuple[str, ...] = ()
    """Of a CSV file, as its header names them."""
    header: bytes = b""
    """The header's line."""
    state: tuple[int, int] = (0, 0)
    """Size and time of change when it was opened."""

    @property
    def is_csv(self) -> bool:
        """Whether rows are cells under columns."""
        return self.path.suffix.lower() == ".csv"

    @property
    def is_table(self) -> bool:
        """Whether a column may be named by a path's last part."""
        return self.is_csv

    @property
    def is_text(self) -> bool:
        """Whether every cell is text."""
        return self.is_csv

    def lines(self) -> Iterator[Line]:
        """Go through the file.

        Raises `UserError` where it cannot be read, or is no longer what it was when opened.
        """
        try:
            if self.is_csv:
                yield from self._csv_lines()
            else:
                yield from self._json_lines()
            if _state(self.path) != self.state:
                raise UserError(f"{self.source} changed while it was read. Start again.")
        except OSError as error:
            raise UserError(f"{self.source} cannot be read: {shown_error(error)}") from error

    def rows(self) -> Iterator[RawRow]:
        """Go through the rows alone."""
        return (line.row for line in self.lines())

    def write(self, content: Mapping[str, object]) -> bytes:
        """Return a row's content as this file would have it, without a line break."""
        if not self.is_csv:
            return json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass")
        out = io.StringIO()
        cells = [content.get(name, "") if name else "" for name in self.columns]
        if is_inert(self.columns):
            cells = [inert(cell) if isinstance(cell, str) else cell for cell in cells]
        csv.writer(out).writerow(cells)
        # Line breaks in a cell are quoted where they are among those that end a row.
        return out.getvalue().removesuffix("\r\n").encode()

    def _json_lines(self) -> Iterator[Line]:
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if number == 1:
                    refuse_wide_unicode(line, self.source)
                    line = line.removeprefix(codecs.BOM_UTF8)
                if line.strip():
                    content, fault = parse_json_line(line)
                    row = RawRow(number, f"{self.source}:{number}", content, fault)
                    yield Line(row, line.rstrip(b"\r\n"))

    def _csv_lines(self) -> Iterator[Line]:
        with self.path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            taken: list[str] = []
            records = csv_records(_recorded(file, taken))
            next(records)
            taken.clear()
            for number, cells in records:
                raw = "".join(taken).strip("\r\n").encode("utf-8", "surrogateescape")
                taken.clear()
                yield Line(csv_row(number, f"{self.source}:{number}", self.columns, cells), raw)


def open_row_file(source: str, command: str) -> RowFile:
    """Open a JSON-lines or CSV file for a command that writes what it reads.

    Raises `UserError` where there is none, or the source is of another kind.
    """
    path = Path(source)
    if source.startswith("hf:") or path.suffix.lower() == ".parquet":
        raise UserError(
            f"{source}: `evalkit data {command}` writes lines as they are, and so reads "
            f"{', '.join(ENDINGS)}. Save the rows as JSON lines first."
        )
    check_file(path, source, ENDINGS)
    try:
        state = _state(path)
        if path.suffix.lower() != ".csv":
            return RowFile(source, path, state=state)
        with path.open("rb") as start:
            refuse_wide_unicode(start.read(4), source)
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            taken: list[str] = []
            columns = csv_columns(csv_records(_recorded(file, taken)), source)
            header = "".join(taken).strip("\r\n").encode("utf-8", "surrogateescape")
            return RowFile(source, path, tuple(columns), header, state)
    except OSError as error:
        raise UserError(f"{source} cannot be read: {shown_error(error)}") from error


@dataclass(frozen=True, slots=True)
class LoadedRows:
    """Rows of a source that is not a file of lines, all of them in memory."""

    source: str
    raw: RawRows

    @property
    def is_table(self) -> bool:
        """Whether a column may be named by a path's last part."""
        return self.raw.is_table

    @property
    def is_text(self) -> bool:
        """Whether every cell is text."""
        return self.raw.is_text

    def lines(self) -> Iterator[Line]:
        """Go through the rows; no line stands for them."""
        return (Line(row, b"") for row in self.raw.rows)

    def rows(self) -> Iterator[RawRow]:
        """Go through the rows alone."""
        return iter(self.raw.rows)


F = TypeVar("F", bound=RowFile | LoadedRows)


@dataclass(frozen=True, slots=True)
class TaskRows(Generic[F]):
    """Rows, and the task they are read as."""

    file: F
    task: Task
    reader: RowReader
    schemes: Mapping[str, str]
    """Field name -> the scheme its labels are on; other fields are read as they are."""
    notes: tuple[str, ...] = ()
    """Choices made for the user, each a sentence."""

    def read(self) -> Iterator[tuple[Line, Example | RowFault]]:
        """Go through the file; each line with its example, or why it is none."""
        for line in self.file.lines():
            try:
                yield line, self.reader.example(line.row, self.schemes)
            except RowFault as fault:
                yield line, fault

    def read_examples(self, on_bad_row: str) -> Iterator[tuple[Line, Example]]:
        """Go through the rows that are examples.

        Raises `UserError` at the first that is none, or whose id exists already; `on_bad_row`
        `skip` passes over those.
        """
        seen: dict[str, str] = {}
        for line, found in self.read():
            if isinstance(found, Example) and found.id in seen:
                found = RowFault(f"id {found.id!r} is already at {seen[found.id]}.")
            if isinstance(found, Example):
                seen[found.id] = line.row.where
                yield line, found
            elif on_bad_row == "stop":
                raise UserError(
                    f"{line.row.where}: {found} Mend the row, run `evalkit data clean`, or pass "
                    "--on-bad-row skip to leave out rows like it."
                )


def open_task_rows(
    source: str, command: str, task: str | Task | None = None, mapping: str = AUTO
) -> TaskRows[RowFile]:
    """Open a file as rows of a task; without one, of the built-in task that reads most of it.

    Raises `UserError` where the file cannot be read, holds no rows, or no task reads them.
    """
    return read_as(open_row_file(source, command), task, mapping)


def read_as(
    file: F, task: str | Task | None, mapping: str, notes: tuple[str, ...] = ()
) -> TaskRows[F]:
    """Read rows as those of a task; without one, as those of the built-in task that reads most.

    Raises `UserError` where there are no rows, or no task reads them.
    """
    if not any(True for _ in islice(file.rows(), 1)):
        raise UserError(f"{file.source} holds no rows. Put at least one labelled row into it.")
    if not isinstance(task, Task):
        task = load_task(task) if task else _choose_task(file)
    reader = _reader(task, file)

    def count(name: str) -> Counter[str | int]:
        return reader.count_values(file.rows(), name)

    schemes, more = choose_schemes(task, mapping, count)
    return TaskRows(file, task, reader, schemes, (*notes, *more))


def _choose_task(file: RowFile | LoadedRows) -> Task:
    """Return the built-in task that reads most rows as they are."""
    counts: dict[str, int] = {}
    tried = list(islice(file.rows(), _ROWS_TRIED))
    # Of tasks that read as many, the one without other label schemes.
    tasks = sorted(known_tasks(), key=_schemes)
    best = tasks[0]
    for task in tasks:
        reader = _reader(task, file)
        counts[task.name] = sum(_is_example(row, reader) for row in tried)
        if counts[task.name] > counts[best.name]:
            best = task
    if not counts[best.name]:
        raise UserError(
            f"No known task reads any of the first {len(tried):,} rows of {file.source}. Name "
            "the task with --task; the path of your own .toml file will do."
        )
    return best


def _reader(task: Task, file: RowFile | LoadedRows) -> RowReader:
    names = file.raw.class_names if isinstance(file, LoadedRows) else {}
    return row_reader(task, is_table=file.is_table, is_text=file.is_text, class_names=names)


def _schemes(task: Task) -> int:
    return sum(len(field.mappings) for field in task.fields.values())


def _is_example(row: RawRow, reader: RowReader) -> bool:
    try:
        reader.example(row, {})
    except RowFault:
        return False
    return True


def _recorded(lines: Iterable[str], taken: list[str]) -> Iterator[str]:
    for line in lines:
        taken.append(line)
        yield line


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns
