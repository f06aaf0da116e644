"""The columns that `assets/table.js` searches, filters and sorts: what it reads, as data.

Values that recur are listed once and named by their places, so that 5,000 rows stay small.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

RowTable = dict[str, Any]
TableColumn = dict[str, Any]


def text_column(key: str, title: str, data: Sequence[object], **more: object) -> TableColumn:
    """A column of one text a row; with `kind="texts"`, of one for each of the `parts`."""
    return {"key": key, "title": title, "kind": "text", "data": data, **more}


def number_column(
    key: str, title: str, data: Sequence[float | None], digits: int | None = None, **more: object
) -> list[TableColumn]:
    """A column of one number a row, rounded; none where no row has one."""
    if all(value is None for value in data):
        return []
    if digits is not None:
        data = [None if value is None else round(value, digits) for value in data]
    return [{"key": key, "title": title, "kind": "number", "data": data, **more}]


def enum_column(
    key: str, title: str, data: Sequence[str | None], values: Sequence[str] = (), **more: object
) -> TableColumn:
    """A column of one value a row; known values first, others as they come."""
    places = _places(values, [value for value in data if value is not None])
    named = [None if value is None else places[value] for value in data]
    return {
        "key": key,
        "title": title,
        "kind": "enum",
        "values": list(places),
        "data": named,
        **more,
    }


def set_column(
    key: str,
    title: str,
    data: Sequence[Sequence[str]],
    values: Sequence[str] = (),
    **more: object,
) -> TableColumn:
    """A column of any number of values a row."""
    places = _places(values, [value for several in data for value in several])
    named = [[places[value] for value in several] for several in data]
    return {
        "key": key,
        "title": title,
        "kind": "set",
        "values": list(places),
        "data": named,
        **more,
    }


def _places(known: Sequence[str], found: Sequence[str]) -> dict[str, int]:
    return {value: place for place, value in enumerate(dict.fromkeys((*known, *found)))}
