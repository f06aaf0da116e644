"""What failed: the gates of one question together, what costs most first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from evalkit.gates.groups import Group, group_of
from evalkit.gates.judging import Outcome, Verdict

_OF_FIELDS = (Group.ACCURACY, Group.URGENT, Group.BASELINE)
"""Asked of each field on its own; of the others all fields make one."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What the gates of one question found wanting."""

    group: Group
    failed: tuple[Verdict, ...]
    """The furthest beyond its bound first."""

    @property
    def headline(self) -> Verdict:
        """The verdict that says it best: of the most rows, where a whole failed, not of a part."""
        wholes = [
            v for v in self.failed if v.metric and v.metric.key == "accuracy" and not v.paired
        ]
        return max(wholes, key=lambda v: v.estimate.n, default=self.failed[0])

    @property
    def blocks(self) -> bool:
        """Whether any of it keeps the system from shipping."""
        return any(v.blocks for v in self.failed)

    @property
    def cost(self) -> tuple[bool, float]:
        """What blocks costs more than what does not; then what lies further beyond its bound."""
        return self.blocks, max(map(overrun, self.failed))


def find_failures(verdicts: Iterable[Verdict]) -> list[Failure]:
    """What the failed gates come to, the costliest first."""
    found: dict[tuple[Group, str | None], list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.outcome is Outcome.FAIL:
            group = group_of(verdict.gate, verdict.slice, verdict.metric)
            # A value that is given up is a part of what is wrong with its field.
            group = Group.ACCURACY if group is Group.RECALL else group
            field = verdict.metric.field if verdict.metric and group in _OF_FIELDS else None
            found.setdefault((group, field), []).append(verdict)
    return by_cost((group, failed) for (group, _), failed in found.items())


def by_cost(found: Iterable[tuple[Group, Iterable[Verdict]]]) -> list[Failure]:
    """Failed verdicts of each question as failures, the costliest first, here and within each."""
    failures = [
        Failure(group, tuple(sorted(failed, key=lambda v: (not v.blocks, -overrun(v)))))
        for group, failed in found
    ]
    return sorted(failures, key=lambda failure: failure.cost, reverse=True)


def overrun(verdict: Verdict) -> float:
    """How many times what its bound allows was found; 1 is at the bound.

    Of a rate that is to be low this is the rate by its bound; of one that is to be high, what it
    lacks of 1 by what it may lack. A bound that allows nothing counts as one case. Differences are
    measured in their bound, or in half their interval where that is 0.
    """
    policy, estimate = verdict.policy, verdict.estimate
    bound, value = verdict.limit, estimate.value
    if policy.compares or (policy.min_value is not None and not policy.share):
        scale = abs(bound) or (estimate.high - estimate.low) / 2 or 1
        return 1 + (bound - value) / scale
    made, allowed = (value, bound) if policy.max_value is not None else (1 - value, 1 - bound)
    return made / max(allowed, 1 / max(estimate.n, 1))
