"""Runs on the same rows, the first held against the others: the facts of every comparison."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import fsum
from pathlib import Path
from statistics import median
from string import ascii_uppercase
from typing import Any

from evalkit.errors import InsufficientData, UserError
from evalkit.evaluation import (
    EvaluatedRow,
    Evaluation,
    PairedComparison,
    check_same_rows,
    compare,
    pair,
)
from evalkit.evaluation.rows import groups_of
from evalkit.gates import Verdict
from evalkit.gates.policy import BOUNDS
from evalkit.metrics import holm, share
from evalkit.records import Estimate
from evalkit.reports.judged import JudgedRun
from evalkit.reports.verdicts import paired_to_json
from evalkit.run_record import RunRecord
from evalkit.tasks import Task

MOST = len(ascii_uppercase)
Pairs = Sequence[tuple[EvaluatedRow, EvaluatedRow]]
"""Each row of the first with that of the other."""


@dataclass(frozen=True)
class Pairing:
    """Two systems on the same rows; each fact is computed when it is first asked for."""

    first: Evaluation
    other: Evaluation
    unanswered: int = 0
    """Rows left out, as one of the two has no answer."""

    @cached_property
    def pairs(self) -> Pairs:
        """The rows of both."""
        return list(zip(*pair(self.first.rows, self.other.rows), strict=True))

    @cached_property
    def headline(self) -> list[PairedComparison]:
        """Being right, in all fields and in each, by paired tests.

        Raises:
            UserError: the two are not of the same test set.
        """
        return _compared(self.first, self.other, self.first.headline_metrics())

    @cached_property
    def usual(self) -> list[PairedComparison]:
        """Every usual number of both."""
        return _compared(self.first, self.other, self.first.usual_metrics())

    @cached_property
    def slices(self) -> list[PairedComparison]:
        """The recall of every value."""
        return _compared(self.first, self.other, self.first.slice_metrics())

    @property
    def numbers(self) -> list[PairedComparison]:
        """The usual numbers and the recalls."""
        return [*self.usual, *self.slices]

    @property
    def clean(self) -> int:
        """Rows that neither was trained on."""
        return sum(all(row.contaminated_by is None for row in pair) for pair in self.pairs)

    @cached_property
    def changed(self) -> dict[str, Estimate]:
        """Share of rows that differ: `text`, then every field by what the answer says."""
        groups = groups_of([row for row, _ in self.pairs])
        differ = {"text": [a.completion.text != b.completion.text for a, b in self.pairs]} | {
            field: [a.predicted(field) != b.predicted(field) for a, b in self.pairs]
            for field in self.first.task.fields
        }
        return {
            name: share(rows, groups=groups, asked=f"{name} differs")
            for name, rows in differ.items()
        }

    @property
    def differing(self) -> Pairs:
        """Rows with another text, those that were least decided first."""
        found = [(a, b) for a, b in self.pairs if a.completion.text != b.completion.text]
        return sorted(found, key=lambda both: (least_margin(*both) is None, least_margin(*both)))

    @property
    def margins(self) -> tuple[float, float] | None:
        """Median of the rows' least margins where the text differs, and where not."""
        found: dict[bool, list[float]] = {True: [], False: []}
        for ours, theirs in self.pairs:
            if (margin := least_margin(ours, theirs)) is not None:
                found[ours.completion.text != theirs.completion.text].append(margin)
        return (median(found[True]), median(found[False])) if all(found.values()) else None

    @property
    def same_prompt(self) -> bool:
        """Whether the hashes of the prompt are equal."""
        return self.first.record.prompt_sha256 == self.other.record.prompt_sha256

    @property
    def prompt_tokens(self) -> tuple[int, int]:
        """Rows whose prompt has as many tokens in both, of those where both are known."""
        tokens = [(a.completion.prompt_tokens, b.completion.prompt_tokens) for a, b in self.pairs]
        known = [(one, other) for one, other in tokens if one and other]
        return sum(one == other for one, other in known), len(known)

    @property
    def differences(self) -> list[str]:
        """The keys of what identifies the two and is not the same."""
        return differing([self.first.record, self.other.record])


@dataclass(frozen=True)
class Side:
    """A run in a comparison."""

    letter: str
    run: JudgedRun
    name: str
    """The system's, or the run's where a system is there twice."""

    @property
    def seconds_per_row(self) -> float | None:
        """The mean of what each answer took, also where it was known from an earlier run."""
        seconds = [row.completion.seconds for row in self.run.evaluation.rows]
        return fsum(seconds) / len(seconds) if seconds else None


@dataclass(frozen=True, slots=True)
class GateRow:
    """One gate in every run."""

    label: str
    verdicts: tuple[Verdict | None, ...]
    """In the order of the runs; None where a run has no such gate."""

    @property
    def shown(self) -> str:
        """Its name as people read it."""
        return self.known[0].shown

    @property
    def known(self) -> list[Verdict]:
        """The verdicts there are."""
        return [verdict for verdict in self.verdicts if verdict is not None]

    @property
    def differs(self) -> bool:
        """Whether the runs that have the gate do not all come to the same outcome."""
        return len({verdict.outcome for verdict in self.known}) > 1

    @property
    def one_bound(self) -> bool:
        """Whether all verdicts were held against the same bound."""
        bounds = (*BOUNDS, "relative_below", "min_cases")
        return len({tuple(getattr(v.policy, name) for name in bounds) for v in self.known}) == 1


@dataclass(frozen=True, slots=True)
class Flip:
    """A field of a row that the first and another system do not both get right or wrong."""

    field: str
    rows: tuple[EvaluatedRow, ...]
    """In the order of the runs."""
    won: tuple[str, ...]
    """Letters of the systems that get it wrong where the first gets it right."""
    lost: tuple[str, ...]
    """Letters of the systems that get it right where the first gets it wrong."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that identifies the runs and is not the same in all of them."""

    key: str
    part: str
    """Within it, such as a package; empty where it has none."""
    values: tuple[str, ...]


@dataclass(frozen=True)
class RunComparison:
    """Two or more runs on the same rows."""

    sides: tuple[Side, ...]

    @property
    def task(self) -> Task:
        """Of all of them."""
        return self.sides[0].run.evaluation.task

    @cached_property
    def pairings(self) -> list[tuple[Side, Pairing]]:
        """The first run with each of the others."""
        first, *others = self.sides
        return [(other, Pairing(first.run.evaluation, other.run.evaluation)) for other in others]

    @cached_property
    def headline(self) -> list[tuple[Side, PairedComparison, float]]:
        """Being right, against each of the others, with p after Holm's correction over all."""
        found = [(side, paired) for side, pairing in self.pairings for paired in pairing.headline]
        adjusted = holm([paired.comparison.p_value for _, paired in found])
        return [(side, c, p) for (side, c), p in zip(found, adjusted, strict=True)]

    @cached_property
    def gates(self) -> list[GateRow]:
        """Every gate that any of the runs was held against, in their order."""
        releases = [side.run.release for side in self.sides]
        found: list[Mapping[str, Verdict]] = [
            {v.label: v for v in release.verdicts} if release else {} for release in releases
        ]
        labels = dict.fromkeys(label for verdicts in found for label in verdicts)
        return [GateRow(label, tuple(of.get(label) for of in found)) for label in labels]

    @cached_property
    def flips(self) -> list[Flip]:
        """In the rows' order; of rows that are clean for both of a pair."""
        ids = {
            (side.letter, paired.metric.field, kind): {row.example.id for row in rows}
            for side, pairing in self.pairings
            for paired in pairing.headline
            for kind, rows in (("won", paired.won), ("lost", paired.lost))
        }
        letters = [side.letter for side, _ in self.pairings]
        every = [{row.example.id: row for row in s.run.evaluation.rows} for s in self.sides]
        found = []
        for id in every[0]:
            for name in self.task.fields:
                won, lost = (
                    tuple(letter for letter in letters if id in ids.get((letter, name, kind), ()))
                    for kind in ("won", "lost")
                )
                if won or lost:
                    found.append(Flip(name, tuple(of[id] for of in every), won, lost))
        return found

    @property
    def differences(self) -> list[Difference]:
        """Of the records, part by part."""
        records = [side.run.evaluation.record for side in self.sides]
        return [
            Difference(key, part, values)
            for key in differing(records)
            for part, values in _parts([record.identity()[key] for record in records])
            if len(set(values)) > 1
        ]


def compare_runs(runs: Sequence[JudgedRun]) -> RunComparison:
    """Hold the first of several runs against each of the others.

    Raises:
        UserError: there are fewer than two runs, or too many, or one is named twice, or they are
            not of the same rows.
    """
    if not 2 <= len(runs) <= MOST:
        raise UserError(f"A comparison is of 2 to {MOST} runs, and {len(runs)} are named.")
    places: set[Path] = set()
    for run in runs:
        if run.folder.resolve() in places:
            raise UserError(f"{run.name} is named twice. Name another run to compare it with.")
        places.add(run.folder.resolve())
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
    systems = [run.system for run in runs]
    return RunComparison(
        tuple(
            Side(letter, run, run.name if systems.count(run.system) > 1 else run.system)
            for letter, run in zip(ascii_uppercase, runs, strict=False)
        )
    )


def compare_answers(first: Evaluation, second: Evaluation) -> Pairing:
    """Two runs on the rows that both answered.

    Raises:
        UserError: they are of different test sets, or have no row in common.
    """
    lost = {*first.record.unanswered, *second.record.unanswered}
    first, second = (
        replace(found, rows=tuple(row for row in found.rows if row.example.id not in lost))
        for found in (first, second)
    )
    check_same_rows(first.examples, second.examples, (f"'{first.system}'", f"'{second.system}'"))
    if not first.rows:
        raise UserError(f"No row was answered by both '{first.system}' and '{second.system}'.")
    return Pairing(first, second, len(lost))


def differing(records: Sequence[RunRecord]) -> list[str]:
    """The keys of what identifies runs that are not the same in all of them."""
    found = [record.identity() for record in records]
    return [key for key in found[0] if any(one[key] != found[0][key] for one in found)]


def least_margin(*rows: EvaluatedRow) -> float | None:
    """The least of the margins that are known."""
    margins = [row.completion.margin for row in rows if row.completion.margin is not None]
    return min(margins, default=None)


def is_right(row: EvaluatedRow) -> bool:
    """Whether every field is."""
    return all(row.is_right(field) for field in row.example.labels)


def comparison_to_json(found: Pairing) -> dict[str, Any]:
    """Two runs as data; rows by their ids."""
    both = (found.first, found.other)
    return {
        "systems": [evaluation.system for evaluation in both],
        "rows": len(found.first.rows),
        "metrics": [paired_to_json(paired) for paired in found.numbers],
        "differences": found.differences,
        "cost": [evaluation.record.cost.to_json() for evaluation in both],
    }


def parity_to_json(found: Pairing) -> dict[str, Any]:
    """What changed between two runs as data, with every row that differs."""
    same, known = found.prompt_tokens
    return {
        "systems": [found.first.system, found.other.system],
        "rows": len(found.pairs),
        "unanswered": found.unanswered,
        "changed": {name: asdict(estimate) for name, estimate in found.changed.items()},
        "accuracy": [paired_to_json(paired) for paired in found.headline],
        "prompt": {
            "same_sha256": found.same_prompt,
            "rows_with_known_length": known,
            "rows_of_same_length": same,
        },
        "differences": found.differences,
        "differing_rows": [
            {
                "id": rows[0].example.id,
                "texts": [row.completion.text for row in rows],
                "margins": [row.completion.margin for row in rows],
                "right": [is_right(row) for row in rows],
            }
            for rows in found.differing
        ],
    }


def _compared(
    first: Evaluation, second: Evaluation, metrics: Sequence[Any]
) -> list[PairedComparison]:
    found = []
    for metric in metrics:
        with contextlib.suppress(InsufficientData):
            found.append(compare(first, second, metric))
    return found


def _answers(task: Task) -> dict[str, object]:
    return {name: (field.kind, field.labels) for name, field in task.fields.items()}


def _parts(values: Sequence[Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    flat = list(map(_flat, values))
    for part in dict.fromkeys(part for found in flat for part in found):
        yield part, tuple(found.get(part, "") for found in flat)


def _flat(value: Any) -> dict[str, str]:
    """A value of a record by its parts; a plain one has one part without a name."""
    if not isinstance(value, Mapping):
        return {"": "" if value is None else str(value)}
    return {
        f"{name}.{part}" if part else str(name): text
        for name, inner in value.items()
        for part, text in _flat(inner).items()
    }
