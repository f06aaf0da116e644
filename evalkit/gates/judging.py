"""Policy x measurement -> verdict."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from typing import Literal

from evalkit import metrics
from evalkit.errors import UserError
from evalkit.evaluation import Contest, EvaluatedRow, Measurement
from evalkit.gates.policy import Policy
from evalkit.records import Estimate

GateMode = Literal["point", "strict"]
ALPHA = 0.05


class Outcome(StrEnum):
    """What a gate says."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one gate says of one system."""

    gate: str
    slice: str
    """What part of the data the number is of; empty for all of it."""
    outcome: Outcome
    policy: Policy
    estimate: Estimate
    """The number judged; of a comparison, the advantage over the other system."""
    note: str = ""
    """Why it is inconclusive, or that the interval crosses the threshold."""
    weakest: str = ""
    wrong: tuple[EvaluatedRow, ...] = ()
    """The rows counted against the system."""
    on_all_rows: Estimate | None = None
    """The number with the rows that the system was trained on, where there are any."""
    detects: float | None = None
    """How far beyond the threshold the truth has to lie for this many cases to show it, four
    times in five; None where that has no formula."""
    settled_by: int | None = None
    """Cases in all that would take the interval off the threshold if the value stays."""
    contest: Contest | None = None
    """The comparison judged."""
    regression: Contest | None = None
    """The same number against the baseline run, where one was named."""
    unit: str = "%"
    """`%` where people read the number in percent."""

    @property
    def label(self) -> str:
        """The gate's name with its slice."""
        return f"{self.gate}[{self.slice}]" if self.slice else self.gate


def judge(
    gate: str,
    policy: Policy,
    measured: Measurement | Estimate | Contest,
    *,
    slice_name: str = "",
    mode: GateMode = "point",
    regression: Contest | None = None,
) -> Verdict:
    """Hold a measurement against its criterion.

    In mode `point` the measured value decides, and an interval across the threshold is noted.
    In mode `strict` the whole 95% interval has to be on the right side to pass, and on the
    wrong side to fail; between them the verdict is inconclusive.

    A zero tolerance (`max_value = 0`) cannot be shown by an interval, which always reaches
    above 0; there the count decides in both modes. A comparison (`min_difference`) has to be
    shown in both modes: that a difference is above zero by the paired test's p below 0.05, that
    it is above another bound by its 95% interval.

    Raises:
        UserError: the criterion is for a comparison and the number is none, or the reverse; or
            its bound is no share where the number is one.
    """
    compares = policy.min_difference is not None
    if compares is not isinstance(measured, Contest):
        wanted = "min_value or max_value" if compares else "min_difference"
        raise UserError(
            f"[{gate}] in gates.toml has {'min_difference' if compares else 'no min_difference'}, "
            f"and the suite holds a {'single number' if compares else 'comparison'} against it. "
            f"Give it {wanted}."
        )
    if isinstance(measured, Contest):
        return _judge_contest(gate, policy, measured, slice_name)
    measurement = measured if isinstance(measured, Measurement) else Measurement(measured)
    estimate = measurement.estimate
    unit = measurement.metric.unit if measurement.metric else "%"
    if unit == "%" and not 0 <= policy.threshold <= 1:
        raise UserError(
            f"[{gate}] in gates.toml: {policy.threshold:g} is no share. Give it between 0 and 1, "
            "such as 0.80 for 80%."
        )
    crosses = policy.holds(estimate.low) != policy.holds(estimate.high)
    zero_tolerance = policy.max_value == 0
    note = ""
    if estimate.n < policy.min_cases:
        outcome = Outcome.INCONCLUSIVE
        note = f"{estimate.n} cases, and this gate needs {policy.min_cases}"
        # Too few cases to pass, but one broken enum is proof enough to fail.
        if zero_tolerance and estimate.value > 0:
            outcome, note = Outcome.FAIL, ""
    elif mode == "strict" and crosses and not zero_tolerance:
        outcome = Outcome.INCONCLUSIVE
        note = "the interval crosses the threshold"
    else:
        outcome = Outcome.PASS if policy.holds(estimate.value) else Outcome.FAIL
        if crosses and not zero_tolerance:
            note = "the interval crosses the threshold"
    return Verdict(
        gate,
        slice_name,
        outcome,
        policy,
        estimate,
        note,
        measurement.weakest,
        measurement.counted_against,
        measurement.on_all_rows,
        _detects(policy, estimate),
        _settled_by(policy, estimate) if crosses and not zero_tolerance else None,
        regression=regression,
        unit=unit,
    )


def _judge_contest(gate: str, policy: Policy, contest: Contest, slice_name: str) -> Verdict:
    found = contest.comparison
    low, high = found.low, found.high
    if contest.metric.lower_is_better:
        low, high = -high, -low
    advantage = Estimate(contest.advantage, found.n, low, high, found.method)
    if policy.threshold == 0:
        shown = found.p_value < ALPHA
    else:
        shown = policy.holds(low) == policy.holds(high)
    note = ""
    if found.n < policy.min_cases:
        outcome = Outcome.INCONCLUSIVE
        note = f"{found.n} cases, and this gate needs {policy.min_cases}"
    elif not policy.holds(contest.advantage):
        outcome = Outcome.FAIL
    elif shown:
        outcome = Outcome.PASS
    else:
        outcome = Outcome.INCONCLUSIVE
        note = "not shown: chance alone could have brought the difference about"
    return Verdict(
        gate,
        slice_name,
        outcome,
        policy,
        advantage,
        note,
        wrong=contest.lost,
        contest=contest,
        unit=contest.metric.unit,
    )


def _detects(policy: Policy, estimate: Estimate) -> float | None:
    if not estimate.method.startswith("wilson"):
        return None
    good = policy.threshold if policy.min_value is not None else 1 - policy.threshold
    return metrics.detectable_drop(metrics.independent_rows(estimate), good) if good > 0 else None


def _settled_by(policy: Policy, estimate: Estimate) -> int | None:
    if not estimate.method.startswith("wilson"):
        return None
    independent = metrics.independent_rows(estimate)
    found = metrics.cases_to_settle(estimate.value, policy.threshold, n_now=independent)
    # Near-duplicates count less: as many more of them as now.
    return None if found is None else ceil(found * estimate.n / independent)
