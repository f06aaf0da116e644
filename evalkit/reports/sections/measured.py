"""A run's usual numbers, measured once, and which gates judged them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalkit.evaluation import Measurement
from evalkit.gates import Verdict
from evalkit.metrics import LabelScores
from evalkit.reports.judged import JudgedRun


@dataclass(frozen=True, slots=True)
class Measured:
    """A run's usual numbers and the scores of every value of every field."""

    overview: Mapping[str, Measurement]
    scores: Mapping[str, Sequence[LabelScores]]
    verdicts: Sequence[Verdict]

    def by_metric(self) -> dict[str, list[Verdict]]:
        """The gates that judged a usual number of this run, by the number's name."""
        return {name: self._that_judged(found) for name, found in self.overview.items()}

    def of_recall(self, field: str, scores: LabelScores) -> list[Verdict]:
        """The gates that judged a value's recall."""
        asked = ("recall", field, scores.value)
        return [
            v
            for v in self.verdicts
            if v.metric and v.metric.identity == asked and v.estimate == scores.recall
        ]

    def _that_judged(self, found: Measurement) -> list[Verdict]:
        """The same number of the same rows: a suite may ask for it of other rows as well."""
        return [
            v
            for v in self.verdicts
            if v.paired is None
            and v.metric
            and found.metric
            and v.metric.identity == found.metric.identity
            and v.estimate == found.estimate
        ]


def measure(run: JudgedRun) -> Measured:
    """Measure a run. This takes what time a report takes: intervals are bootstrapped."""
    evaluation = run.evaluation
    scores = {name: evaluation.label_scores(name) for name in evaluation.task.fields}
    return Measured(evaluation.overview(), scores, run.release.verdicts if run.release else ())
