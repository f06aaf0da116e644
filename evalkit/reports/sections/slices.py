"""What a run says of each value of each field: scores, confusion, the weakest, wrong answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from evalkit.evaluation import EvaluatedRow, Evaluation
from evalkit.gates import Outcome, Verdict
from evalkit.locale import say
from evalkit.metrics import LabelScores, Predicted
from evalkit.records import Label, Missing, OutOfEnum
from evalkit.reports.sections.measured import Measured
from evalkit.reports.view import (
    Blocks,
    Cell,
    Code,
    Column,
    Count,
    Data,
    Figure,
    Heading,
    Link,
    Paragraph,
    Plain,
    Reliability,
    Table,
    bound,
    col,
    columns,
    figure,
    listed,
    phrase,
    span_of,
    table,
    table_of,
    with_span,
)
from evalkit.tasks import Field, FieldKind

SAMPLES = 5
"""Wrong answers shown of each field."""
WIDEST_MATRIX, WIDEST_DRAWN = 12, 24
"""Values of a field whose confusion is shown as a matrix, and of one that only pages show."""
FREQUENT = 10
"""Wrong answers that are counted where there is no matrix."""
CLEAN = "clean"
"""What a table of rows says of one that repeats no training row."""
CUT_ID, CUT_INPUT, _CUT_SAID = 40, 100, 80


def slice_section(evaluation: Evaluation, measured: Measured) -> Blocks:
    """Scores of every value, the least recall, and what was taken for what."""
    blocks: Blocks = []
    for name in evaluation.task.fields:
        blocks += [Heading(3, name), *field_blocks(evaluation, name, measured)]
    return blocks


def field_blocks(evaluation: Evaluation, name: str, measured: Measured) -> Blocks:
    """The same of one field."""
    scores, field = measured.scores[name], evaluation.task.fields[name]
    if not scores:
        return [Paragraph(phrase("no_rows"))]
    blocks = [*_score_table(name, field, measured, scores), *_lowest(evaluation, name, scores)]
    if field.kind is FieldKind.MULTI_LABEL:
        blocks += _by_label(name, field, scores)
    return [*blocks, *_confusion(evaluation, name)]


def calibration_section(evaluation: Evaluation) -> Blocks:
    """How sure the system was, against how often it was right, of each field."""
    blocks: Blocks = []
    for name in evaluation.task.fields:
        if found := calibration_blocks(evaluation, name):
            blocks += [Heading(3, name), *found]
    return blocks


def calibration_blocks(evaluation: Evaluation, name: str) -> Blocks:
    """The same of one field; none where the system gives no confidence."""
    bins = tuple(found for found in evaluation.reliability(name) if found.accuracy.n)
    if not bins:
        return []
    rows = table_of(
        bins,
        (col("confidence", is_text=True), lambda b: f"{100 * b.low:.0f}-{100 * b.high:.0f}%"),
        (col("rows"), lambda b: b.accuracy.n),
        (col("mean_confidence"), lambda b: Figure(b.mean_confidence)),
        (col("accuracy"), lambda b: figure(b.accuracy)),
        (col("interval"), lambda b: span_of(b.accuracy)),
    )
    return [Reliability(name, bins), *rows]


def error_section(evaluation: Evaluation, verdicts: Sequence[Verdict] = ()) -> Blocks:
    """A few wrong answers of each field: what most failed gates count, then the most confident."""
    blocks: Blocks = []
    inputs = evaluation.task.inputs
    for name, field in evaluation.task.fields.items():
        wrong = [row for row in evaluation.clean_rows if not row.is_right(name)]
        title = phrase("errors_of", field=name, wrong=len(wrong), n=len(evaluation.clean_rows))
        blocks.append(Heading(3, title))
        if not wrong:
            continue
        sure = any(name in row.completion.confidences for row in wrong)
        counted = _counted_against(name, verdicts)
        wrong.sort(key=_confidence_of(name), reverse=True)
        shown = sorted(wrong, key=lambda row: -counted[row.example.id])[:SAMPLES]
        predicted = "most_confident" if sure else "first_ones"
        if len({counted[row.example.id] for row in wrong}) > 1:
            predicted = "of_failed"
        blocks.append(Paragraph(phrase(predicted, shown=len(shown))))
        heads = [
            phrase("col.id"),
            *(spec.title for spec in inputs.values()),
            phrase("col.expected"),
            phrase("col.predicted"),
            *([phrase("col.confidence")] if sure else []),
        ]
        rows = [
            [
                Data(row.example.id, CUT_ID),
                *(Data(row.example.inputs.get(key, ""), CUT_INPUT) for key in inputs),
                shown_predicted(field, row.example.labels[name]),
                answer_of(row, name, field),
                *([_confidence(row, name)] if sure else []),
            ]
            for row in shown
        ]
        blocks += table(heads, rows, len(inputs) + 3)
    return blocks


def _counted_against(name: str, verdicts: Sequence[Verdict]) -> Counter[str]:
    """Row id -> how many failed gates of a field, or of all, count it."""
    failed = (
        verdict.wrong
        for verdict in verdicts
        if verdict.outcome is Outcome.FAIL and not verdict.cases
        if verdict.metric is None or verdict.metric.field in (None, name)
    )
    return Counter(row.example.id for rows in failed for row in rows)


def shown_value(field: Field, value: Label) -> str:
    """A value with its word: `1 (low)`."""
    word = field.display(value)
    return word if isinstance(value, tuple) or word == str(value) else f"{value} ({word})"


def shown_predicted(field: Field, predicted: Predicted) -> Cell:
    """What an answer gives a field."""
    if predicted is None:
        return phrase("said.unreadable")
    if isinstance(predicted, Missing):
        return phrase("said.missing")
    if isinstance(predicted, OutOfEnum):
        return (
            phrase("said.out_of_enum_value", text=Data(predicted.text, _CUT_SAID))
            if predicted.text
            else phrase("said.out_of_enum")
        )
    return shown_value(field, predicted)


def _score_table(
    name: str, field: Field, measured: Measured, scores: Sequence[LabelScores]
) -> Blocks:
    def value(s: LabelScores) -> Cell:
        return Link(shown_value(field, s.value), {f"right.{name}": field.display(s.value)})

    return table_of(
        scores,
        (col("label", is_text=True, folds=True), value),
        (col("precision"), lambda s: with_span(s.precision)),
        (col("recall"), lambda s: with_span(s.recall)),
        (col("f1", drop=1), lambda s: with_span(s.f1)),
        (col("n"), lambda s: s.support),
        (col("named", drop=2), lambda s: s.named),
        (col("gate", is_text=True, drop=3), lambda s: _gates_of(measured.of_recall(name, s))),
    )


def _lowest(evaluation: Evaluation, name: str, scores: Sequence[LabelScores]) -> Blocks:
    """The value of least recall, and what its rows are wrongly read as most often."""
    found = [(s.recall, s.value) for s in scores if s.recall is not None]
    if not found:
        return []
    recall, value = min(found, key=lambda pair: pair[0].value)
    misread = Counter(
        _kind_of(row.predicted(name))
        for row in evaluation.clean_rows
        if _holds(row.example.labels[name], value) and not _holds(row.predicted(name), value)
    )
    field = evaluation.task.fields[name]
    return [
        Paragraph(
            phrase(
                "lowest_recall",
                value=shown_value(field, value),
                recall=figure(recall),
                right=recall.successes or 0,
                n=recall.n,
                other=shown_predicted(field, predicted),
                times=times,
            )
        )
        for predicted, times in misread.most_common(1)
    ]


def _gates_of(verdicts: Sequence[Verdict]) -> Cell:
    found = [
        phrase(
            "gate_verdict",
            gate=Code(verdict.gate),
            bound=bound(verdict),
            outcome=phrase(f"outcome.{verdict.outcome.value}"),
        )
        for verdict in verdicts
    ]
    return listed(found, "form.clauses") if found else None


def _by_label(name: str, field: Field, scores: Sequence[LabelScores]) -> Blocks:
    """Of each value of a set: rows that have it and name it, that miss it, that name it without."""

    def right(s: LabelScores) -> int:
        return (s.recall.successes or 0) if s.recall else 0

    def named_right(s: LabelScores) -> Cell:
        label = field.display(s.value)
        both = {f"right.{name}": label, f"said.{name}": label}
        return Link(right(s), both) if right(s) else 0

    return table_of(
        scores,
        (col("label", is_text=True), lambda s: shown_value(field, s.value)),
        (col("named_right"), named_right),
        (col("missed"), lambda s: s.support - right(s)),
        (col("overcalled"), lambda s: s.named - right(s)),
    )


def _confusion(evaluation: Evaluation, name: str) -> Blocks:
    field = evaluation.task.fields[name]
    if field.kind is FieldKind.MULTI_LABEL or len(field.labels) > WIDEST_DRAWN:
        return _frequent_errors(evaluation, name)
    matrix = _matrix(evaluation, name, field)
    if len(field.labels) <= WIDEST_MATRIX:
        return [matrix]
    return [replace(matrix, is_wide=True), *_frequent_errors(evaluation, name)]


def _matrix(evaluation: Evaluation, name: str, field: Field) -> Table:
    found = evaluation.confusion(name)
    others = [
        (key, cells)
        for key, cells in (
            ("said.out_of_enum", found.out_of_enum),
            ("said.missing", found.missing),
            ("said.unreadable", found.unreadable),
        )
        if any(cells)
    ]
    heads = [
        phrase("col.truth"),
        *(shown_value(field, value) for value in found.values),
        *(phrase(key) for key, _ in others),
    ]
    clean = {"seen": CLEAN} if len(evaluation.clean_rows) < len(evaluation.rows) else {}
    rows: list[list[Cell]] = []
    for place, value in enumerate(found.values):
        right = {f"right.{name}": field.display(value)}
        told = [
            *((n, field.display(v)) for v, n in zip(found.values, found.counts[place], strict=True))
        ]
        # An answer that is none of the task's values is filtered by its text.
        told += [
            (cells[place], "" if key == "said.out_of_enum" else str(say(key)))
            for key, cells in others
        ]
        of = sum(n for n, _ in told)
        rows.append(
            [
                shown_value(field, value),
                *(
                    Count(
                        n,
                        of,
                        at == place,
                        {**right, f"said.{name}": answer, **clean} if n and answer else {},
                    )
                    for at, (n, answer) in enumerate(told)
                ),
            ]
        )
    columns = (Column(head, is_text=not place) for place, head in enumerate(heads))
    return Table(tuple(columns), tuple(map(tuple, rows)))


def _frequent_errors(evaluation: Evaluation, name: str) -> Blocks:
    field = evaluation.task.fields[name]
    counts = Counter(
        (row.example.labels[name], _kind_of(row.predicted(name)))
        for row in evaluation.clean_rows
        if not row.is_right(name)
    )
    rows = [
        [shown_predicted(field, truth), shown_predicted(field, predicted), n]
        for (truth, predicted), n in counts.most_common(FREQUENT)
    ]
    if not rows:
        return []
    heads = columns("expected", "predicted", "rows")
    return [Paragraph(phrase("most_frequent_errors")), *table(heads, rows, 2)]


def _kind_of(predicted: Predicted) -> Predicted:
    """What is said, with all that is out of the enum as one."""
    return OutOfEnum("") if isinstance(predicted, OutOfEnum) else predicted


def answer_of(row: EvaluatedRow, name: str, field: Field) -> Cell:
    """What a row's answer gives a field; of one that cannot be read, the text."""
    if row.is_unreadable:
        return phrase("said.unreadable_answer", text=Data(row.completion.text, _CUT_SAID))
    return shown_predicted(field, row.predicted(name))


def _confidence(row: EvaluatedRow, name: str) -> Cell:
    sure = row.completion.confidences.get(name)
    return None if sure is None else Plain(sure, ".2f")


def _confidence_of(name: str) -> Callable[[EvaluatedRow], float]:
    return lambda row: row.completion.confidences.get(name, -1.0)


def _holds(predicted: Predicted, value: str | int) -> bool:
    return value in predicted if isinstance(predicted, tuple) else predicted == value
