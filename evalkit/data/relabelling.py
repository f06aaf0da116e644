"""Corrections put into rows: what changes, and what does not hold together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from evalkit.data.corrections import Correction
from evalkit.data.paths import locate, replaced
from evalkit.data.remapping import as_written
from evalkit.data.row_files import Line, RowFile, TaskRows
from evalkit.data.rows import RowFault, RowReader, decode, row_reader
from evalkit.errors import UserError, did_you_mean
from evalkit.records import Example, Label
from evalkit.tasks import Field, FieldKind, Task

Key = tuple[str, str]
"""A row's id and a field."""


@dataclass(frozen=True, slots=True)
class Change:
    """One label that is another now."""

    id: str
    field: str
    before: Label
    after: Label
    by: tuple[str, ...]
    """Who says so; empty where the file does not tell."""


@dataclass(frozen=True, slots=True)
class Relabelled:
    """Rows under their corrected labels."""

    lines: Mapping[int, bytes]
    """Row number -> its line, of the rows that changed."""
    examples: Mapping[str, Example]
    """Id -> the row as it is now."""
    changes: tuple[Change, ...]
    confirmed: int
    """Labels that were looked at and stay."""
    disagreements: Mapping[Key, Sequence[Label]]
    """Labels on which those who looked at them do not agree; they stay as they are."""


def relabel(rows: TaskRows[RowFile], corrections: Sequence[Correction]) -> Relabelled:
    """Put corrections into the rows they are for.

    Raises:
        UserError: a correction is for a row, a field or a value that is not there, or for a row
            with other texts; or a label stands where none can be written.
    """
    read = list(rows.read_examples("stop"))
    known = {example.id: example for _, example in read}
    said = _by_label(rows, corrections, known)
    agreed = {key: next(iter(labels)) for key, labels in said.items() if len(labels) == 1}
    lines: dict[int, bytes] = {}
    changes: list[Change] = []
    for line, example in read:
        new = {n: agreed.get((example.id, n), label) for n, label in example.labels.items()}
        if new == example.labels:
            continue
        lines[line.row.number] = _rewritten(line, rows, example.labels, new)
        known[example.id] = replace(example, labels=new)
        changes += [
            Change(example.id, name, before, new[name], said[example.id, name][new[name]])
            for name, before in example.labels.items()
            if new[name] != before
        ]
    disagreements = {key: tuple(labels) for key, labels in said.items() if len(labels) > 1}
    return Relabelled(lines, known, tuple(changes), len(agreed) - len(changes), disagreements)


def _by_label(
    rows: TaskRows[RowFile], corrections: Iterable[Correction], known: Mapping[str, Example]
) -> dict[Key, dict[Label, tuple[str, ...]]]:
    """Who says what of each label."""
    # What a person typed is text, whatever kind of file the rows stand in.
    reader = row_reader(rows.task, is_table=False, is_text=True)
    said: defaultdict[Key, dict[Label, tuple[str, ...]]] = defaultdict(dict)
    for correction in corrections:
        _check_row(correction, known, rows)
        label = _read(correction, rows.task, reader)
        of_label = said[correction.id, correction.field]
        by = (correction.by,) if correction.by else ()
        of_label[label] = tuple(dict.fromkeys((*of_label.get(label, ()), *by)))
    return said


def _check_row(
    correction: Correction, known: Mapping[str, Example], rows: TaskRows[RowFile]
) -> None:
    example = known.get(correction.id)
    if example is None:
        near = did_you_mean(correction.id, known)
        raise UserError(
            f"{correction.where}: {rows.file.source} has no row '{correction.id}'.{near} Are these "
            "the rows that the mistakes were of?"
        )
    other = [
        name
        for name, text in example.inputs.items()
        if name in correction.inputs and not _same(text, str(correction.inputs[name]))
    ]
    if other:
        raise UserError(
            f"{correction.where}: in {rows.file.source} row '{correction.id}' has another "
            f"{other[0]}. Correct the rows that the mistakes were of."
        )


def _same(ours: str, theirs: str) -> bool:
    """Whether two texts are one, but for white space and an apostrophe that was kept or lost."""
    return ours.split() in (theirs.split(), theirs.removeprefix("'").split())


def _read(correction: Correction, task: Task, reader: RowReader) -> Label:
    name = correction.field
    try:
        if name not in task.fields:
            near = did_you_mean(name, task.fields)
            raise RowFault(f"task '{task.name}' has no field '{name}'.{near}")
        field = task.fields[name]
        content = {field.paths[0]: _plain(correction.label, field)}
        return decode(name, field, reader.raw_label(content, name), None)
    except RowFault as fault:
        raise UserError(f"{correction.where}, row '{correction.id}': {fault}") from None


def _plain(label: object, field: Field) -> object:
    """A label as a row would have it: one of a list of one, a level by its name."""
    if field.kind is FieldKind.MULTI_LABEL:
        return label
    if isinstance(label, list) and len(label) == 1:
        (label,) = label
    named = {value.name: value.value for value in field.values if value.name}
    return named.get(label.strip(), label) if isinstance(label, str) else label


def _rewritten(
    line: Line, rows: TaskRows[RowFile], before: Mapping[str, Label], after: Mapping[str, Label]
) -> bytes:
    content: Mapping[str, object] = line.row.content or {}
    for name, field in rows.task.fields.items():
        if after[name] == before[name]:
            continue
        if name in rows.schemes:
            raise UserError(
                f"{rows.file.source} has {name} on the scale '{rows.schemes[name]}', and the "
                "corrections are on the task's own. `evalkit data remap` writes the rows so first."
            )
        keys = locate(content, field.paths, rows.reader)
        if keys is None:
            raise UserError(
                f"{line.row.where}: {name} is in a list or in text that holds JSON, where no "
                "label can be written. Correct the rows that these were made of."
            )
        label = as_written(field, after[name], is_text=rows.reader.is_text)
        content = replaced(content, keys, label)
    return rows.file.write(content)
