"""Two runs of the same rows, side by side."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from evalkit.errors import InsufficientData
from evalkit.evaluation import Contest, EvaluatedRow, Evaluation, compare, pair
from evalkit.reports.judged import JudgedRun
from evalkit.reports.numbers import cost_line
from evalkit.reports.printable import printable
from evalkit.reports.render.terminal import to_terminal
from evalkit.reports.terminal import flipped_case
from evalkit.reports.verdicts import contest_to_json
from evalkit.reports.view import (
    Blocks,
    Cell,
    Column,
    PValue,
    Tone,
    Toned,
    contest_span,
    difference_of,
    figure,
    is_shown,
    metric_name,
    phrase,
    table,
)
from evalkit.systems import shown_path
from evalkit.tasks import Field, Task

Pairs = Sequence[tuple[EvaluatedRow, EvaluatedRow]]
"""Each row of A with that of B."""
IDENTITY = (
    ("base", "base weights"),
    ("weights_sha256", "base weights' content"),
    ("trained_sha256", "what training left"),
    ("quantization", "quantization"),
    ("format", "format"),
    ("task_sha256", "task"),
    ("prompt_sha256", "prompt"),
    ("engine", "engine"),
    ("packages", "packages"),
    ("machine", "machine"),
    ("commit", "commit"),
)
"""What of a record decides its answers, and how that is called."""


def contests(first: Evaluation, second: Evaluation) -> list[Contest]:
    """Every usual metric and slice that both have data for."""
    found = []
    for metric in (*first.usual_metrics(), *first.slice_metrics()):
        with contextlib.suppress(InsufficientData):
            found.append(compare(first, second, metric))
    return found


def comparison_report(a: JudgedRun, b: JudgedRun, *, show: int) -> list[RenderableType]:
    """Metrics and slices with paired tests, flipped rows, what differs, cost and verdicts.

    Args:
        a: a run.
        b: another on the same rows.
        show: how many flipped rows to show each way.
    """
    first, second = a.evaluation, b.evaluation
    one, other = run_names(first, second, (a.folder, b.folder))
    pairs = list(zip(*pair(first.rows, second.rows), strict=True))
    found = contests(first, second)
    clean = sum(ours.seen is None and theirs.seen is None for ours, theirs in pairs)
    shown: list[RenderableType] = [
        Text(f"A: {one}\nB: {other}"),
        *to_terminal(contest_table(found, first.task.fields)),
        Text(
            f"{len(first.rows):,} rows, {clean:,} of them clean for both; McNemar's test for "
            "shares, a paired bootstrap for the rest; p without correction for their number"
        ),
    ]
    shown += [Text(line) for line in _answers_that_differ(pairs, first.task)]
    for contest in found:
        if contest.metric.key == "accuracy":
            shown += _flips(contest, pairs, first.task, show)
    shown += [Text(line) for line in (*record_differences(first, second), *_costs(first, second))]
    shown += [Text(f"{label}: {run.verdict}") for label, run in (("A", a), ("B", b))]
    return shown


def contest_table(contests: Sequence[Contest], fields: Mapping[str, Field]) -> Blocks:
    """A number of two systems on each row, with the paired test."""
    heads = [
        phrase("col.metric"),
        "A",
        "B",
        phrase("head.test_difference"),
        Column(phrase("col.ci"), drop=1),
        phrase("col.p"),
    ]
    rows: list[list[Cell]] = []
    for contest in contests:
        test, unit = contest.comparison, contest.metric.unit
        tone: Tone = ""
        if is_shown(contest):
            tone = "good" if contest.advantage > 0 else "bad"
        rows.append(
            [
                metric_name(contest.metric, fields),
                figure(test.first, unit),
                figure(test.second, unit),
                Toned(difference_of(contest), tone),
                contest_span(contest),
                PValue(test.p_value),
            ]
        )
    return table(heads, rows)


def comparison_to_json(first: Evaluation, second: Evaluation) -> dict[str, Any]:
    """The same as data; rows by their ids."""
    return {
        "systems": [first.system, second.system],
        "rows": len(first.rows),
        "metrics": [contest_to_json(contest) for contest in contests(first, second)],
        "differences": record_differences(first, second),
        "cost": [first.record.cost.to_json(), second.record.cost.to_json()],
    }


def run_names(first: Evaluation, second: Evaluation, folders: Sequence[Path]) -> tuple[str, str]:
    """What the two are called: the systems' names and the runs."""
    one, other = (
        f"{printable(evaluation.system)} ({shown_path(folder)})"
        for evaluation, folder in zip((first, second), folders, strict=True)
    )
    return one, other


def _answers_that_differ(pairs: Pairs, task: Task) -> list[str]:
    """How many answers are not the same, right or wrong."""
    text = sum(a.completion.text != b.completion.text for a, b in pairs)
    value = sum(any(a.said(f) != b.said(f) for f in task.fields) for a, b in pairs)
    return [f"{text:,} raw answers differ, {value:,} parsed"]


def _flips(contest: Contest, pairs: Pairs, task: Task, show: int) -> list[Text]:
    theirs = {ours.example.id: other for ours, other in pairs}
    shown = []
    for rows, which in ((contest.lost, "B"), (contest.won, "A")):
        if rows:
            shown.append(Text(f"{contest.metric.field}: {len(rows)} rows right in {which} alone"))
            shown += [
                Text(f"  {flipped_case(row, theirs[row.example.id], task)}") for row in rows[:show]
            ]
    return shown


def record_differences(first: Evaluation, second: Evaluation) -> list[str]:
    """What identifies the runs and is not the same."""
    one, other = first.record.identity(), second.record.identity()
    differ = [what for key, what in IDENTITY if one[key] != other[key]]
    return [f"they differ in: {', '.join(differ) or 'nothing that is recorded'}"]


def _costs(first: Evaluation, second: Evaluation) -> list[str]:
    return [f"{label}: {cost_line(e.record.cost)}" for label, e in (("A", first), ("B", second))]
