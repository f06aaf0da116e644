"""Several runs of the same rows, the first held against the others: what there is to show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from evalkit.errors import InsufficientData, UserError
from evalkit.evaluation import (
    Contest,
    EvaluatedRow,
    Evaluation,
    check_same_rows,
    describe_said,
    pair,
)
from evalkit.gates import Verdict
from evalkit.records import Estimate
from evalkit.reports.comparison import IDENTITY, contests
from evalkit.reports.judged import JudgedRun
from evalkit.tasks import Field, Task

MOST = len(ascii_uppercase)


@dataclass(frozen=True, slots=True)
class Column:
    """A run, the letter it goes by, and the numbers that matter most."""

    letter: str
    run: JudgedRun
    headline: tuple[tuple[str, Estimate], ...]
    """Being right in all fields and in each, by name; those without data are left out."""
    seconds_per_row: float | None
    """The mean of what each answer took, also where it was known from an earlier run."""


@dataclass(frozen=True, slots=True)
class GateRow:
    """One gate in every run."""

    label: str
    verdicts: tuple[Verdict | None, ...]
    """In the order of the columns; None where the run has no such gate."""

    @property
    def some(self) -> Verdict:
        """The first verdict there is."""
        return next(verdict for verdict in self.verdicts if verdict is not None)

    @property
    def differs(self) -> bool:
        """Whether the runs that have the gate do not all come to the same outcome."""
        return len({verdict.outcome for verdict in self.verdicts if verdict is not None}) > 1

    @property
    def one_bound(self) -> bool:
        """Whether all verdicts were held against the same bound."""
        bounds = {(v.policy.threshold, v.unit) for v in self.verdicts if v is not None}
        return len(bounds) == 1


@dataclass(frozen=True, slots=True)
class Pairing:
    """The first run against one other."""

    other: Column
    contests: tuple[Contest, ...]
    """The usual metrics, then the slices."""
    usual: int
    """How many of the contests are of usual metrics."""
    rows: int
    clean: int
    """Rows that neither system was trained on."""
    other_texts: int
    """Rows where the two wrote another answer."""
    other_values: int
    """Rows where the two answers say something else."""


@dataclass(frozen=True, slots=True)
class Said:
    """What one system gave one field of one row."""

    text: str
    """The value, or that there is none."""
    answer: str
    """All that it wrote."""
    is_right: bool
    confidence: float | None


@dataclass(frozen=True, slots=True)
class Flip:
    """A field of a row that the first and another system do not both get right or wrong."""

    id: str
    inputs: tuple[tuple[str, str], ...]
    """Titles and texts of the inputs that are not empty."""
    field: str
    right: str
    said: tuple[Said, ...]
    """In the order of the columns."""
    won: tuple[str, ...]
    """Letters of the systems that get it wrong where the first gets it right."""
    lost: tuple[str, ...]
    """Letters of the systems that get it right where the first gets it wrong."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that identifies the runs and is not the same in all of them."""

    what: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Several:
    """All that a comparison of two or more runs shows."""

    columns: tuple[Column, ...]
    gates: tuple[GateRow, ...]
    pairings: tuple[Pairing, ...]
    flips: tuple[Flip, ...]
    differences: tuple[Difference, ...]


def compare_runs(runs: Sequence[JudgedRun]) -> Several:
    """Hold the first of several runs against each of the others.

    Raises:
        UserError: there are fewer than two runs, or too many, or one is named twice, or they are
            not of the same rows.
    """
    check_comparable(runs)
    columns = tuple(map(_column, ascii_uppercase, runs))
    pairings = tuple(_pairing(columns[0], other) for other in columns[1:])
    return Several(
        columns,
        tuple(gate_rows(runs)),
        pairings,
        tuple(_flips(columns, pairings)),
        tuple(_differences([run.evaluation for run in runs])),
    )


def check_comparable(runs: Sequence[JudgedRun]) -> None:
    """Refuse runs that cannot be held against each other.

    Raises:
        UserError: saying which and why.
    """
    if not 2 <= len(runs) <= MOST:
        raise UserError(f"A comparison is of 2 to {MOST} runs, and {len(runs)} are named.")
    places: dict[Path, JudgedRun] = {}
    for run in runs:
        if run.folder.resolve() in places:
            raise UserError(f"{run.name} is named twice. Name another run to compare it with.")
        places[run.folder.resolve()] = run
    first, *others = runs
    for other in others:
        names = (first.name, other.name)
        if _answers(first.evaluation.task) != _answers(other.evaluation.task):
            raise UserError(
                f"{names[0]} and {names[1]} are of different tasks "
                f"({first.evaluation.task.name} and {other.evaluation.task.name}). "
                "Compare runs of one task."
            )
        check_same_rows(first.evaluation.examples, other.evaluation.examples, names)


def _answers(task: Task) -> dict[str, object]:
    return {name: (field.kind, field.labels) for name, field in task.fields.items()}


def gate_rows(runs: Sequence[JudgedRun]) -> Iterator[GateRow]:
    """Every gate that any of the runs was held against, in their order."""
    found: list[Mapping[str, Verdict]] = [
        {v.label: v for v in run.release.verdicts} if run.release else {} for run in runs
    ]
    for label in dict.fromkeys(label for verdicts in found for label in verdicts):
        yield GateRow(label, tuple(verdicts.get(label) for verdicts in found))


def _column(letter: str, run: JudgedRun) -> Column:
    evaluation = run.evaluation
    headline = []
    for metric in evaluation.headline_metrics():
        try:
            headline.append((metric.name, evaluation.measure(metric).estimate))
        except InsufficientData:
            continue
    seconds = [row.completion.seconds for row in evaluation.rows]
    mean = fsum(seconds) / len(seconds) if seconds else None
    return Column(letter, run, tuple(headline), mean)


def _pairing(first: Column, other: Column) -> Pairing:
    one, two = first.run.evaluation, other.run.evaluation
    found = contests(one, two)
    usual = {metric.name for metric in one.usual_metrics()}
    pairs = list(zip(*pair(one.rows, two.rows), strict=True))
    return Pairing(
        other,
        tuple(found),
        sum(contest.metric.name in usual for contest in found),
        len(pairs),
        sum(a.seen is None and b.seen is None for a, b in pairs),
        sum(a.completion.text != b.completion.text for a, b in pairs),
        sum(any(a.said(f) != b.said(f) for f in one.task.fields) for a, b in pairs),
    )


def _flips(columns: Sequence[Column], pairings: Sequence[Pairing]) -> Iterator[Flip]:
    """In the rows' order; of rows that are clean for both of a pair."""
    task = columns[0].run.evaluation.task
    rows = [{row.example.id: row for row in c.run.evaluation.rows} for c in columns]
    won: dict[tuple[str, str], list[str]] = {}
    lost: dict[tuple[str, str], list[str]] = {}
    for pairing in pairings:
        by_name = {contest.metric.name: contest for contest in pairing.contests}
        for name in task.fields:
            contest = by_name.get(f"{name} accuracy")
            if contest is None:
                continue
            for to, which in ((won, contest.won), (lost, contest.lost)):
                for row in which:
                    to.setdefault((row.example.id, name), []).append(pairing.other.letter)
    for id, row in rows[0].items():
        for name, field in task.fields.items():
            key = (id, name)
            if key not in won and key not in lost:
                continue
            inputs = row.example.inputs.items()
            yield Flip(
                id,
                tuple((task.inputs[given].title, text) for given, text in inputs if text),
                name,
                field.display(row.example.labels[name]),
                tuple(_said(of[id], name, field) for of in rows),
                tuple(won.get(key, ())),
                tuple(lost.get(key, ())),
            )


def _said(row: EvaluatedRow, name: str, field: Field) -> Said:
    confidence = row.completion.confidences.get(name)
    text = describe_said(field, row.said(name))
    return Said(text, row.completion.text, row.is_right(name), confidence)


def _differences(evaluations: Sequence[Evaluation]) -> Iterator[Difference]:
    for key, what in IDENTITY:
        found = [_flat(evaluation.record.identity()[key]) for evaluation in evaluations]
        for part in dict.fromkeys(part for values in found for part in values):
            values = tuple(given.get(part, "") for given in found)
            if len(set(values)) > 1:
                yield Difference(f"{what}: {part}" if part else what, values)


def _flat(value: Any) -> dict[str, str]:
    """A value of a record by its parts; a plain one has one part without a name."""
    if not isinstance(value, Mapping):
        return {"": "" if value is None else str(value)}
    flat = {}
    for name, inner in value.items():
        for part, text in _flat(inner).items():
            flat[f"{name}.{part}" if part else str(name)] = text
    return flat
