"""Two systems on the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalkit import metrics
from evalkit.errors import InsufficientData, UserError
from evalkit.evaluation.cases import Case
from evalkit.evaluation.metric import Metric
from evalkit.evaluation.rows import EvaluatedRow, Rows, groups_of
from evalkit.records import Comparison, Example

SEED = 0
"""Of the paired bootstrap."""


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """One metric of two systems, on the rows that are clean for both."""

    metric: Metric
    first: str
    """The systems' names."""
    second: str
    comparison: Comparison
    lost: tuple[EvaluatedRow, ...] = ()
    """Rows of the first that it gets wrong and the second gets right."""
    won: tuple[EvaluatedRow, ...] = ()
    cases: tuple[Case, ...] = ()
    """Those that are lost, where they are none of the run's own."""

    @property
    def advantage(self) -> float:
        """How much better the first is; negative where it is worse."""
        difference = self.comparison.difference
        return -difference if self.metric.lower_is_better else difference


def check_same_rows(
    first: Mapping[str, Example], second: Mapping[str, Example], names: tuple[str, str]
) -> None:
    """Refuse two test sets that differ in inputs or right answers, saying how.

    Raises:
        UserError: naming the first difference.
    """
    one, other = names
    for name, here, there in ((one, first, second), (other, second, first)):
        if alone := [key for key in here if key not in there]:
            raise UserError(
                f"{one} and {other} are of different test sets: {len(alone):,} of the "
                f"{len(here):,} rows of {name} are not in the other, the first being {alone[0]!r}. "
                "Run both on the same rows."
            )
    for what in ("inputs", "labels"):
        changed = [
            key
            for key, example in first.items()
            if dict(getattr(example, what)) != dict(getattr(second[key], what))
        ]
        if changed:
            raise UserError(
                f"{one} and {other} are of different test sets: {len(changed):,} of "
                f"{len(first):,} rows have other {what}, the first being {changed[0]!r}. "
                "Run both on the same rows."
            )


def compare_rows(metric: Metric, ours: Rows, theirs: Rows) -> Comparison:
    """Hold a metric of two systems against each other on rows as `pair` gives them.

    Shares with the same denominator are paired row by row (McNemar); all else by a paired
    bootstrap.

    Raises:
        InsufficientData: the systems have no row in common, or the metric none to count.
    """
    if not ours:
        raise InsufficientData(f"{metric.name}: the two have no row in common")
    if metric.hit is not None:
        hits = [(metric.hit(a), metric.hit(b), a) for a, b in zip(ours, theirs, strict=True)]
        if all((a is None) == (b is None) for a, b, _ in hits):
            inside = [(bool(a), bool(b), row) for a, b, row in hits if a is not None]
            groups = groups_of([row for _, _, row in inside])
            return metrics.compare_hits(
                [a for a, _, _ in inside],
                [b for _, b, _ in inside],
                groups=groups,
                asked=metric.name,
            )
    if metric.statistic is None:
        raise InsufficientData(f"{metric.name} is not compared between systems")
    return metrics.compare_statistics(
        metric.statistic(ours),
        metric.statistic(theirs),
        len(ours),
        groups=groups_of(ours),
        seed=SEED,
        asked=metric.name,
    )


def flips(
    metric: Metric, ours: Rows, theirs: Rows
) -> tuple[tuple[EvaluatedRow, ...], tuple[EvaluatedRow, ...]]:
    """Of paired rows, those that count against the first alone, and against the second alone."""
    counted = [
        (row, metric.counts_against(row), metric.counts_against(other))
        for row, other in zip(ours, theirs, strict=True)
    ]
    lost = tuple(row for row, mine, other in counted if mine and not other)
    won = tuple(row for row, mine, other in counted if other and not mine)
    return lost, won


def pair(first: Rows, second: Rows) -> tuple[Sequence[EvaluatedRow], Sequence[EvaluatedRow]]:
    """The rows that both have, in the first's order."""
    theirs = {row.example.id: row for row in second}
    ours = [row for row in first if row.example.id in theirs]
    return ours, [theirs[row.example.id] for row in ours]
