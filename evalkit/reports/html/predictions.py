"""The rows of a run as columns, for the table that searches and filters them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from evalkit.data import Kind
from evalkit.evaluation import EvaluatedRow, PairedComparison, describe_predicted
from evalkit.records import FinishReason, Missing, OutOfEnum, ParseFailure
from evalkit.reports.compare import Pairing
from evalkit.reports.judged import JudgedRun
from evalkit.reports.sections.slices import CLEAN
from evalkit.tasks import Field, FieldKind

UNREADABLE, OUT_OF_ENUM, MISSING = "unreadable", "out of enum", "field missing"
ILL_FORMED, CUT_OFF = "not well-formed", "cut off"
OUTCOMES = (UNREADABLE, OUT_OF_ENUM, MISSING, ILL_FORMED, CUT_OFF)
_SEEN = {
    Kind.EXACT: "repeats a training row",
    Kind.NORMALISED: "repeats a training row but for spelling",
    Kind.NEAR: "nearly repeats a training row",
}


def prediction_table(run: JudgedRun, others: Sequence[JudgedRun] = ()) -> dict[str, Any]:
    """What `assets/table.js` shows of a run: one column of data for each column of the table.

    Values that recur are listed once and named by their places, so that 5,000 rows stay small.
    """
    evaluation = run.evaluation
    task, rows = evaluation.task, evaluation.rows
    columns: list[dict[str, Any]] = [
        {"key": "id", "title": "id", "kind": "text", "data": [row.example.id for row in rows]},
        {
            "key": "input",
            "title": "input",
            "kind": "texts",
            "parts": list(task.inputs),
            "data": [[row.example.inputs.get(name, "") for name in task.inputs] for row in rows],
        },
        set_column("wrong", "wrong field", [_wrong_fields(row, task.fields) for row in rows])
        | {"hidden": True, "any": "any field", "none": "all fields right"},
    ]
    for name, field in task.fields.items():
        columns += _field(name, field, rows)
    if any(row.completion.margin is not None for row in rows):
        note = "The least distance of a chosen token's logit from the next one's: near 0, undecided"
        margins = [_round(row.completion.margin, 3) for row in rows]
        columns.append(
            {"key": "margin", "title": "margin", "kind": "number", "data": margins, "note": note}
        )
    outcomes = [_outcomes(row) for row in rows]
    columns.append(
        set_column("form", "form", outcomes, OUTCOMES)
        | {"any": "any fault", "none": "no fault", "hidden": not any(outcomes)}
    )
    if any(row.contaminated_by is not None for row in rows):
        columns.append(enum_column("seen", "training", [_seen(row) for row in rows]))
    columns += _against(run, others)
    answers = [row.completion.text for row in rows]
    columns.append(enum_column("answer", "raw answer", answers) | {"hidden": True, "filter": False})
    faults = [_fault(row) for row in rows]
    if any(faults):
        columns.append(
            enum_column("reading", "read as", faults) | {"hidden": True, "filter": False}
        )
    return {"rows": len(rows), "caption": "Predictions", "columns": columns}


def flips(run: JudgedRun, others: Sequence[JudgedRun] = ()) -> dict[str, Sequence[EvaluatedRow]]:
    """Rows that this run alone gets right, or another alone, by what to call them."""
    verdicts = run.release.verdicts if run.release else ()
    held = [
        (paired.second, paired)
        for verdict in verdicts
        for paired in (verdict.paired, verdict.regression)
        if paired is not None and _is_of(paired, run, verdict.wrong)
    ]
    held += [
        (other.name, paired)
        for other in others
        for paired in Pairing(run.evaluation, other.evaluation).headline
    ]
    found: dict[str, Sequence[EvaluatedRow]] = {}
    for name, paired in held:
        about = f"against {name}, {paired.metric.name}"
        found |= {f"won {about}": paired.won, f"lost {about}": paired.lost}
    return {name: rows for name, rows in found.items() if rows}


def _is_of(paired: PairedComparison, run: JudgedRun, counted: Sequence[EvaluatedRow]) -> bool:
    """Whether the rows are the run's own: parts of a run may have rows of the same names."""
    ours = {row.example.id for row in counted}
    return paired.first == run.system and ours >= {row.example.id for row in paired.lost}


def _field(name: str, field: Field, rows: Sequence[EvaluatedRow]) -> list[dict[str, Any]]:
    if field.kind is FieldKind.MULTI_LABEL:
        labels = [str(label) for label in field.labels]
        right = set_column(
            f"right.{name}", f"{name}: right", [_parts(row, name) for row in rows], labels
        )
        predicted = set_column(
            f"said.{name}", f"{name}: predicted", [_predicted(row, name) for row in rows], labels
        )
    else:
        shown = [field.display(label) for label in field.labels]
        truth = [field.display(row.example.labels[name]) for row in rows]
        right = enum_column(f"right.{name}", f"{name}: right", truth, shown)
        words = [describe_predicted(field, row.predicted(name)) for row in rows]
        predicted = enum_column(
            f"said.{name}", f"{name}: predicted", words, [*shown, UNREADABLE, "missing"]
        )
    predicted["marks"] = [int(row.is_right(name)) for row in rows]
    columns = [right, predicted]
    if any(name in row.completion.confidences for row in rows):
        sure = [_round(row.completion.confidences.get(name), 4) for row in rows]
        columns.append(
            {
                "key": f"sure.{name}",
                "title": f"{name}: sure",
                "kind": "number",
                "percent": True,
                "data": sure,
                "note": "The probability the engine gives to the value it names",
            }
        )
    return columns


def _against(run: JudgedRun, others: Sequence[JudgedRun]) -> list[dict[str, Any]]:
    """What the rows are counted in: gates, and comparisons won or lost."""
    rows = run.evaluation.rows
    columns = []
    verdicts = run.release.verdicts if run.release else ()
    gates: dict[str, Sequence[EvaluatedRow]] = {
        v.shown: v.wrong for v in verdicts if v.wrong and not v.cases
    }
    for key, title, found in (
        ("gate", "counted against", gates),
        ("flip", "flipped", flips(run, others)),
    ):
        if found:
            columns.append(
                set_column(key, title, _memberships(rows, found), list(found)) | {"hidden": True}
            )
    return columns


def _memberships(
    rows: Sequence[EvaluatedRow], sets: dict[str, Sequence[EvaluatedRow]]
) -> list[list[str]]:
    place = {row.example.id: at for at, row in enumerate(rows)}
    found: list[list[str]] = [[] for _ in rows]
    for name, members in sets.items():
        for row in members:
            if row.example.id in place:
                found[place[row.example.id]].append(name)
    return found


def _wrong_fields(row: EvaluatedRow, fields: Iterable[str]) -> list[str]:
    return [name for name in fields if not row.is_right(name)]


def _outcomes(row: EvaluatedRow) -> list[str]:
    predicted = [] if row.is_unreadable else [row.predicted(name) for name in row.example.labels]
    there = {
        UNREADABLE: row.is_unreadable,
        OUT_OF_ENUM: any(isinstance(found, OutOfEnum) for found in predicted),
        MISSING: any(isinstance(found, Missing) for found in predicted),
        ILL_FORMED: isinstance(row.parsed.strict, ParseFailure),
        CUT_OFF: row.completion.finish_reason is FinishReason.LENGTH,
    }
    return [name for name, holds in there.items() if holds]


def _fault(row: EvaluatedRow) -> str | None:
    strict = row.parsed.strict
    if not isinstance(strict, ParseFailure):
        return None
    reason = strict.reason.value.replace("_", " ")
    return f"{reason}: {strict.detail}" if strict.detail else reason


def _seen(row: EvaluatedRow) -> str:
    return CLEAN if row.contaminated_by is None else _SEEN[row.contaminated_by.kind]


def _parts(row: EvaluatedRow, name: str) -> list[str]:
    label = row.example.labels[name]
    assert isinstance(label, tuple)
    return list(label)


def _predicted(row: EvaluatedRow, name: str) -> list[str]:
    predicted = row.predicted(name)
    if isinstance(predicted, tuple):
        return list(predicted)
    if isinstance(predicted, OutOfEnum):
        return [f"out of enum: {predicted.text}"]
    return [UNREADABLE if predicted is None else "missing"]


def enum_column(
    key: str, title: str, data: Sequence[str | None], values: Sequence[str] = ()
) -> dict[str, Any]:
    """A column of one value a row; known values first, others as they come."""
    place = {value: at for at, value in enumerate(values)}
    for value in data:
        if value is not None:
            place.setdefault(value, len(place))
    named = [None if value is None else place[value] for value in data]
    return {"key": key, "title": title, "kind": "enum", "values": list(place), "data": named}


def set_column(
    key: str, title: str, data: Sequence[Sequence[str]], values: Sequence[str] = ()
) -> dict[str, Any]:
    """A column of any number of values a row."""
    place = {value: at for at, value in enumerate(values)}
    for several in data:
        for value in several:
            place.setdefault(value, len(place))
    named = [[place[value] for value in several] for several in data]
    return {"key": key, "title": title, "kind": "set", "values": list(place), "data": named}


def _round(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
