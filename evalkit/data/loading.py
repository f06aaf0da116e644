"""From a source to a Dataset: rows read, bad rows stopped at or set aside, labels mapped."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from evalkit.data.mappings import AUTO, choose_schemes
from evalkit.data.rows import RowFault, RowReader, row_reader
from evalkit.data.sources import RawRow, read_source
from evalkit.errors import UserError, did_you_mean
from evalkit.locale import Note, say
from evalkit.records import Example
from evalkit.tasks import Task

OnBadRow = Literal["stop", "skip"]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is not an example of the task, left out on request."""

    where: str
    """`train.jsonl:278`, or `train.parquet row 278`."""
    why: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """Examples of one task, and what became of the rows they were read from."""

    source: str
    """As the user gave it."""
    examples: tuple[Example, ...]
    skipped: tuple[BadRow, ...]
    label_mappings: Mapping[str, str]
    """Field name -> the scheme its labels were mapped from; unmapped fields are not
    listed."""
    sha256: str
    """Of the examples' ids, inputs and labels, in order; hexadecimal."""
    notes: tuple[str, ...]
    """Choices made for the user, each a sentence to be shown: as a rule a `Note`."""
    left_out: int = 0
    """Rows of the source that a limit left unread."""
    split: str = "test"
    """`dev` for rows to choose by, on which nothing is released."""


def load_dataset(
    source: str,
    task: Task,
    *,
    on_bad_row: OnBadRow = "stop",
    mapping: str = AUTO,
    limit: int | None = None,
    prefer_split: str = "test",
    tags: Mapping[str, str] | None = None,
) -> Dataset:
    """Read labelled rows of a task.

    Args:
        source: a .jsonl, .ndjson, .csv or .parquet file, or `hf:owner/name[@revision][:split]`.
        task: says where a row keeps inputs and labels, and which values there are.
        on_bad_row: `stop` at the first bad row, or `skip` bad rows and list them.
        mapping: the labels' scheme: `auto`, `none` or one that the task declares. `auto`
            decides over the whole source, before `limit`.
        limit: take the first so many good rows; rows after them are not checked.
        prefer_split: the split of a hub dataset to take where `source` names none; a dataset
            with just one split gives that.
        tags: tag -> the path of a text that a row may have beside inputs and labels.

    Raises:
        UserError: the source cannot be read or gives no example, a row is bad (under `stop`),
            or an option is wrong.
    """
    _check_options(on_bad_row, limit)
    raw = read_source(source, prefer_split)
    rows, source_notes = deque(raw.rows), raw.notes
    if not rows:
        raise UserError(f"{source} holds no rows. Put at least one labelled row into it.")
    reader = row_reader(
        task,
        is_table=raw.is_table,
        is_text=raw.is_text,
        tags=tags,
        class_names=raw.class_names,
    )
    total = len(rows)
    del raw
    schemes, scheme_notes = choose_schemes(
        task, mapping, lambda name: reader.count_values(rows, name)
    )
    examples, skipped = _read_examples(_used_up(rows), reader, schemes, on_bad_row, limit)
    if not examples:
        raise UserError(
            f"{source}: all {total:,} rows are bad under task '{task.name}'. "
            f"The first: {skipped[0].where}: {skipped[0].why}"
        )
    examples, repeated = _numbered(examples)
    notes = [*source_notes, *scheme_notes]
    if repeated:
        notes.append(say("note.ids", source=source, n=repeated))
    notes += _row_notes(source, total, len(examples), skipped)
    return Dataset(
        source,
        examples,
        skipped,
        schemes,
        hash_examples(examples),
        notes=tuple(notes),
        left_out=total - len(examples) - len(skipped),
    )


def join_datasets(datasets: Sequence[Dataset]) -> Dataset:
    """Put data sets of one task behind each other.

    Ids are made unlike those of other data sets: `7` of the second becomes `2:7`. One data set
    comes back as it is.
    """
    if len(datasets) == 1:
        return datasets[0]
    examples = tuple(
        replace(example, id=f"{number}:{example.id}") if number > 1 else example
        for number, dataset in enumerate(datasets, start=1)
        for example in dataset.examples
    )
    return Dataset(
        source=", ".join(dataset.source for dataset in datasets),
        examples=examples,
        skipped=tuple(row for dataset in datasets for row in dataset.skipped),
        label_mappings={k: v for dataset in datasets for k, v in dataset.label_mappings.items()},
        sha256=hash_examples(examples),
        notes=tuple(note for dataset in datasets for note in dataset.notes),
        left_out=sum(dataset.left_out for dataset in datasets),
    )


def hash_examples(examples: Iterable[Example]) -> str:
    """Return the SHA-256 of examples' ids, inputs and labels, in order; hexadecimal."""
    digest = hashlib.sha256()
    for example in examples:
        content = {"id": example.id, "inputs": dict(example.inputs), "labels": dict(example.labels)}
        digest.update(json.dumps(content, sort_keys=True).encode())
        digest.update(b"\n")
    return digest.hexdigest()


def _check_options(on_bad_row: str, limit: int | None) -> None:
    if on_bad_row not in ("stop", "skip"):
        near = did_you_mean(on_bad_row, ("stop", "skip"))
        raise UserError(f"--on-bad-row is stop or skip, not '{on_bad_row}'.{near}")
    if limit is not None and limit < 1:
        raise UserError(f"A limit of {limit} leaves no rows. Give 1 or more.")


def _used_up(rows: deque[RawRow]) -> Iterator[RawRow]:
    """Let go of each row as it is read: raw rows take more memory than examples."""
    while rows:
        yield rows.popleft()


def _read_examples(
    rows: Iterable[RawRow],
    reader: RowReader,
    schemes: Mapping[str, str],
    on_bad_row: OnBadRow,
    limit: int | None,
) -> tuple[tuple[Example, ...], tuple[BadRow, ...]]:
    examples: list[Example] = []
    skipped: list[BadRow] = []
    for row in rows:
        if len(examples) == limit:
            break
        try:
            example = reader.example(row, schemes)
        except RowFault as fault:
            if on_bad_row == "stop":
                raise UserError(
                    f"{row.where}: {fault} Mend the row, or pass --on-bad-row skip to leave out "
                    "rows like it."
                ) from None
            skipped.append(BadRow(row.where, str(fault)))
        else:
            examples.append(example)
    return tuple(examples), tuple(skipped)


def _numbered(examples: Sequence[Example]) -> tuple[tuple[Example, ...], int]:
    """Tell rows of one id apart by a number behind it; return also how many there are."""
    taken = {example.id for example in examples}
    if len(taken) == len(examples):
        return tuple(examples), 0
    repeated = len(examples) - len(taken)
    seen: set[str] = set()
    numbered = []
    for example in examples:
        new, number = example.id, 1
        while new in seen or (number > 1 and new in taken):
            number += 1
            new = f"{example.id}#{number}"
        seen.add(new)
        numbered.append(replace(example, id=new))
    return tuple(numbered), repeated


def _row_notes(source: str, total: int, used: int, skipped: tuple[BadRow, ...]) -> list[Note]:
    notes = []
    if skipped:
        first = f"{skipped[0].where}: {skipped[0].why}"
        n = len(skipped)
        notes.append(say("note.skipped", source=source, n=n, all=total, first=first))
    if used + len(skipped) < total:
        notes.append(say("note.limited", source=source, n=used, all=total))
    return notes
