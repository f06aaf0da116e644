"""Numbers that can be asked of rows: by one system's, or by two systems' on the same rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import update_wrapper
from typing import Any, Literal

from evalkit import metrics
from evalkit.errors import UserError, did_you_mean
from evalkit.evaluation.rows import EvaluatedRow, Rows, describe_predicted, groups_of
from evalkit.locale import Note, in_a_row, say
from evalkit.metrics import Predicted, Statistic
from evalkit.records import Estimate, Label, Missing, OutOfEnum, ParseFailure
from evalkit.registry import Registry
from evalkit.tasks import Field, FieldKind, Task


@dataclass(frozen=True)
class Metric:
    """A number that can be asked of rows."""

    key: str
    """What is measured, such as `accuracy`; with field and value it tells metrics apart."""
    name: str
    """As tables show it, such as `priority accuracy`."""
    estimate: Callable[[Rows], Estimate]
    """Raises `InsufficientData` where there is nothing to count."""
    statistic: Callable[[Rows], Statistic] | None = None
    """The same number of weighted rows, for a paired bootstrap; None where it is not compared."""
    hit: Callable[[EvaluatedRow], bool | None] | None = None
    """For a share: whether a row is counted in it; None where it is not in the denominator."""
    counts_against: Callable[[EvaluatedRow], bool] = lambda row: False
    """Whether a row pulls the number the wrong way."""
    lower_is_better: bool = False
    unit: Literal["%", ""] = "%"
    """Whether people read it in percent."""
    on_clean_rows: bool = True
    """Measured on rows that the system was not trained on. An answer that no program can read
    is a fault on any row; being right is no merit on a row that was learned by heart."""
    weakest: Callable[[Rows], str] = lambda rows: ""
    """The worst slice in words, where there are slices."""
    field: str | None = None
    """The field it is of; None where it is of whole answers."""
    value: str | int | None = None
    """The value of the field it is of, for recall and precision."""

    @property
    def identity(self) -> tuple[str, str | None, str | int | None]:
        """Equal for metrics that measure the same."""
        return self.key, self.field, self.value


MakeMetric = Callable[..., Metric]
"""Takes a task and what is asked of it: a field, a value."""


def metric(
    name: str, *, lower_is_better: bool = False
) -> Callable[[Callable[[EvaluatedRow, str], bool | None]], MakeMetric]:
    """Make a metric of a function of a row and a field: the share of rows for which it is true.

    Rows for which it gives None are left out. The metric's key is the function's name.

    Args:
        name: as tables show it, behind the field: `within one level`.
        lower_is_better: whether the rows counted are the bad ones.
    """

    def of(hit: Callable[[EvaluatedRow, str], bool | None]) -> MakeMetric:
        def make(task: Task, field: str) -> Metric:
            find_field(task, field)
            return _share(
                hit.__name__,
                f"{field} {name}",
                lambda row: hit(row, field),
                field=field,
                lower_is_better=lower_is_better,
            )

        return update_wrapper(make, hit)

    return of


def accuracy(task: Task, field: str) -> Metric:
    """Share of rows with exactly the right value of a field (for a set: the right set)."""
    spec = find_field(task, field)
    found = _share("accuracy", f"{field} accuracy", lambda row: row.is_right(field), field=field)
    return replace(found, weakest=lambda rows: _weakest(spec, field, rows))


def all_correct(task: Task) -> Metric:
    """Share of rows with every field right."""
    return _share(
        "all_correct",
        "all fields right",
        lambda row: all(row.is_right(field) for field in task.fields),
    )


def recall(task: Task, field: str, value: str | int) -> Metric:
    """Of the rows whose right value this is, the share that got it."""
    spec = check_value(task, field, value)

    def hit(row: EvaluatedRow) -> bool | None:
        return _holds(row.predicted(field), value) if has_label(row, field, value) else None

    return _share(
        "recall", f"{field} recall of {spec.display(value)}", hit, field=field, value=value
    )


def precision(task: Task, field: str, value: str | int) -> Metric:
    """Of the rows that say this value, the share that are right."""
    spec = check_value(task, field, value)

    def hit(row: EvaluatedRow) -> bool | None:
        return has_label(row, field, value) if _holds(row.predicted(field), value) else None

    return _share(
        "precision", f"{field} precision of {spec.display(value)}", hit, field=field, value=value
    )


def macro_f1(task: Task, field: str) -> Metric:
    """Mean F1 over the field's values in truth or answers, each counted alike."""
    spec = find_field(task, field)
    found = _composite("macro_f1", "macro-F1", field, metrics.macro_f1, metrics.macro_f1_statistic)
    return replace(found, weakest=lambda rows: _weakest(spec, field, rows))


def mean_absolute_error(task: Task, field: str) -> Metric:
    """How many levels an answer is off, on average; an unreadable one is as far off as can be."""
    levels = find_field(task, field, FieldKind.ORDINAL).labels
    found = _composite(
        "mean_absolute_error",
        "mean absolute error",
        field,
        metrics.mean_absolute_error,
        metrics.mean_absolute_error_statistic,
        levels,
    )
    return replace(found, lower_is_better=True, unit="")


def quadratic_kappa(task: Task, field: str) -> Metric:
    """Agreement beyond chance, a miss weighing as the square of its levels."""
    levels = find_field(task, field, FieldKind.ORDINAL).labels
    found = _composite(
        "quadratic_kappa",
        "quadratic kappa",
        field,
        metrics.quadratic_kappa,
        metrics.quadratic_kappa_statistic,
        levels,
    )
    return replace(found, unit="")


def top_read_as_bottom(task: Task, field: str) -> Metric:
    """Of the rows in the upper half of a scale, the share answered with the lower half.

    Of three levels, high read as low; of five, the upper two read as the lower two.
    """
    levels = find_field(task, field, FieldKind.ORDINAL).labels
    half = len(levels) // 2
    bottom, top = levels[:half], levels[-half:]

    def hit(row: EvaluatedRow) -> bool | None:
        return row.predicted(field) in bottom if row.example.labels[field] in top else None

    return _share(
        "top_read_as_bottom",
        f"{field} high read as low",
        hit,
        field=field,
        lower_is_better=True,
    )


def partial_match(task: Task, field: str) -> Metric:
    """Share of rows whose answer names at least one right label (seed 003's partial match).

    Exactly right sets are among them, and wrong values beside a right one cost nothing: a system
    that names every value each time has 100%. Read it beside `accuracy` and `jaccard`. Seed 003
    sets a goal for this rate (80%) without defining it; this is the usual reading.
    """
    find_field(task, field, FieldKind.MULTI_LABEL)

    def hit(row: EvaluatedRow) -> bool:
        predicted = row.predicted(field)
        label = row.example.labels[field]
        assert isinstance(label, tuple)
        return isinstance(predicted, tuple) and bool(set(predicted) & set(label))

    return _share("partial_match", f"{field} partial match", hit, field=field)


def jaccard(task: Task, field: str) -> Metric:
    """Mean share of labels that truth and answer have in common."""
    find_field(task, field, FieldKind.MULTI_LABEL)
    return _composite("jaccard", "Jaccard", field, metrics.jaccard, metrics.jaccard_statistic)


def micro_f1(task: Task, field: str) -> Metric:
    """F1 over all (row, label) pairs together."""
    find_field(task, field, FieldKind.MULTI_LABEL)
    return _composite("micro_f1", "micro-F1", field, metrics.micro_f1, metrics.micro_f1_statistic)


def calibration_error(task: Task, field: str) -> Metric:
    """How far confidence and accuracy are apart, on average (ECE)."""
    return _of_confidence(
        "calibration_error",
        "calibration error",
        task,
        field,
        metrics.expected_calibration_error,
    )


def brier_score(task: Task, field: str) -> Metric:
    """Mean squared distance between confidence and being right."""
    return replace(
        _of_confidence("brier_score", "Brier score", task, field, metrics.brier), unit=""
    )


def accuracy_at_coverage(task: Task, field: str, coverage: float) -> Metric:
    """Accuracy on the share of rows that the system is surest of."""
    find_field(task, field)

    def estimate(rows: Rows) -> Estimate:
        sure, right = confidences(rows, field)
        groups = groups_of(confident(rows, field))
        (point,) = metrics.accuracy_at_coverage(sure, right, (coverage,), groups=groups)
        return point.accuracy

    return Metric(
        f"accuracy_at_coverage_{100 * coverage:g}",
        f"{field} accuracy at {coverage:.0%} coverage",
        estimate,
        field=field,
    )


def parse_failure_rate() -> Metric:
    """Share of answers that could not be read at all."""
    return _fault("parse_failure_rate", "parse failures", lambda row: row.is_unreadable)


def format_violation_rate() -> Metric:
    """Share of answers that are not exactly one well-formed answer and nothing else."""
    return _fault(
        "format_violation_rate",
        "format violations",
        lambda row: isinstance(row.parsed.strict, ParseFailure),
    )


def out_of_enum_rate(task: Task, field: str | None = None) -> Metric:
    """Share of answers that name a value the task does not have, in any field or in one."""
    fields = [field] if field else list(task.fields)
    for name in fields:
        find_field(task, name)
    found = _fault(
        "out_of_enum_rate",
        f"{field} out of enum" if field else "out of enum",
        lambda row: any(isinstance(row.predicted(name), OutOfEnum) for name in fields),
    )
    return replace(found, field=field)


def missing_field_rate(task: Task) -> Metric:
    """Share of answers that were read and leave a field out."""
    return _fault(
        "missing_field_rate",
        "missing fields",
        lambda row: any(isinstance(row.predicted(name), Missing) for name in task.fields),
    )


def confident(rows: Rows, field: str) -> list[EvaluatedRow]:
    """The rows that the system's confidence in a field is judged by; none where it has none.

    Those of which it says how sure it is, and those whose answer names no value of the field.
    """
    if not any(field in row.completion.confidences for row in rows):
        return []
    return [row for row in rows if field in row.completion.confidences or _names_none(row, field)]


def confidences(rows: Rows, field: str) -> tuple[list[float], list[bool]]:
    """How sure the system was of a field and whether it was right, on the `confident` rows.

    An answer that names no value was given like any other, and nothing said to hold it back: it
    is wrong, with a confidence of 1.
    """
    sure = confident(rows, field)
    return (
        [row.completion.confidences.get(field, 1.0) for row in sure],
        [row.is_right(field) for row in sure],
    )


def _names_none(row: EvaluatedRow, field: str) -> bool:
    return not isinstance(row.predicted(field), str | int | tuple)


def find_field(task: Task, field: str, kind: FieldKind | None = None) -> Field:
    """The task's field of that name.

    Raises:
        UserError: there is none, or it is of another kind.
    """
    if field not in task.fields:
        near = did_you_mean(field, task.fields)
        raise UserError(
            f"Task '{task.name}' has no field '{field}'.{near} Fields: {', '.join(task.fields)}."
        )
    found = task.fields[field]
    if kind is not None and found.kind is not kind:
        raise UserError(f"Field '{field}' is {found.kind.value}, and this asks for {kind.value}.")
    return found


def check_value(task: Task, field: str, value: str | int) -> Field:
    """The task's field of that name, if it has the value.

    Raises:
        UserError: there is no such field, or it does not have the value.
    """
    found = find_field(task, field)
    if value not in found.labels:
        labels = [str(label) for label in found.labels]
        raise UserError(
            f"Field '{field}' has no value {value!r}.{did_you_mean(str(value), labels)} "
            f"Values: {', '.join(labels)}."
        )
    return found


def _share(
    key: str,
    name: str,
    hit: Callable[[EvaluatedRow], bool | None],
    *,
    field: str | None = None,
    value: str | int | None = None,
    lower_is_better: bool = False,
) -> Metric:
    def estimate(rows: Rows) -> Estimate:
        inside = [row for row in rows if hit(row) is not None]
        return metrics.share(
            [bool(hit(row)) for row in inside], groups=groups_of(inside), asked=name
        )

    def statistic(rows: Rows) -> Statistic:
        return metrics.share_statistic([hit(row) for row in rows])

    return Metric(
        key,
        name,
        estimate,
        statistic,
        hit,
        counts_against=lambda row: hit(row) is lower_is_better,
        lower_is_better=lower_is_better,
        field=field,
        value=value,
    )


def _composite(
    key: str,
    name: str,
    field: str,
    estimate: Callable[..., Estimate],
    statistic: Callable[..., Statistic],
    *more: object,
) -> Metric:
    """A number that is not a share, from functions of truths, answers and `more`."""
    return Metric(
        key,
        f"{field} {name}",
        lambda rows: estimate(*_columns(rows, field), *more, groups=groups_of(rows)),
        lambda rows: statistic(*_columns(rows, field), *more),
        counts_against=lambda row: not row.is_right(field),
        field=field,
    )


def _of_confidence(
    key: str, name: str, task: Task, field: str, estimate: Callable[..., Estimate]
) -> Metric:
    """A distance of confidence from being right."""
    find_field(task, field)
    return Metric(
        key,
        f"{field} {name}",
        lambda rows: estimate(*confidences(rows, field), groups=groups_of(confident(rows, field))),
        lower_is_better=True,
        field=field,
    )


def _fault(key: str, name: str, is_case: Callable[[EvaluatedRow], bool]) -> Metric:
    return replace(_share(key, name, is_case, lower_is_better=True), on_clean_rows=False)


def _columns(rows: Rows, field: str) -> tuple[list[Label], list[Predicted]]:
    return [row.example.labels[field] for row in rows], [row.predicted(field) for row in rows]


def _weakest(spec: Field, field: str, rows: Rows) -> Note:
    """The value with the lowest recall, and what it is most often taken for."""
    recalls = {}
    for value in spec.labels:
        hits = [_holds(row.predicted(field), value) for row in rows if has_label(row, field, value)]
        if hits:
            recalls[value] = (sum(hits), len(hits))
    if not recalls:
        return Note("")
    worst = min(recalls, key=lambda value: recalls[value][0] / recalls[value][1])
    right, n = recalls[worst]
    name = spec.display(worst)
    found = [say("worst.recall", value=name, recall=right / n, right=right, n=n)]
    mistakes = Counter(
        describe_predicted(spec, row.predicted(field))
        for row in rows
        if has_label(row, field, worst) and not _holds(row.predicted(field), worst)
    )
    if mistakes:
        taken_for, count = mistakes.most_common(1)[0]
        found.append(say("worst.read_as", right=name, said=taken_for, n=count))
    return in_a_row(found)


def has_label(row: EvaluatedRow, field: str, value: str | int) -> bool:
    """Whether a value is a row's right one, or one of them."""
    return _holds(row.example.labels[field], value)


def _holds(predicted: Predicted, value: str | int) -> bool:
    return value in predicted if isinstance(predicted, tuple) else predicted == value


def _read(name: str, loaded: Any) -> MakeMetric | None:
    return loaded if callable(loaded) else None


METRICS = Registry[MakeMetric](
    "metrics",
    {
        make.__name__: make
        for make in (
            accuracy,
            all_correct,
            recall,
            precision,
            macro_f1,
            mean_absolute_error,
            quadratic_kappa,
            top_read_as_bottom,
            partial_match,
            jaccard,
            micro_f1,
            calibration_error,
            brier_score,
            accuracy_at_coverage,
            parse_failure_rate,
            format_violation_rate,
            out_of_enum_rate,
            missing_field_rate,
        )
    },
    _read,
)
"""A package adds a function that `metric` made, or that makes a `Metric` of a task and a field."""
