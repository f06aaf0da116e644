"""Where in a row a value stands, and the row with another one in its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from evalkit.data.rows import RowReader

Keys = tuple[str, ...]
"""The keys that lead to a value, from the outermost."""


def locate(content: Mapping[str, object], paths: Iterable[str], reader: RowReader) -> Keys | None:
    """Return the keys by which `reader` finds the value at the first path that leads to one."""
    for path in paths:
        last = path.rpartition(".")[2]
        ways: list[Keys] = [(path,), tuple(path.split("."))]
        ways += [(last,)] if last in reader.short_names else []
        for keys in ways:
            value = _at(content, keys)
            if value is not None and not (reader.is_text and value == ""):
                return keys
    return None


def replaced(content: Mapping[str, object], keys: Keys, value: object) -> dict[str, object]:
    """Return a row with a value at those keys and all else, and the keys' order, as it was."""
    first, *rest = keys
    if rest:
        inner = content.get(first)
        value = replaced(inner if isinstance(inner, Mapping) else {}, tuple(rest), value)
    return {**content, first: value}


def _at(content: Mapping[str, object], keys: Keys) -> object | None:
    value: object = content
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
