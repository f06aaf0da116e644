"""Where rows come from: JSON lines, CSV, Parquet and the Hugging Face hub.

A source gives raw rows and knows nothing of tasks. pyarrow and datasets are imported where
they are needed, so that reading JSON lines or CSV starts at once.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

from evalkit.data.quoting import shown, shown_error, type_of
from evalkit.data.spreadsheets import is_inert, original
from evalkit.errors import UserError, did_you_mean
from evalkit.locale import say

_HUB = re.compile(
    r"hf:(?P<name>\w[\w.-]*(?:/\w[\w.-]*)?)(?:@(?P<revision>[^:\s]+))?(?::(?P<split>.+))?"
)
_WIDE = {
    "UTF-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    "UTF-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
}
"""Marks of the byte order, the longer before those that begin like them."""
MOST_UNFOLDED = 2**31
"""Bytes of values in a Parquet file, whose pages may repeat one large value a million times."""
ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
LONGEST_CELL = 2**31 - 1
_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as its source has it."""

    number: int
    """Counted from 1: the line in JSON lines and CSV, the position elsewhere."""
    where: str
    """How to find the row again, such as `train.jsonl:278`."""
    content: Mapping[str, object] | None
    """None where the row could not be read."""
    fault: str = ""
    """Why it could not be read, and what to do."""


@dataclass(frozen=True, slots=True)
class RawRows:
    """All rows of a source, and how the source writes them."""

    rows: tuple[RawRow, ...]
    is_table: bool = False
    """Whether rows are flat, so that a column may be named by a path's last part."""
    is_text: bool = False
    """Whether every cell is text: numbers are digits, and an empty cell may mean null."""
    notes: tuple[str, ...] = ()
    """Choices made for the user, to be shown."""
    class_names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Column -> the names that its numbers stand for (ClassLabel of `datasets`)."""


def read_source(source: str, prefer_split: str) -> RawRows:
    """Read every row of a local file or of a hub dataset `hf:owner/name[@revision][:split]`.

    Raises `UserError` where the source cannot be found, reached or read at all; a single row
    that cannot be read becomes a `RawRow` with a fault.
    """
    if source.startswith("hf:"):
        return _read_hub(source, prefer_split)
    path = Path(source)
    readers: dict[str, Callable[[Path, str], RawRows]] = {
        ".jsonl": _read_jsonl,
        ".ndjson": _read_jsonl,
        ".json": _read_json,
        ".csv": _read_csv,
        ".tsv": partial(_read_csv, delimiter="\t"),
        ".parquet": _read_parquet,
    }
    packed = path.suffix.lower() == ".gz"
    check_file(path, source, [*readers, *([".gz"] if packed else ())])
    ending = (path.with_suffix("") if packed else path).suffix.lower()
    if ending not in readers or (packed and ending == ".parquet"):
        raise UserError(
            f"{source}: pack .jsonl, .json, .csv or .tsv with gzip, as in rows.jsonl.gz."
        )
    try:
        return readers[ending](path, source)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{source} cannot be read: {shown_error(error)}") from error


def rows_beside(path: Path) -> Path | None:
    """A file of rows of the same name but for its ending."""
    near = (path.with_suffix(ending) for ending in ENDINGS)
    return next((found for found in near if found.is_file()), None)


def check_file(path: Path, source: str, endings: Iterable[str]) -> None:
    """Raise `UserError` where there is no such file, or its ending is not one of those."""
    known = f"evalkit reads {', '.join(endings)} and hf:owner/name[:split]."
    if path.is_dir():
        raise UserError(f"{source} is a folder. Give a file in it; {known}")
    if not path.is_file():
        if not path.parent.is_dir():
            raise UserError(f"There is no file {source}: its folder {path.parent} does not exist.")
        if path.exists():
            raise UserError(f"{source} is a device or a pipe. Give a file; {known}")
        near = did_you_mean(path.name, (p.name for p in path.parent.iterdir() if p.is_file()))
        if same := rows_beside(path):
            near = f" Did you mean '{same.name}'?"
        raise UserError(f"There is no file {source}.{near}")
    if path.suffix.lower() not in endings:
        raise UserError(f"{source}: no reader for files ending in '{path.suffix}'; {known}")


# --- JSON lines ---------------------------------------------------------------------------


def _read_jsonl(path: Path, source: str) -> RawRows:
    # Bytes split at \n alone; str.splitlines would also split at U+2028 inside a string.
    with _open(path) as file:
        return read_json_lines(file, source)


def read_json_lines(lines: Iterable[bytes], source: str) -> RawRows:
    """Read rows from JSON lines as they come, such as those of standard input."""
    return RawRows(tuple(_jsonl_rows(lines, source)))


def _open(path: Path) -> BinaryIO:
    """Open a file, unpacking it where its name ends in .gz."""
    if path.suffix.lower() == ".gz":
        return cast("BinaryIO", gzip.open(path, "rb"))
    return path.open("rb")


def _read_json(path: Path, source: str) -> RawRows:
    """Read a list of objects; a file of JSON lines under this name is read as such."""
    with _open(path) as file:
        raw = file.read()
    refuse_wide_unicode(raw, source)
    raw = raw.removeprefix(codecs.BOM_UTF8)
    if not raw.lstrip().startswith(b"["):
        return RawRows(tuple(_jsonl_rows(io.BytesIO(raw), source)))
    try:
        members = json.loads(raw, object_pairs_hook=_refuse_repeated_keys)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{source}: not valid JSON ({error}).") from error
    return RawRows(
        tuple(
            RawRow(number, f"{source} row {number}", member)
            if isinstance(member, dict)
            else RawRow(number, f"{source} row {number}", None, f"{type_of(member)}, no object.")
            for number, member in enumerate(members, start=1)
        )
    )


def _jsonl_rows(lines: Iterable[bytes], source: str) -> Iterator[RawRow]:
    for number, line in enumerate(lines, start=1):
        if number == 1:
            refuse_wide_unicode(line, source)
            line = line.removeprefix(codecs.BOM_UTF8)
        if not line.strip():
            continue
        content, fault = parse_json_line(line)
        yield RawRow(number, f"{source}:{number}", content, fault)


def refuse_wide_unicode(start: bytes, source: str) -> None:
    """Raise `UserError` for a file that starts as UTF-32 or UTF-16 does."""
    for name, marks in _WIDE.items():
        if start.startswith(marks):
            raise UserError(f"{source} is {name}. Save it as UTF-8.")


def parse_json_line(line: bytes) -> tuple[dict[str, object] | None, str]:
    """Return a line's object, or None and what is wrong with it."""
    try:
        text = line.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        return None, f"not valid UTF-8 at byte {error.start + 1}. Save the file as UTF-8."
    try:
        content = json.loads(text, object_pairs_hook=_refuse_repeated_keys)
    except json.JSONDecodeError as error:
        return None, f"not valid JSON ({error.msg} at column {error.colno}).{_json_hint(text)}"
    except (ValueError, RecursionError) as error:
        return None, f"not valid JSON ({error})."
    if not isinstance(content, dict):
        return None, f"{type_of(content)}, not an object. Write one JSON object per line."
    return content, ""


def _refuse_repeated_keys(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    # json would keep the last one, and nobody would know that a row says two things.
    content = {sys.intern(key): value for key, value in pairs}  # rows share their keys
    if len(content) < len(pairs):
        ((key, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"key {shown(key)} appears twice")
    return content


def _json_hint(text: str) -> str:
    opened, closed = text.count("{"), text.count("}")
    if text.startswith("["):
        return " Write one JSON object per line, not one list."
    if opened != closed:
        missing = "}" if opened > closed else "{"
        return f" The line has {opened} '{{' and {closed} '}}': a '{missing}' seems to be missing."
    return ""


# --- CSV ----------------------------------------------------------------------------------


def _read_csv(path: Path, source: str, delimiter: str = ",") -> RawRows:
    with _open(path) as file:
        raw = file.read()
    refuse_wide_unicode(raw, source)
    # Bytes that are not UTF-8 become lone surrogates, so that only their own row is bad.
    text = raw.decode("utf-8-sig", errors="surrogateescape")
    records = csv_records(io.StringIO(text, newline=""), delimiter)
    columns = csv_columns(records, source)
    rows = [csv_row(line, f"{source}:{line}", columns, cells) for line, cells in records]
    return RawRows(tuple(rows), is_table=True, is_text=True)


def csv_columns(records: Iterator[tuple[int, list[str] | str]], source: str) -> list[str]:
    """Take the header off the records and return the columns' names.

    Raises `UserError` where there is none that can be read.
    """
    line, header = next(records, (0, []))
    if isinstance(header, str):
        raise UserError(f"{source}:{line}: the header cannot be read: {header}")
    columns = [name.strip() for name in header]
    if len(columns) == 1 and re.search(r"[;\t|]", columns[0]):
        raise UserError(
            f"{source}:{line}: one column, {shown(columns[0])}. Separate columns with commas."
        )
    _check_columns(columns, f"{source}:{line}")
    return columns


def csv_records(
    lines: Iterable[str], delimiter: str = ","
) -> Iterator[tuple[int, list[str] | str]]:
    """Yield each record's first line and its cells, or what is wrong; blank lines left out."""
    # Not strict, csv would take everything after a forgotten quote for one cell, silently.
    reader = csv.reader(lines, strict=True, delimiter=delimiter)
    csv.field_size_limit(LONGEST_CELL)  # 131,072 characters otherwise
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            lines = f"lines {line}-{reader.line_num}" if reader.line_num > line else f"line {line}"
            yield line, f"not valid CSV in {lines} ({error}). Check the quotes that open there."
            continue
        if len(cells) > 1 or "".join(cells).strip():
            yield line, cells


def csv_row(line: int, where: str, columns: Sequence[str], cells: list[str] | str) -> RawRow:
    """Return a record as a row; bytes that are not UTF-8 have become lone surrogates."""
    if isinstance(cells, str):
        return RawRow(line, where, None, cells)
    if any(_ESCAPED_BYTE.search(cell) for cell in cells):
        return RawRow(line, where, None, "not valid UTF-8. Save the file as UTF-8.")
    if len(cells) != len(columns):
        fault = f"{len(cells)} cells under {len(columns)} columns. Quote cells that hold commas."
        return RawRow(line, where, None, fault)
    if any(cell.startswith("'") for cell in cells) and is_inert(columns):
        cells = [original(cell) for cell in cells]
    # A column without a name is an index that some tool wrote; no path can lead to it.
    named = {name: cell for name, cell in zip(columns, cells, strict=True) if name}
    return RawRow(line, where, named)


def _check_columns(columns: Sequence[str], where: str) -> None:
    twice = [name for name, count in Counter(columns).items() if name and count > 1]
    if twice:
        raise UserError(f"{where}: column {shown(twice[0])} appears twice. Rename one of the two.")


# --- Parquet and the hub ------------------------------------------------------------------


def _read_parquet(path: Path, source: str) -> RawRows:
    import pyarrow as pa  # type: ignore[import-untyped]  # ships no types
    import pyarrow.parquet as pq  # type: ignore[import-untyped]  # ships no types

    rows: list[dict[str, Any]] = []
    unfolded = 0
    try:
        file = pq.ParquetFile(path)
        _check_columns(file.schema_arrow.names, source)
        for batch in file.iter_batches(batch_size=_rows_at_once(file.metadata)):
            columns = [
                c.dictionary_decode() if pa.types.is_dictionary(c.type) else c
                for c in batch.columns
            ]
            unfolded += sum(column.nbytes for column in columns)
            if unfolded > MOST_UNFOLDED:
                raise UserError(
                    f"{source} unfolds to more than {MOST_UNFOLDED:,} bytes. Give a part of it."
                )
            rows += batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{source} cannot be read as Parquet: {error}") from error
    names = class_names(_features(file.schema_arrow.metadata or {}))
    return RawRows(_numbered(rows, source), is_table=True, class_names=names)


def _rows_at_once(metadata: Any) -> int:
    """So many rows that, however large each value, they are no more than may be unfolded."""
    groups = [metadata.row_group(n) for n in range(metadata.num_row_groups)]
    sizes: list[int] = [
        g.column(n).total_uncompressed_size for g in groups for n in range(g.num_columns)
    ]
    return max(1, min(4096, MOST_UNFOLDED // max([1, *sizes])))


def _features(metadata: Mapping[bytes, bytes]) -> Mapping[str, Any]:
    """Return what `datasets` says of the columns in a file's metadata, if it does."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError):
        return {}
    return features if isinstance(features, dict) else {}


def class_names(features: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the names of each ClassLabel column, or of a list of them."""
    found = {}
    for column, feature in features.items():
        inner = feature.get("feature", feature) if isinstance(feature, dict) else feature
        names = inner.get("names") if isinstance(inner, dict) else None
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            found[column] = names
    return found


def _read_hub(source: str, prefer_split: str) -> RawRows:
    match = _HUB.fullmatch(source)
    if match is None:
        raise UserError(f"{source}: write hub datasets as hf:owner/name[@revision][:split].")
    name, revision, split = match["name"], match["revision"], match["split"]
    # The hub client wraps several network libraries, each with errors of its own; whatever
    # went wrong, the user's way out is the same.
    try:
        import datasets  # type: ignore[import-untyped]  # ships no types

        splits = [] if split else datasets.get_dataset_split_names(name, revision=revision)
        taken = split or _choose_split(source, splits, prefer_split)
        loaded = datasets.load_dataset(name, split=taken, revision=revision)
        rows, names = loaded.to_list(), class_names(_plain(loaded))
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"{source} could not be loaded: {shown_error(error)} Check the name and the network, "
            "or download the file and give its path."
        ) from error
    where = f"hf:{name}{f'@{revision}' if revision else ''}:{taken}"
    taken_of = say("note.split", source=source, taken=taken, splits=", ".join(splits))
    notes = () if split else (taken_of,)
    return RawRows(_numbered(rows, where), is_table=True, notes=notes, class_names=names)


def _plain(loaded: Any) -> Mapping[str, Any]:
    """Return the features of a hub dataset as a file's metadata would have them."""
    features = getattr(loaded, "features", None)
    return features.to_dict() if features is not None else {}


def _choose_split(source: str, splits: Sequence[str], preferred: str) -> str:
    if preferred in splits:
        return preferred
    if len(splits) == 1:
        return splits[0]
    raise UserError(f"{source} has splits {', '.join(splits)}: choose one, as in {source}:NAME.")


def _numbered(rows: Iterable[Mapping[str, object]], source: str) -> tuple[RawRow, ...]:
    return tuple(
        RawRow(number, f"{source} row {number}", row) for number, row in enumerate(rows, start=1)
    )


def find_source(source: str, folder: Path) -> str:
    """A source's path as it can be opened from here; what is on the hub stays."""
    if source.startswith("hf:") or Path(source).is_absolute():
        return source
    beside = folder / source
    return str(beside) if beside.exists() else source


def shown_source(source: str) -> str:
    """A source as others may see it: a local path says nothing elsewhere."""
    return source if source.startswith("hf:") else Path(source).name
