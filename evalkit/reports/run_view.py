"""One run in the terminal, beyond its gates: values, confusions, calibration, worst cases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from evalkit.data.nearest import Neighbour
from evalkit.data.quoting import one_line
from evalkit.evaluation import Evaluation
from evalkit.gates import Release
from evalkit.locale import Lang
from evalkit.printable import printable
from evalkit.records import Example
from evalkit.reports.judged import JudgedRun
from evalkit.reports.mistakes import (
    Mistake,
    describe_mistake,
    find_mistakes,
    mistake_to_json,
)
from evalkit.reports.numbers import number
from evalkit.reports.render.data import to_data
from evalkit.reports.render.terminal import to_terminal
from evalkit.reports.sections.measured import Measured, measure
from evalkit.reports.sections.run import run_sections
from evalkit.reports.sections.slices import calibration_blocks, field_blocks
from evalkit.reports.terminal import release_report
from evalkit.reports.verdicts import verdicts_to_json

WORST = 5
"""Cases shown of each field."""
_TEXT_WIDTH = 220


def run_view(run: JudgedRun, field: str | None = None, lang: Lang = "en") -> list[RenderableType]:
    """The verdict, the gates, each field's (or one's) values, confusions and worst cases."""
    evaluation = run.evaluation
    verdict = Text(f"{printable(run.system)}: {printable(run.verdict, 300)}", style="bold")
    shown: list[RenderableType] = [verdict, Text(_heading(run)), *release_report(run, lang)]
    measured = measure(run)
    for name in evaluation.task.fields if field is None else (field,):
        shown += [Text(""), Text(printable(name), style="bold")]
        shown += _field(evaluation, name, measured, lang)
    return shown


def run_to_json(run: JudgedRun, field: str | None = None) -> dict[str, Any]:
    """The same as data: what `verdicts.json` holds, the run's identity, worst cases, sections."""
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
        "may_ship": run.may_ship,
        "by_other_criteria": run.by_others,
        "caveats": list(release.caveats),
        **{key: content[key] for key in keys},
        "fields": fields,
        "contamination": record.contamination.to_json(),
        "cost": record.cost.to_json(),
        "notes": record.notes,
        "sections": {name: to_data(blocks) for name, blocks in run_sections(run).items()},
    }


def _heading(run: JudgedRun) -> str:
    parts = [f"run {printable(run.name)}", f"{run.started:%Y-%m-%d %H:%M} UTC"]
    commit = run.evaluation.record.commit
    if commit:
        parts.append(f"commit {printable(str(commit), 13)}")
    return ", ".join(parts)


def _worst(evaluation: Evaluation, field: str) -> list[Mistake]:
    return find_mistakes(evaluation, field)[:WORST]


def _field(
    evaluation: Evaluation, field: str, measured: Measured, lang: Lang
) -> list[RenderableType]:
    """One field: its values, what was taken for what, calibration, the worst cases."""
    if not evaluation.clean_rows:
        return [Text("no clean rows to count")]
    shown = to_terminal(
        [*field_blocks(evaluation, field, measured), *calibration_blocks(evaluation, field)], lang
    )
    mistakes = find_mistakes(evaluation, field)
    if mistakes:
        told = "the most confident first" if mistakes[0].confidence is not None else "the first"
        worst = mistakes[:WORST]
        head = f"{len(worst)} of {len(mistakes)} rows with a wrong {printable(field)}, {told}:"
        shown += [Text(head), mistake_table(worst, evaluation)]
    return shown


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
        if row.contaminated_by is not None:
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
    return printable(one_line(example.inputs.values()), _TEXT_WIDTH)


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
