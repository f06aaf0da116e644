"""The rows of a run as columns, for the table that searches and filters them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalkit.data import Kind
from evalkit.evaluation import EvaluatedRow, PairedComparison, describe_predicted
from evalkit.records import FinishReason, Missing, OutOfEnum, ParseFailure
from evalkit.reports.compare import Pairing
from evalkit.reports.html.columns import (
    RowTable,
    TableColumn,
    enum_column,
    number_column,
    set_column,
    text_column,
)
from evalkit.reports.judged import JudgedRun
from evalkit.reports.sections.slices import CLEAN
from evalkit.tasks import Field, FieldKind

UNREADABLE, OUT_OF_ENUM, MISSING = "unreadable", "out of enum", "field missing"
ILL_FORMED, CUT_OFF = "not well-formed", "cut off"
OUTCOMES = (UNREADABLE, OUT_OF_ENUM, MISSING, ILL_FORMED, CUT_OFF)
_MARGIN = "The least distance of a chosen token's logit from the next one's: near 0, undecided"
_SURE = "The probability the engine gives to the value it names"
_SEEN = {
    Kind.EXACT: "repeats a training row",
    Kind.NORMALISED: "repeats a training row but for spelling",
    Kind.NEAR: "nearly repeats a training row",
}


def prediction_table(run: JudgedRun, others: Sequence[JudgedRun] = ()) -> RowTable:
    """What `assets/table.js` shows of a run: one column of data for each column of the table."""
    evaluation = run.evaluation
    task, rows = evaluation.task, evaluation.rows
    texts = [[row.example.inputs.get(name, "") for name in task.inputs] for row in rows]
    outcomes, faults = [_outcomes(row) for row in rows], [_fault(row) for row in rows]
    columns = [
        text_column("id", "id", [row.example.id for row in rows]),
        text_column("input", "input", texts, kind="texts", parts=list(task.inputs)),
        set_column(
            "wrong",
            "wrong field",
            [[name for name in task.fields if not row.is_right(name)] for row in rows],
            hidden=True,
            any="any field",
            none="all fields right",
        ),
        *(column for name, field in task.fields.items() for column in _field(name, field, rows)),
        *number_column(
            "margin", "margin", [row.completion.margin for row in rows], 3, note=_MARGIN
        ),
        set_column(
            "form",
            "form",
            outcomes,
            OUTCOMES,
            any="any fault",
            none="no fault",
            hidden=not any(outcomes),
        ),
    ]
    if any(row.contaminated_by is not None for row in rows):
        columns.append(enum_column("seen", "training", [_seen(row) for row in rows]))
    columns += _against(run, others)
    answers = [row.completion.text for row in rows]
    columns.append(enum_column("answer", "raw answer", answers, hidden=True, filter=False))
    if any(faults):
        columns.append(enum_column("reading", "read as", faults, hidden=True, filter=False))
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


def _field(name: str, field: Field, rows: Sequence[EvaluatedRow]) -> list[TableColumn]:
    marks = [int(row.is_right(name)) for row in rows]
    title, predicted = f"{name}: right", (f"said.{name}", f"{name}: predicted")
    if field.kind is FieldKind.MULTI_LABEL:
        labels = [str(label) for label in field.labels]
        columns = [
            set_column(f"right.{name}", title, [_parts(row, name) for row in rows], labels),
            set_column(*predicted, [_predicted(row, name) for row in rows], labels, marks=marks),
        ]
    else:
        shown = [field.display(label) for label in field.labels]
        truth = [field.display(row.example.labels[name]) for row in rows]
        words = [describe_predicted(field, row.predicted(name)) for row in rows]
        columns = [
            enum_column(f"right.{name}", title, truth, shown),
            enum_column(*predicted, words, [*shown, UNREADABLE, "missing"], marks=marks),
        ]
    sure = [row.completion.confidences.get(name) for row in rows]
    return columns + number_column(
        f"sure.{name}", f"{name}: sure", sure, 4, percent=True, note=_SURE
    )


def _against(run: JudgedRun, others: Sequence[JudgedRun]) -> list[TableColumn]:
    """What the rows are counted in: gates, and comparisons won or lost."""
    verdicts = run.release.verdicts if run.release else ()
    gates = {v.shown: v.wrong for v in verdicts if v.wrong and not v.cases}
    return [
        set_column(key, title, _memberships(run.evaluation.rows, found), list(found), hidden=True)
        for key, title, found in (
            ("gate", "counted against", gates),
            ("flip", "flipped", flips(run, others)),
        )
        if found
    ]


def _memberships(
    rows: Sequence[EvaluatedRow], sets: Mapping[str, Sequence[EvaluatedRow]]
) -> list[list[str]]:
    place = {row.example.id: at for at, row in enumerate(rows)}
    found: list[list[str]] = [[] for _ in rows]
    for name, members in sets.items():
        for row in members:
            if row.example.id in place:
                found[place[row.example.id]].append(name)
    return found


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
