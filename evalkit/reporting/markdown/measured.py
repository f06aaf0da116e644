"""A run's usual numbers, measured once, and which gates judged them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalkit.evaluation import Measurement
from evalkit.gates import Verdict
from evalkit.metrics import LabelScores
from evalkit.reporting.judged import JudgedRun


@dataclass(frozen=True, slots=True)
class Measured:
    """A run's usual numbers and the scores of every value of every field."""

    overview: Mapping[str, Measurement]
    scores: Mapping[str, Sequence[LabelScores]]
    verdicts: Sequence[Verdict]

    def by_metric(self) -> dict[str, list[Verdict]]:
        """The gates that judged a usual number: the same estimate, and a word of its name.

        A verdict does not say which metric it asked for. Rates of nothing are all alike, so that
        of several metrics with one estimate the gate is of the one whose name it shares most
        words with.
        """
        judged: dict[str, list[Verdict]] = {}
        for verdict in self.verdicts:
            alike = {
                name: len(_stems(name) & _stems(verdict.label))
                for name, found in self.overview.items()
                if found.estimate == verdict.estimate and verdict.contest is None
            }
            if alike and max(alike.values()):
                judged.setdefault(max(alike, key=lambda name: alike[name]), []).append(verdict)
        return judged

    def of_recall(self, scores: LabelScores) -> list[Verdict]:
        """The gates that judged a value's recall: of its name, with the same number."""
        return [
            verdict
            for verdict in self.verdicts
            if verdict.slice == str(scores.value) and verdict.estimate == scores.recall
        ]

    def of_field(self, field: str) -> list[Verdict]:
        """The gates that judged how often a field, or a value of it, is right."""
        by_metric = self.by_metric()
        found = [v for name in by_metric if name.startswith(f"{field} ") for v in by_metric[name]]
        return [*found, *(v for s in self.scores[field] for v in self.of_recall(s))]


def measure(run: JudgedRun) -> Measured:
    """Measure a run. This takes what time a report takes: intervals are bootstrapped."""
    evaluation = run.evaluation
    scores = {name: evaluation.label_scores(name) for name in evaluation.task.fields}
    return Measured(evaluation.overview(), scores, run.release.verdicts if run.release else ())


def _stems(name: str) -> set[str]:
    """The words of a name without their endings, so that `failures` is `failure`."""
    for mark in "_-[]":
        name = name.replace(mark, " ")
    return {word[:5] for word in name.lower().split()}
