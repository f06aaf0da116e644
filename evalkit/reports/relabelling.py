"""Labels that are likely wrong, and what corrected ones come to: a run's figures under them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from evalkit.data.quoting import one_line
from evalkit.data.relabelling import Relabelled
from evalkit.errors import InsufficientData
from evalkit.evaluation import Evaluation, Measurement
from evalkit.gates import Verdict, judge
from evalkit.records import Label
from evalkit.reports.judged import JudgedRun
from evalkit.reports.sheets import Sheet, sheet
from evalkit.reports.view import Blocks, Cell, grid, with_span
from evalkit.tasks import Task
from evalkit.training.label_errors import LabelError


@dataclass(frozen=True, slots=True)
class Effect:
    """A run's figures under the labels it was judged by, and under the corrected ones."""

    before: Evaluation
    after: Evaluation
    gates: tuple[tuple[Verdict, Verdict], ...]
    """What each gate said and what it would say, of those that can be judged from answers alone
    and whose number is another."""

    @property
    def figures(self) -> Iterator[tuple[Measurement, Measurement]]:
        """The usual numbers that are others."""
        then, now = self.before.overview(), self.after.overview()
        for name, measured in then.items():
            if name in now and now[name].estimate != measured.estimate:
                yield measured, now[name]


def effect_of(relabelled: Relabelled, judged: JudgedRun) -> Effect:
    """Read a run's stored answers under corrected labels. Asks no model."""
    before = judged.evaluation
    rows = tuple(
        replace(row, example=relabelled.examples.get(row.example.id, row.example))
        for row in before.rows
    )
    after = Evaluation(before.system, before.task, rows, before.record)
    return Effect(before, after, tuple(_gates(judged, after)))


def _gates(judged: JudgedRun, after: Evaluation) -> Iterator[tuple[Verdict, Verdict]]:
    known = {m.identity: m for m in (*after.usual_metrics(), *after.slice_metrics())}
    for verdict in judged.release.verdicts if judged.release else ():
        metric = known.get(verdict.metric.identity) if verdict.metric else None
        if metric is None or verdict.paired is not None:
            continue
        if judged.evaluation.measure(metric).estimate != verdict.estimate:
            continue  # of other rows than the run's own
        with suppress(InsufficientData):
            measured = after.measure(metric)
            if measured.estimate != verdict.estimate:
                yield (
                    verdict,
                    judge(verdict.gate, verdict.policy, measured, slice_name=verdict.slice),
                )


def relabel_sheet(
    relabelled: Relabelled, task: Task, source: str, effect: Effect | None, show: int
) -> Sheet:
    """What changed, by whom, and what that did."""
    by = {name for change in relabelled.changes for name in change.by}
    rows = len({change.id for change in relabelled.changes})
    lines = [
        f"{len(relabelled.changes):,} labels of {rows:,} rows of {source} changed; "
        f"{relabelled.confirmed:,} were looked at and stay.",
        f"By {', '.join(sorted(by))}." if by else "The file does not say by whom.",
    ]
    changed = [
        (c.id, c.field, *(_text(task, c.field, v) for v in (c.before, c.after)), ", ".join(c.by))
        for c in relabelled.changes[:show]
    ]
    grids = [grid("Changed", ("row", "field", "was", "is", "by"), changed, is_text=True)]
    if relabelled.disagreements:
        left = [
            (id, field, "; ".join(_text(task, field, label) for label in labels))
            for (id, field), labels in list(relabelled.disagreements.items())[:show]
        ]
        lines.append(
            f"{len(relabelled.disagreements):,} labels are in dispute and stay as they are."
        )
        grids.append(grid("In dispute", ("row", "field", "said"), left, is_text=True))
    if effect is not None:
        grids += _effect_grids(effect)
        lines.append(
            f"{effect.before.system} was not asked again: its stored answers, held against the "
            "corrected labels."
        )
    return sheet(
        "relabel",
        f"Relabelling {source}",
        lines,
        grids,
        source=source,
        task=task.name,
        changed=[asdict(change) for change in relabelled.changes],
        confirmed=relabelled.confirmed,
        disputed=[
            {"id": id, "field": field, "labels": list(labels)}
            for (id, field), labels in relabelled.disagreements.items()
        ],
        **(_effect_to_json(effect) if effect else {}),
    )


def _effect_grids(effect: Effect) -> Iterator[Blocks]:
    numbers = [
        (then.metric.name, *(with_span(m.estimate, then.metric.unit) for m in (then, now)))
        for then, now in effect.figures
        if then.metric
    ]
    if numbers:
        yield grid(f"Figures of {effect.before.system}", ("number", "was", "is"), numbers)
    gates = [
        (then.label, *(cell for verdict in (then, now) for cell in _said(verdict)))
        for then, now in effect.gates
    ]
    if gates:
        yield grid("Gates", ("gate", "was", "verdict", "is", "verdict"), gates)


def _said(verdict: Verdict) -> tuple[Cell, Cell]:
    return with_span(verdict.estimate, verdict.unit), verdict.outcome.value


def _effect_to_json(effect: Effect) -> dict[str, Any]:
    return {
        "system": effect.before.system,
        "figures": {
            then.metric.name: {"was": asdict(then.estimate), "is": asdict(now.estimate)}
            for then, now in effect.figures
            if then.metric
        },
        "gates": [
            {
                "gate": then.label,
                "was": {"outcome": then.outcome.value, "estimate": asdict(then.estimate)},
                "is": {"outcome": now.outcome.value, "estimate": asdict(now.estimate)},
            }
            for then, now in effect.gates
        ],
    }


def label_errors_sheet(
    found: Sequence[LabelError], task: Task, source: str, rows: int, show: int
) -> Sheet:
    """Labels that are likely wrong, the likeliest first."""
    listed = [
        (
            error.example.id,
            error.field,
            _text(task, error.field, error.example.labels[error.field]),
            _text(task, error.field, error.suggested),
            f"{error.quality:.2f}",
            one_line(error.example.inputs.values()),
        )
        for error in found[:show]
    ]
    heads = ("row", "field", "label", "suggested", "quality", "text")
    grids = [grid("Likely label errors", heads, listed, is_text=True)] if listed else []
    return sheet(
        "errors",
        f"Labels of {source}",
        [
            f"{rows:,} rows of {source}, read as {task.name}: {len(found):,} labels are likely "
            "wrong.",
            "Quality is how probable the label is to a TF-IDF baseline that has not seen the row.",
        ],
        grids,
        source=source,
        task=task.name,
        rows=rows,
        errors=[
            {
                "id": error.example.id,
                "field": error.field,
                "label": error.example.labels[error.field],
                "suggested": error.suggested,
                "quality": error.quality,
                "inputs": dict(error.example.inputs),
            }
            for error in found
        ],
    )


def _text(task: Task, field: str, label: Label) -> str:
    return task.fields[field].display(label)
