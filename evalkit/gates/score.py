"""All verdicts on a system as one number, to choose between systems that are not released yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from evalkit.gates.groups import Group, by_group
from evalkit.gates.judging import Verdict

WEIGHTS: Mapping[Group, int] = {
    Group.ACCURACY: 3,
    Group.RECALL: 1,
    Group.URGENT: 1,
    Group.FORM: 1,
    Group.UNSEEN: 2,
    Group.RENAMED: 1,
    Group.FLIPS: 1,
    Group.ATTACKS: 1,
    Group.FORGETTING: 2,
}
"""What each question counts. The others are not for a recipe to answer."""
MOST, LEAST = 0.05, -0.5
"""Between these a margin counts: what lies farther beyond its bound makes up for nothing else."""


@dataclass(frozen=True)
class Score:
    """How a system stands to its gates."""

    margins: Mapping[Group, float]
    """Question -> the mean margin of its gates: how far they are on the right side."""
    failed: int
    accuracy: float
    """Mean of the fields'; it decides between equals."""

    @property
    def total(self) -> float:
        """The weighted mean margin."""
        weight = sum(WEIGHTS[group] for group in self.margins)
        return sum(WEIGHTS[group] * m for group, m in self.margins.items()) / (weight or 1)

    @property
    def rank(self) -> tuple[float, float]:
        """The higher the better."""
        return round(self.total, 6), round(self.accuracy, 6)


def score(verdicts: Iterable[Verdict]) -> Score:
    """How a system stands to its gates; see docs/training.md."""
    counted = {group: of for group, of in by_group(verdicts).items() if group in WEIGHTS}
    fields = [v.estimate.value for of in counted.values() for v in of if v.gate == "field_accuracy"]
    return Score(
        {group: sum(map(_margin, of)) / len(of) for group, of in counted.items()},
        sum(v.shortfall > 0 for of in counted.values() for v in of),
        sum(fields) / len(fields) if fields else 0.0,
    )


def _margin(verdict: Verdict) -> float:
    return min(MOST, max(LEAST, -verdict.shortfall))
