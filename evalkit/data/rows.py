"""How a raw row becomes an Example: paths, types and label values."""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from evalkit.data.quoting import shown, type_of
from evalkit.data.sources import RawRow
from evalkit.errors import did_you_mean
from evalkit.records import Example, Label
from evalkit.tasks import Field, FieldKind, Task

RawLabel = str | int | tuple[str | int, ...]
"""A label as the row has it, of the right type, before any mapping; a tuple for a set."""

_DIGITS = re.compile(r"[+-]?[0-9]{1,18}(\.0+)?")
_INDEX = re.compile(r"-?[0-9]{1,6}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_KEYS_SHOWN = 12


class RowFault(Exception):  # noqa: N818  a row's fault is data here, not an error of evalkit
    """Why a row is not an example, as a sentence."""


class EmptyInputs(RowFault):
    """Every input of the row is empty."""


@dataclass(frozen=True, slots=True)
class RowReader:
    """Reads rows of one source as examples of one task."""

    task: Task
    is_text: bool
    """Cells are text: digits count as numbers, an empty cell yields to the next path."""
    short_names: frozenset[str]
    """Last parts of paths that may stand for the whole path."""
    class_names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Column -> the names that its whole numbers stand for, where the source has them."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Tag -> the path of a text that a row may have beside inputs and labels."""

    def example(self, row: RawRow, schemes: Mapping[str, str]) -> Example:
        """Read one row; `schemes` says which fields' labels are mapped, and how.

        Raises `RowFault` where the row is not an example of the task.
        """
        asked = self.question(row)
        assert row.content is not None
        labels = {
            name: decode(name, field, self.raw_label(row.content, name), schemes.get(name))
            for name, field in self.task.fields.items()
        }
        return Example(asked.id, asked.inputs, labels, self._tags(row.content))

    def question(self, row: RawRow) -> Example:
        """Read a row's id and inputs alone; there need be no labels.

        Raises `RowFault` where there is nothing to ask.
        """
        if row.content is None:
            raise RowFault(row.fault)
        inputs = {name: self._input(row.content, name) for name in self.task.inputs}
        if not any(text.strip() for text in inputs.values()):
            raise EmptyInputs(
                f"every input ({', '.join(inputs)}) is empty. There is nothing to read."
            )
        return Example(self._id(row.content) or f"row-{row.number:06d}", inputs, {})

    def count_values(self, rows: Iterable[RawRow], name: str) -> Counter[str | int]:
        """Count a field's raw values over the rows in which they can be read."""
        seen: Counter[str | int] = Counter()
        for row in rows:
            if row.content is None:
                continue
            try:
                label = self.raw_label(row.content, name)
            except RowFault:
                continue  # reported when the row is read as an example
            seen.update(label if isinstance(label, tuple) else (label,))
        return seen

    def raw_label(self, content: Mapping[str, object], name: str) -> RawLabel:
        """Find a field's label and check its type.

        Raises `RowFault` where it is missing or of the wrong type.
        """
        field = self.task.fields[name]
        value = self._find(content, field.paths)
        if value is None or (self.is_text and value == ""):
            raise RowFault(f"field '{name}': {self._missing(content, field.paths)}")
        try:
            if field.kind is FieldKind.MULTI_LABEL:
                parts = _parts(value, self.is_text)
                return tuple(self._own(field, _choice(part, is_text=False)) for part in parts)
            read = _ordinal if field.kind is FieldKind.ORDINAL else _choice
            return self._own(field, read(value, self.is_text))
        except RowFault as fault:
            raise RowFault(f"field '{name}': {fault}") from None

    def _own(self, field: Field, value: str | int) -> str | int:
        """Return the field's own value that this one is another writing of, or else itself."""
        names = next((self.class_names[c] for c in field.paths if c in self.class_names), ())
        mapped = any(str(value) in mapping for mapping in field.mappings.values())
        if isinstance(value, int) and 0 <= value < len(names) and not mapped:
            value = names[value]
        if value in field.labels:
            return value
        plain = unicodedata.normalize("NFC", str(value))
        same = [v for v in field.labels if unicodedata.normalize("NFC", str(v)) == plain]
        return same[0] if same else value

    def _id(self, content: Mapping[str, object]) -> str:
        value = self._find(content, self.task.id_paths)
        if value is None:
            return ""
        value = _whole(value)
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise RowFault(f"id: {shown(value)} is {type_of(value)}. Write text or a whole number.")
        return _checked_text(str(value), "id").strip()

    def _tags(self, content: Mapping[str, object]) -> dict[str, str]:
        found = {}
        for tag, path in self.tags.items():
            value = self._find(content, (path,))
            if value is None or value == "":
                continue
            if not isinstance(value, str):
                raise RowFault(f"'{path}': {shown(value)} is {type_of(value)}, not text.")
            found[tag] = _checked_text(value, f"'{path}'")
        return found

    def _input(self, content: Mapping[str, object], name: str) -> str:
        spec = self.task.inputs[name]
        value = self._find(content, spec.paths)
        if value is None:
            if spec.optional:
                return ""
            raise RowFault(f"input '{name}': {self._missing(content, spec.paths)}")
        if not isinstance(value, str):
            raise RowFault(f"input '{name}': {shown(value)} is {type_of(value)}, not text.")
        return _checked_text(value, f"input '{name}'")

    def _find(self, content: Mapping[str, object], paths: Iterable[str]) -> object | None:
        """Return what the first path that leads to something leads to."""
        empty_cell = None
        for path in paths:
            value = self._at(content, path)
            if self.is_text and value == "":
                empty_cell = value  # CSV cannot say null, so a later path may know better
            elif value is not None:
                return value
        return empty_cell

    def _at(self, content: Mapping[str, object], path: str) -> object | None:
        if content.get(path) is not None:
            return content[path]
        value = follow(content, path.split("."))
        if value is None and (last := _last(path)) in self.short_names:
            return content.get(last)
        return value

    def _missing(self, content: Mapping[str, object], paths: Sequence[str]) -> str:
        there = list(_leaves(content))
        keys = [key if key.isprintable() else repr(key) for key in there[:_KEYS_SHOWN]]
        more = f" and {len(there) - len(keys)} more" if len(there) > len(keys) else ""
        wanted = " or ".join(f"'{path}'" for path in paths)
        near = _near_key(paths, set(there) - _all_paths(self.task))
        return f"nothing at {wanted}; the row has {', '.join(keys) or 'no keys'}{more}.{near}"


def row_reader(
    task: Task,
    *,
    is_table: bool,
    is_text: bool,
    tags: Mapping[str, str] | None = None,
    class_names: Mapping[str, Sequence[str]] | None = None,
) -> RowReader:
    """Return a reader of a task's rows.

    In a table a path's last part will do as a column's name where only one input or field
    (or the id) could be meant by it.
    """
    owners: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for owner, paths in _paths(task):
        for path in paths:
            owners[_last(path)].add(owner)
    short = (name for name, meant in owners.items() if len(meant) == 1) if is_table else ()
    return RowReader(task, is_text, frozenset(short), class_names or {}, tags or {})


def decode(name: str, field: Field, raw: RawLabel, scheme: str | None) -> Label:
    """Turn a raw label into the field's own values, through a mapping scheme where one is given.

    Raises `RowFault` where a value is not known, or a set contradicts itself.
    """
    try:
        if not isinstance(raw, tuple):
            return _own_value(field, raw, scheme)
        chosen = {_own_value(field, part, scheme) for part in raw}
    except RowFault as fault:
        raise RowFault(f"field '{name}': {fault}") from None
    alone = chosen & field.exclusive
    if alone and len(chosen) > 1:
        raise RowFault(f"field '{name}': {shown(sorted(alone)[0])} excludes all other values.")
    if not chosen:
        raise RowFault(f"field '{name}': an empty list. Name at least one value.")
    return tuple(str(value) for value in field.labels if value in chosen)


def _own_value(field: Field, value: str | int, scheme: str | None) -> str | int:
    if scheme is not None:
        mapping = field.mappings[scheme]
        if str(value) not in mapping:
            raise RowFault(
                f"{shown(value)} is not a value of the '{scheme}' labels ({_listed(mapping)})."
                f"{did_you_mean(str(value), mapping)}"
            )
        return mapping[str(value)]
    if value in field.labels:
        return value
    near = did_you_mean(str(value), map(str, field.labels))
    others = [other for other, mapping in field.mappings.items() if str(value) in mapping]
    hint = f" It is one of the '{others[0]}' labels: --mapping {others[0]}." if others else ""
    raise RowFault(f"{shown(value)} is not one of {_listed(field.labels)}.{near}{hint}")


def follow(value: object, parts: Iterable[str]) -> object | None:
    """Return what a path leads to, or None.

    In a list a part is an index, or the role of a message (the last one of that `role`, or `from`
    as ShareGPT has it). Text that is asked for a part is read as JSON.
    """
    for part in parts:
        if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                return None
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list | tuple):
            value = _member(value, part)
        else:
            return None
    return value


def _member(members: Sequence[object], part: str) -> object | None:
    if _INDEX.fullmatch(part):
        place = int(part)
        return members[place] if -len(members) <= place < len(members) else None
    said = [m for m in members if isinstance(m, Mapping) and part in (m.get("role"), m.get("from"))]
    return said[-1] if said else None


def _whole(value: object) -> object:
    """Return 1 for 1.0, as tables write whole numbers beside missing ones."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _ordinal(value: object, is_text: bool) -> str | int:
    value = _whole(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise RowFault(f"{shown(value)} is {type_of(value)}. Write a whole number.")
    text = value.strip() if is_text else value
    # A word is left as it is: a mapping may know it.
    return int(text.partition(".")[0]) if _DIGITS.fullmatch(text) else text


def _choice(value: object, is_text: bool) -> str | int:
    value = _whole(value)
    if isinstance(value, str):
        return value.strip() if is_text else value
    if isinstance(value, int) and not isinstance(value, bool):
        return value  # a class number, which a mapping may know
    raise RowFault(f"{shown(value)} is {type_of(value)}, not text.")


def _parts(value: object, is_text: bool) -> list[object]:
    """Return a set's members from a list, a JSON list or a comma-separated cell."""
    if isinstance(value, list | tuple):
        return list(value)
    if not (is_text and isinstance(value, str)):
        raise RowFault(f"{shown(value)} is {type_of(value)}. Write a list.")
    if not value.strip().startswith("["):
        return [part.strip() for part in value.split(",")]
    try:
        parts = json.loads(value)
    except (ValueError, RecursionError):
        raise RowFault(
            f'{shown(value)} is not a JSON list. Write ["a", "b"], or a, b without brackets.'
        ) from None
    return list(parts)


def _checked_text(text: str, what: str) -> str:
    half = _SURROGATE.search(text)
    if half:
        # JSON can escape half an emoji (cut off by a length limit); no tokeniser can read it.
        raise RowFault(f"{what}: half a character ({shown(half[0])}) at {half.start() + 1}.")
    return text


def _paths(task: Task) -> Iterator[tuple[tuple[str, str], tuple[str, ...]]]:
    """Yield whose paths, and the paths, of the id, every input and every field."""
    yield ("id", ""), task.id_paths
    for name, spec in task.inputs.items():
        yield ("input", name), spec.paths
    for name, its in task.fields.items():
        yield ("field", name), its.paths


def _all_paths(task: Task) -> set[str]:
    return {path for _, paths in _paths(task) for path in paths}


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _leaves(content: Mapping[str, object], before: str = "") -> Iterator[str]:
    """Yield the dotted paths of everything in a row that is not null."""
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{before}{key}.")
        elif isinstance(value, list) and any(isinstance(part, Mapping) for part in value):
            yield from _leaves({str(i): part for i, part in enumerate(value)}, f"{before}{key}.")
        elif value is not None:
            yield f"{before}{key}"


def _near_key(paths: Iterable[str], strange: Iterable[str]) -> str:
    """Suggest a key that looks like a misspelt or misplaced path, by the paths' last parts.

    Whole paths would not do: `notification.title` is near `notification.body`.
    """
    by_last = {_last(path): path for path in sorted(strange)}
    for path in paths:
        near = difflib.get_close_matches(_last(path), by_last, n=1, cutoff=0.6)
        if near and (key := by_last[near[0]]).isprintable():
            return f" Did you mean '{path}' by '{key}'?"
    return ""


def _listed(values: Iterable[str | int]) -> str:
    names = [str(value) for value in values]
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
