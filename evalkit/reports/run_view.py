"""One run in the terminal, beyond its gates: values, confusions, calibration, worst cases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from evalkit.data.nearest import Neighbour
from evalkit.evaluation import Evaluation
from evalkit.gates import Release
from evalkit.records import Estimate, Example
from evalkit.reports.judged import JudgedRun
from evalkit.reports.mistakes import (
    Mistake,
    describe_mistake,
    find_mistakes,
    mistake_to_json,
)
from evalkit.reports.numbers import cost_line, number
from evalkit.reports.printable import printable
from evalkit.reports.render.terminal import to_terminal
from evalkit.reports.terminal import (
    contamination_line,
    measured_lines,
    release_report,
)
from evalkit.reports.verdicts import verdicts_to_json
from evalkit.reports.view import (
    Blocks,
    Cell,
    Column,
    Data,
    Figure,
    Paragraph,
    Toned,
    figure,
    phrase,
    span_of,
    table,
)
from evalkit.systems import shown_path
from evalkit.tasks import FieldKind

WORST = 5
"""Cases shown of each field."""
MATRIX_VALUES = 8
"""With more values than these a confusion matrix does not fit; the commonest are listed."""
CONFUSIONS = 10
_VALUE_WIDTH = 16
_TEXT_WIDTH = 220


def run_view(run: JudgedRun, field: str | None = None) -> list[RenderableType]:
    """The verdict, the gates, each field's values, confusions and worst cases, cost and notes.

    Args:
        run: a run with its verdicts.
        field: shows no other field's details.
    """
    evaluation, record = run.evaluation, run.evaluation.record
    verdict = Text(f"{printable(run.system)}: {printable(run.verdict, 300)}", style="bold")
    shown: list[RenderableType] = [verdict, Text(_heading(run))]
    closing = None
    if run.release is not None:
        *judged, closing = release_report(run.release, evaluation, shown_path(run.folder))
        shown += judged
    else:
        shown.append(Text(f"{len(evaluation.rows)} rows of {printable(record.data.source)}"))
        shown.append(Text(f"cost: {cost_line(record.cost)}"))
        shown += [Text(line) for line in measured_lines(evaluation)]
        shown.append(Text(contamination_line(evaluation)))
        shown += [Text(f"note: {printable(note, 200)}") for note in record.all_notes]
    for name in evaluation.task.fields if field is None else (field,):
        shown += [Text(""), Text(printable(name), style="bold")]
        shown += _field(evaluation, name)
    if closing is not None:
        shown += [Text(""), closing]
    return shown


def run_to_json(run: JudgedRun, field: str | None = None) -> dict[str, Any]:
    """The same as data: what `verdicts.json` holds, what identifies the run, the worst cases."""
    evaluation = run.evaluation
    release = run.release or Release(run.system, (), (), partial=False)
    content = verdicts_to_json(release, evaluation, "")
    fields = {
        name: {**found, "worst": [mistake_to_json(m, evaluation) for m in _worst(evaluation, name)]}
        for name, found in content["fields"].items()
        if field in (None, name)
    }
    record = evaluation.record
    keys = ("faults", "not_judged", "does_not_apply", "regressions", "gates", "measured")
    return {
        "run": run.name,
        "folder": str(run.folder),
        "system": run.system,
        "started": record.started,
        "task": evaluation.task.name,
        "rows": len(evaluation.rows),
        "clean_rows": len(evaluation.clean_rows),
        "data": record.data.to_json(),
        "verdict": run.verdict,
        "may_ship": None if run.release is None or release.partial else release.may_ship,
        **{key: content[key] for key in keys},
        "fields": fields,
        "contamination": record.contamination.to_json(),
        "cost": record.cost.to_json(),
        "notes": record.notes,
    }


def _heading(run: JudgedRun) -> str:
    parts = [f"run {printable(run.name)}", f"{run.started:%Y-%m-%d %H:%M} UTC"]
    commit = run.evaluation.record.commit
    if commit:
        parts.append(f"commit {printable(str(commit), 13)}")
    return ", ".join(parts)


def _worst(evaluation: Evaluation, field: str) -> list[Mistake]:
    return find_mistakes(evaluation, field)[:WORST]


def _field(evaluation: Evaluation, field: str) -> list[RenderableType]:
    """One field: its values, what was taken for what, calibration, the worst cases."""
    if not evaluation.clean_rows:
        return [Text("no clean rows to count")]
    blocks = [*_values(evaluation, field), *_confusion(evaluation, field)]
    shown = to_terminal([*blocks, *_reliability(evaluation, field)])
    mistakes = find_mistakes(evaluation, field)
    if mistakes:
        told = "the most confident first" if mistakes[0].confidence is not None else "the first"
        worst = mistakes[:WORST]
        head = f"{len(worst)} of {len(mistakes)} rows with a wrong {printable(field)}, {told}:"
        shown += [Text(head), mistake_table(worst, evaluation)]
    return shown


def _values(evaluation: Evaluation, field: str) -> Blocks:
    spec = evaluation.task.fields[field]
    heads = [
        Column(phrase("col.label"), is_text=True, folds=True),
        Column(phrase("col.rows"), drop=2),
        Column(phrase("head.said"), drop=3),
        Column(phrase("head.precision")),
        Column(phrase("col.ci"), drop=5),
        Column(phrase("head.recall")),
        Column(phrase("col.ci"), drop=4),
        Column(phrase("head.f1"), drop=1),
    ]
    rows = [
        [
            spec.display(scores.value),
            scores.support,
            scores.named,
            *_with_interval(scores.precision),
            *_with_interval(scores.recall),
            figure(scores.f1),
        ]
        for scores in evaluation.label_scores(field)
    ]
    return table(heads, rows)


def _with_interval(estimate: Estimate | None) -> tuple[Cell, Cell]:
    return (None, "") if estimate is None else (figure(estimate), span_of(estimate))


def _confusion(evaluation: Evaluation, field: str) -> Blocks:
    found, spec = evaluation.confusion(field), evaluation.task.fields[field]
    names = [Data(spec.display(value), _VALUE_WIDTH) for value in found.values]
    columns = (found.out_of_enum, found.missing, found.unreadable)
    none = [sum(counts) for counts in zip(*columns, strict=True)]
    if spec.kind is FieldKind.MULTI_LABEL or len(names) > MATRIX_VALUES:
        return _confusions(evaluation, field)
    heads = [phrase("head.truth"), *names, *([phrase("head.none")] if any(none) else [])]
    rows = [
        [
            name,
            *(
                Toned(count, "strong" if place == at else "" if count else "quiet")
                for place, count in enumerate(counts)
            ),
            *([none[at]] if any(none) else []),
        ]
        for at, (name, counts) in enumerate(zip(names, found.counts, strict=True))
    ]
    return table(heads, rows)


def _confusions(evaluation: Evaluation, field: str) -> Blocks:
    """The commonest of a field with many values."""
    found, spec = evaluation.confusion(field), evaluation.task.fields[field]
    counted: list[tuple[int, int, Cell]] = [
        (count, i, spec.display(found.values[j]))
        for i, row in enumerate(found.counts)
        for j, count in enumerate(row)
        if i != j and count
    ]
    for code, column in (
        ("said.out_of_enum", found.out_of_enum),
        ("said.missing", found.missing),
        ("said.unreadable", found.unreadable),
    ):
        counted += [(count, i, phrase(code)) for i, count in enumerate(column) if count]
    counted.sort(key=lambda entry: -entry[0])
    heads = [
        Column(phrase("head.right"), is_text=True, folds=True),
        Column(phrase("head.said"), is_text=True, folds=True),
        Column(phrase("col.rows")),
    ]
    rows = [[spec.display(found.values[i]), said, count] for count, i, said in counted[:CONFUSIONS]]
    more = len(counted) - CONFUSIONS
    return [*table(heads, rows), *([Paragraph(phrase("rarer", n=more))] if more > 0 else [])]


def _reliability(evaluation: Evaluation, field: str) -> Blocks:
    heads = [
        phrase("col.confidence"),
        phrase("col.rows"),
        Column(phrase("head.mean_confidence"), drop=1),
        phrase("head.accuracy"),
        phrase("col.ci"),
    ]
    rows = [
        [
            f"{100 * point.low:.0f}-{100 * point.high:.0f}%",
            point.accuracy.n,
            Figure(point.mean_confidence),
            *_with_interval(point.accuracy),
        ]
        for point in evaluation.reliability(field)
        if point.accuracy.n
    ]
    return table(heads, rows)


def mistake_table(
    mistakes: Sequence[Mistake],
    evaluation: Evaluation,
    neighbours: Sequence[Sequence[Neighbour]] = (),
) -> Table:
    """Wrong rows: how confident the system was, what it said, the text, the nearest rows."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for place, mistake in enumerate(mistakes):
        row = mistake.row
        sure = "-" if mistake.confidence is None else number(mistake.confidence)
        said = Text(f"{printable(row.example.id, 40)}  ", style="bold")
        said.append(printable(describe_mistake(mistake, evaluation), _TEXT_WIDTH), style="red")
        if row.completion.margin is not None:
            said.append(f"  margin {row.completion.margin:.2f}", style="dim")
        if row.seen is not None:
            said.append("  repeats a training row", style="yellow")
        table.add_row(sure, said)
        table.add_row("", Text(_inputs(row.example)))
        for near in neighbours[place] if neighbours else ():
            labels = ", ".join(
                spec.display(near.example.labels[name])
                for name, spec in evaluation.task.fields.items()
            )
            told = Text(f"{number(near.similarity)} alike, labelled ", style="dim")
            told.append(printable(labels, _TEXT_WIDTH), style="")
            told.append(f"  {_inputs(near.example)}", style="dim")
            table.add_row("", told)
        if neighbours and not neighbours[place]:
            table.add_row("", Text("no training row has anything in common with it", style="dim"))
    return table


def _inputs(example: Example) -> str:
    return printable(" | ".join(text for text in example.inputs.values() if text), _TEXT_WIDTH)


def errors_page(
    evaluation: Evaluation,
    mistakes: Sequence[Mistake],
    all_of_them: int,
    neighbours: Sequence[Sequence[Neighbour]] = (),
    *,
    field: str | None = None,
) -> list[RenderableType]:
    """Some of a run's mistakes, under a line that says of how many."""
    what = f"a wrong {printable(field)}" if field else "a wrong answer"
    system, rows = printable(evaluation.system), len(evaluation.rows)
    head = f"{system}: {all_of_them} of {rows} rows with {what}"
    if any(mistake.confidence is not None for mistake in mistakes):
        head += ", the most confident first"
    if not mistakes:
        return [Text(f"{head}.")]
    return [Text(f"{head}:"), mistake_table(mistakes, evaluation, neighbours)]
