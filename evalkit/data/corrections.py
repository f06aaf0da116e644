"""Corrected labels as they come back: a CSV file, Label Studio's export, Argilla's records.

Which is which is told by a row's keys. What was corrected is not read here: the task knows which
values there are (`relabelling.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.data.sources import RawRow, read_source
from evalkit.errors import UserError

CORRECTED, INPUT = "corrected.", "input."
"""What the columns of a CSV file begin with."""
ROW_ID = "row_id"
"""Where a Label Studio task keeps a row's id, as `id` is the tool's own."""
ENDINGS = (".csv", ".json", ".jsonl")


@dataclass(frozen=True, slots=True)
class Correction:
    """What somebody says that one label of a row ought to be."""

    id: str
    """The row's."""
    field: str
    label: object
    """As the file has it."""
    by: str
    """Who says so; empty where the file does not tell."""
    inputs: Mapping[str, object]
    """The row's texts, as far as the file has them: is it the same row?"""
    where: str


@dataclass(frozen=True, slots=True)
class Corrections:
    """All that a file says."""

    given: tuple[Correction, ...]
    run: str = ""
    """The run whose mistakes were looked at."""


def read_corrections(source: str) -> Corrections:
    """Read a file of corrections.

    Raises:
        UserError: it cannot be read, or holds no correction.
    """
    if Path(source).suffix.lower() not in ENDINGS:
        raise UserError(f"{source}: corrections are read from {', '.join(ENDINGS)}.")
    given: list[Correction] = []
    run = ""
    for row in read_source(source, "train").rows:
        if row.content is None:
            raise UserError(f"{row.where}: {row.fault}")
        try:
            run = run or _run_of(row.content)
            given += _read_row(row)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise UserError(
                f"{row.where} is not a row that `evalkit errors` wrote, nor what Label Studio or "
                f"Argilla made of one ({type(error).__name__}: {error})."
            ) from error
    if not given:
        raise UserError(
            f"{source} corrects nothing: no {CORRECTED}FIELD is filled in, no task annotated, no "
            "record answered."
        )
    return Corrections(tuple(given), run)


def _read_row(row: RawRow) -> Iterator[Correction]:
    assert row.content is not None
    if "annotations" in row.content:
        return _label_studio(row.content, row.where)
    if "responses" in row.content:
        return _argilla(row.content, row.where)
    return _cells(row.content, row.where)


def _run_of(content: Mapping[str, Any]) -> str:
    for place in (content, content.get("data"), content.get("metadata")):
        if isinstance(place, Mapping) and place.get("run"):
            return str(place["run"])
    return ""


def _cells(content: Mapping[str, Any], where: str) -> Iterator[Correction]:
    inputs = {k.removeprefix(INPUT): v for k, v in content.items() if k.startswith(INPUT)}
    for column, cell in content.items():
        if column.startswith(CORRECTED) and str(cell).strip():
            field = column.removeprefix(CORRECTED)
            by = str(content.get("by") or "").strip()
            yield Correction(str(content["id"]), field, cell, by, inputs, where)


def _label_studio(content: Mapping[str, Any], where: str) -> Iterator[Correction]:
    """Choices of every annotation that was handed in."""
    data = content["data"]
    for annotation in content["annotations"]:
        if annotation.get("was_cancelled"):
            continue
        who = annotation.get("completed_by")
        who = (who.get("email") or who.get("id")) if isinstance(who, Mapping) else who
        for result in annotation["result"]:
            if result["type"] == "choices":
                chosen = result["value"]["choices"]
                by = "" if who is None else str(who)
                yield Correction(
                    str(data[ROW_ID]), result["from_name"], list(chosen), by, data, where
                )


def _argilla(content: Mapping[str, Any], where: str) -> Iterator[Correction]:
    for field, answers in content["responses"].items():
        for answer in answers:
            by = str(answer.get("user_id") or "")
            yield Correction(
                str(content["id"]), field, answer["value"], by, content["fields"], where
            )


def written_label(label: Any) -> str:
    """A label in a cell: a set apart at commas, or as a JSON list where a member holds one."""
    if not isinstance(label, list | tuple):
        return str(label)
    plain = not any("," in part for part in label)
    return ", ".join(label) if plain else json.dumps(label, ensure_ascii=False)
