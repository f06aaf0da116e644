"""From a value as a model wrote it to the value of a field.

Everything is compared as text: a number as it was written can neither overflow nor be rounded,
and `true` is not 1.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from evalkit.errors import UserError
from evalkit.formats.reading import LONGEST_SHOWN, ReadError, clip
from evalkit.records import FailureReason, Label, Missing, OutOfEnum
from evalkit.tasks import Field, FieldKind, Task

SEPARATORS = re.compile("[,;，；、]")

_WHOLE = re.compile(r"(-?)(\d++)(?:\.0*+)?", re.ASCII)


class Number(str):
    """A JSON number, as it was written."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Object:
    """A JSON object, with its keys as often as they were written."""

    pairs: list[tuple[str, Raw]]


Raw: TypeAlias = "str | bool | list[Raw] | Object | None"
"""A value as it was written."""

FieldReading: TypeAlias = Label | Missing | OutOfEnum


def shown(raw: Raw) -> str:
    """Show a raw value as people read it: `Work, Personal` for a list."""
    if isinstance(raw, str):
        return raw.strip()
    if isinstance(raw, list):
        return ", ".join(map(shown, raw[:LONGEST_SHOWN])) or "[]"
    if isinstance(raw, Object):
        pairs = raw.pairs[:LONGEST_SHOWN]
        return "{" + ", ".join(f"{key}: {shown(value)}" for key, value in pairs) + "}"
    return json.dumps(raw)


def read_fields(task: Task, pairs: Iterable[tuple[str, Raw]]) -> dict[str, FieldReading]:
    """Read every field of a task from an answer's keys and values, leniently.

    A key may stand twice if it says the same both times. Raise `ReadError` if none of the keys
    is a field: then this is not an answer.
    """
    said: dict[str, list[Raw]] = {name: [] for name in task.fields}
    for key, raw in pairs:
        if key in said:
            said[key].append(raw)
    if not any(said.values()):
        raise ReadError(FailureReason.NO_ANSWER, "none of the fields")
    return {name: _read_field(task.fields[name], raws) for name, raws in said.items()}


def _read_field(field: Field, raws: list[Raw]) -> FieldReading:
    values = {read_value(field, raw) for raw in raws}
    if len(values) > 1:
        return OutOfEnum(clip(shown(raws)))
    return values.pop() if values else Missing()


def read_value(field: Field, raw: Raw) -> Label | OutOfEnum:
    """Read one raw value, leniently.

    `"3"` and `3.0` are 3, `["Work"]` is Work and an accent may be a character of its own, but
    several values for one are not the first of them, and `work` is not Work: an app that looks up
    the value would crash on it.
    """
    label: Label | None
    if field.kind is FieldKind.MULTI_LABEL:
        label = _read_set(field, raw)
    elif isinstance(raw, list) and len(raw) == 1:
        label = _read_one(field, raw[0])
    else:
        label = _read_one(field, raw)
    return OutOfEnum(clip(shown(raw))) if label is None else label


def _read_one(field: Field, raw: Raw) -> str | int | None:
    if not isinstance(raw, str):
        return None
    if field.kind is FieldKind.ORDINAL:
        whole = _WHOLE.fullmatch(raw.strip())
        written = whole[1] + (whole[2].lstrip("0") or "0") if whole else raw
        return next((label for label in field.labels if str(label) == written), None)
    if isinstance(raw, Number):
        return None
    plain = raw.strip()
    exact = next((text for text in (raw, plain) if text in field.labels), None)
    if exact is not None or plain.isascii():
        return exact
    # Many tokenizers compose what they write (NFC), whatever the label was made of.
    composed = unicodedata.normalize("NFC", plain)
    same = [v for v in field.labels if unicodedata.normalize("NFC", str(v)) == composed]
    return same[0] if len(same) == 1 else None


def _read_set(field: Field, raw: Raw) -> tuple[str, ...] | None:
    items = raw if isinstance(raw, list) else [raw]
    if type(raw) is str and _read_one(field, raw) is None:
        items = [text for text in SEPARATORS.split(raw) if text.strip()]
    found = {_read_one(field, item) for item in items}
    if not found or None in found or (found & field.exclusive and len(found) > 1):
        return None
    return tuple(str(label) for label in field.labels if label in found)


def check_keys(keys: Iterable[str], wanted: Collection[str]) -> None:
    """Raise `ReadError` unless the keys are those wanted, each once, in any order."""
    given = Counter(keys)
    faults = {
        FailureReason.DUPLICATE_KEY: [key for key, count in given.items() if count > 1],
        FailureReason.UNKNOWN_KEY: [key for key in given if key not in wanted],
        FailureReason.MISSING_FIELD: [key for key in wanted if key not in given],
    }
    for reason, faulty in faults.items():
        if faulty:
            raise ReadError(reason, ", ".join(faulty))


def check_written(texts: list[str], value: FieldReading) -> None:
    """Raise `ReadError` where what was read is not just what was written.

    That is where `read_value` folded or trimmed something, such as `03` for 3. The values of a
    set may stand in any order.
    """
    if isinstance(value, tuple | str | int):
        as_written = sorted(value if isinstance(value, tuple) else [str(value)]) == sorted(texts)
    else:
        as_written = len(set(texts)) == len(texts)
    if not as_written:
        raise ReadError(FailureReason.NOT_CANONICAL, ", ".join(texts))


def check_listable(format_name: str, task: Task, fields: Mapping[str, Field]) -> None:
    """Raise `UserError` where a list of a field's values could not be taken apart again."""
    for name, field in fields.items():
        for label in map(str, field.labels):
            if SEPARATORS.search(label) or [label] != label.strip().splitlines():
                raise UserError(
                    f"Format '{format_name}' writes the values of a field as a list in one line, "
                    f"so {label!r} of field '{name}' of task '{task.name}' could not be read back. "
                    "Take separators, line breaks and outer spaces out of the value, "
                    "or use format 'json'."
                )
