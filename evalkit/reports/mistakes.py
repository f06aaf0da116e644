"""Rows that a system got wrong, and what was said instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.errors import UserError, did_you_mean
from evalkit.evaluation import EvaluatedRow, Evaluation, describe_predicted
from evalkit.evaluation.cases import case_of
from evalkit.printable import printable
from evalkit.records import Missing, OutOfEnum
from evalkit.tasks import Field, FieldKind, Task

UNREADABLE, MISSING, OUT_OF_ENUM = "unreadable", "missing", "out of enum"
"""What may be said that is not a value."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """A row with a wrong answer."""

    row: EvaluatedRow
    fields: tuple[str, ...]
    """Those that are wrong, of the ones that were asked for."""

    @property
    def confidence(self) -> float | None:
        """The highest of the wrong fields'; None where the engine gives none."""
        known = self.row.completion.confidences
        return max((known[name] for name in self.fields if name in known), default=None)


def check_field(evaluation: Evaluation, field: str) -> None:
    """Refuse a field that the task does not have.

    Raises:
        UserError: it has none of that name.
    """
    fields = evaluation.task.fields
    if field not in fields:
        raise UserError(
            f"--field {field}: task '{evaluation.task.name}' has no such field."
            f"{did_you_mean(field, fields)} Fields: {', '.join(fields)}."
        )


def find_mistakes(
    evaluation: Evaluation,
    field: str | None = None,
    predicted: str | None = None,
    right: str | None = None,
) -> list[Mistake]:
    """Rows with a wrong answer, the most confident first; those without a confidence last.

    Args:
        evaluation: whose rows.
        field: only where this one is wrong; any field by default.
        predicted: only where the answer gives this value, or is `unreadable`, `missing` or `out of
            enum`.
        right: only where this is the right value.

    Raises:
        UserError: the task has no such field or value, or it is not said of which field the
            values are.
    """
    fields = evaluation.task.fields
    if field is None and (predicted is not None or right is not None):
        if len(fields) > 1:
            raise UserError(
                f"--said and --right are values of one field. Add --field with one of: "
                f"{', '.join(fields)}."
            )
        field = next(iter(fields))
    if field is not None:
        check_field(evaluation, field)
        _check_value(fields[field], predicted, "--said", (UNREADABLE, MISSING, OUT_OF_ENUM))
        _check_value(fields[field], right, "--right")
    found = []
    for row in evaluation.rows:
        wrong = tuple(name for name in fields if field in (None, name) and not row.is_right(name))
        if wrong and (field is None or _fits(row, field, fields[field], predicted, right)):
            found.append(Mistake(row, wrong))
    return sorted(found, key=lambda mistake: -(mistake.confidence or 0.0))


def _check_value(spec: Field, value: str | None, option: str, more: Sequence[str] = ()) -> None:
    known = [*map(str, spec.labels), *(v.name for v in spec.values if v.name), *more]
    single = [value] if spec.kind is not FieldKind.MULTI_LABEL else (value or "").split(", ")
    for part in single if value is not None else ():
        if part not in known:
            raise UserError(
                f"{option} {value}: the field has no such value."
                f"{did_you_mean(part or '', known)} Values: {', '.join(known)}."
            )


def _fits(
    row: EvaluatedRow, field: str, spec: Field, predicted: str | None, right: str | None
) -> bool:
    return (predicted is None or predicted in _names(spec, row.predicted(field))) and (
        right is None or right in _names(spec, row.example.labels[field])
    )


def _names(spec: Field, label: Any) -> set[str]:
    """All that a user may call it: of a set, each member too."""
    if label is None:
        return {UNREADABLE}
    if isinstance(label, Missing):
        return {MISSING}
    if isinstance(label, OutOfEnum):
        return {OUT_OF_ENUM}
    if isinstance(label, tuple):
        return {*label, spec.display(label)}
    return {str(label), spec.display(label)}


def describe_mistake(mistake: Mistake, evaluation: Evaluation) -> str:
    """What was said and what is right, field by field; of a field that is right, nothing."""
    fields, row = evaluation.task.fields, mistake.row
    several = len(fields) > 1
    if row.is_unreadable:
        right = ", ".join(fields[n].display(row.example.labels[n]) for n in mistake.fields)
        return f"right is {right}; unreadable: {row.completion.text}"
    return "; ".join(
        (f"{name}: " if several else "")
        + f"predicted {describe_predicted(fields[name], row.predicted(name))}, "
        + f"right is {fields[name].display(row.example.labels[name])}"
        for name in mistake.fields
    )


def mistake_to_json(mistake: Mistake, evaluation: Evaluation) -> dict[str, Any]:
    """A wrong row as data, with its text."""
    row, fields = mistake.row, evaluation.task.fields
    return {
        "id": row.example.id,
        "inputs": dict(row.example.inputs),
        "right": dict(row.example.labels),
        "said": {
            name: describe_predicted(spec, row.predicted(name)) for name, spec in fields.items()
        },
        "wrong_fields": list(mistake.fields),
        "text": row.completion.text,
        "confidences": dict(row.completion.confidences),
        "margin": row.completion.margin,
        "repeats_training_row": row.contaminated_by is not None,
    }


def wrong_case(row: EvaluatedRow, task: Task) -> str:
    """A row with the right labels and what was said instead, on two lines."""
    case = case_of(task, row)
    asked = f"{printable(case.id, 20)}: {printable(case.text, 90)}"
    return f"{asked}\n      right: {case.right}; predicted: {printable(case.said, 90)}"
