"""Policy x measurement -> verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import ceil
from pathlib import Path
from typing import Literal

from evalkit import metrics
from evalkit.errors import UserError
from evalkit.evaluation import Case, EvaluatedRow, Measurement, Metric, PairedComparison
from evalkit.evaluation.cases import surest
from evalkit.gates.policy import Policy, find_policy, load_policies, may_lose
from evalkit.locale import Note, say
from evalkit.records import Estimate
from evalkit.tasks import Field

GateMode = Literal["point", "strict"]
ALPHA = 0.05


class Reason(StrEnum):
    """Why a gate is inconclusive, or fails on the right side of its bound."""

    TOO_FEW_CASES = "too_few_cases"
    CROSSES = "crosses"
    """The interval crosses the threshold, and `strict` wants it on one side."""
    NOT_SHOWN = "not_shown"
    """The paired test does not show the difference that is needed."""
    LOST = "lost"
    """It fails within its bound: its name says `beats`, and the paired test shows a loss."""


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
    metric: Metric | None = None
    """What was measured; None for numbers of a suite's own making."""
    crosses: bool = False
    """Whether the interval crosses the threshold; never of a comparison or a zero tolerance."""
    reason: Reason | None = None
    """Why it is inconclusive, or fails within its bound."""
    weakest: str = ""
    wrong: tuple[EvaluatedRow, ...] = ()
    """The rows counted against the system."""
    on_all_rows: Estimate | None = None
    """The number with the rows that the system was trained on, where there are any."""
    detects: float | None = None
    """How far beyond the threshold the truth has to lie for this many cases to show it, four
    times in five; None where that has no formula."""
    settled_by: int | None = None
    """Cases in all that would take the interval off the threshold, four times in five, if the
    truth is the value measured."""
    paired: PairedComparison | None = None
    """The comparison judged."""
    regression: PairedComparison | None = None
    """The same number against the baseline run, where one was named."""
    part: str = ""
    """What people call the slice, where it is a value of a field."""
    asks: str = ""
    """What its test asks, in a sentence."""
    cases: tuple[Case, ...] = ()
    """The rows counted against the system that are none of its run's own, the surest first."""

    @property
    def label(self) -> str:
        """The gate's name with its slice: its key in files."""
        return f"{self.gate}[{self.slice}]" if self.slice else self.gate

    @property
    def shown(self) -> str:
        """The same as people read it: `priority_recall[medium]`."""
        part = self.part or self.slice
        return f"{self.gate}[{part}]" if part else self.gate

    @property
    def blocks(self) -> bool:
        """Whether it keeps the system from shipping."""
        return self.outcome is not Outcome.PASS and self.policy.blocks

    @property
    def limit(self) -> float:
        """What it fails beyond: its bound, or 0 where no bound excuses the loss."""
        return 0.0 if self.reason is Reason.LOST else self.policy.threshold

    @property
    def shortfall(self) -> float:
        """How far the number lies on the wrong side of its limit."""
        gap = self.estimate.value - self.limit
        return gap if self.policy.max_value is not None else -gap

    @property
    def unit(self) -> str:
        """`%` where people read the number in percent."""
        return self.metric.unit if self.metric else "%"

    @property
    def note(self) -> Note:
        """Why it is inconclusive or fails within its bound, or that the interval crosses it."""
        if self.reason is Reason.TOO_FEW_CASES:
            estimate, needed = self.estimate, self.policy.min_cases
            if estimate.clusters is None:
                return say("gate.too_few_cases", n=estimate.n, needed=needed)
            independent = estimate.independent
            return say("gate.too_few_alone", n=independent, all=estimate.n, needed=needed)
        if self.reason is Reason.NOT_SHOWN:
            return say("gate.not_shown")
        if self.reason is Reason.LOST:
            return say("gate.lost")
        return say("gate.crosses") if self.crosses else Note("")


def gate(
    name: str,
    measured: Measurement | Estimate | PairedComparison,
    gates: str | Path = "suites/gates.toml",
    *,
    slice: str | int = "",
    mode: GateMode = "point",
) -> Verdict:
    """Hold a number against the criterion of that name, as the fixture `gate` of suites does.

    Args:
        name: of the criterion.
        measured: what a method of `Evaluation` returns, a comparison of two such
            (`first.against(second)`), or an estimate.
        gates: the file of criteria.
        slice: the part of the data that the number is of.
        mode: `point`, or `strict`: the whole interval has to be on the right side.

    Raises:
        UserError: there is no such criterion, or it is not one for this kind of number.
    """
    policy = find_policy(load_policies(Path(gates)), name, Path(gates))
    return judge(name, policy, measured, slice_name=str(slice), mode=mode)


def judge(
    gate: str,
    policy: Policy,
    measured: Measurement | Estimate | PairedComparison,
    *,
    slice_name: str = "",
    mode: GateMode = "point",
    regression: PairedComparison | None = None,
) -> Verdict:
    """Hold a measurement against its criterion.

    In mode `point` the measured value decides, and an interval across the threshold is noted.
    In mode `strict` the whole 95% interval has to be on the right side to pass, and on the
    wrong side to fail; between them the verdict is inconclusive.

    A zero tolerance (`max_value = 0`) cannot be shown by an interval, which always reaches
    above 0; there the count decides in both modes. A comparison (`min_difference`) has to be
    shown in both modes: that a difference is above zero by the paired test's p below 0.05, that
    it is above another bound by its 95% interval. Where the suite has a single number for it, that
    is held against the same number of `regression`. A relative bound is one on this difference,
    the other system's value taken as it was measured. A gate whose name says `beats` fails where
    the paired test shows a loss, whatever its bound.

    Raises:
        UserError: the criterion is for a comparison and the number is none, or the reverse; or
            its bound is not a share where the number is one.
        InsufficientData: its bound is relative to a value of 0.
    """
    compares = policy.compares
    if compares and isinstance(measured, Measurement) and regression is not None:
        measured = regression
    if compares is not isinstance(measured, PairedComparison):
        wanted = (
            "min_value or max_value, or name the run that it is compared with: --against RUN"
            if compares
            else "min_difference"
        )
        raise UserError(
            f"[{gate}] in gates.toml has {'min_difference' if compares else 'no min_difference'}, "
            f"and the suite holds a {'single number' if compares else 'comparison'} against it. "
            f"Give it {wanted}."
        )
    if isinstance(measured, PairedComparison):
        return _judge_paired(gate, policy, measured, slice_name)
    measurement = measured if isinstance(measured, Measurement) else Measurement(measured)
    estimate = measurement.estimate
    metric = measurement.metric
    if (metric is None or metric.unit == "%") and not 0 <= policy.threshold <= 1:
        raise UserError(
            f"[{gate}] in gates.toml: {policy.threshold:g} is not a share between 0 and 1, "
            "such as 0.80 for 80%."
        )
    task = measurement.evaluation.task if measurement.evaluation else None
    zero_tolerance = policy.max_value == 0
    crosses = not zero_tolerance and policy.holds(estimate.low) != policy.holds(estimate.high)
    outcome = Outcome.PASS if policy.holds(estimate.value) else Outcome.FAIL
    reason = None
    if estimate.independent < policy.min_cases:
        # Too few cases to pass, but one broken enum is proof enough to fail.
        if not (zero_tolerance and estimate.value > 0):
            reason = Reason.TOO_FEW_CASES
    elif mode == "strict" and crosses:
        reason = Reason.CROSSES
    return Verdict(
        gate,
        slice_name,
        Outcome.INCONCLUSIVE if reason else outcome,
        policy,
        estimate,
        metric,
        crosses and reason is not Reason.TOO_FEW_CASES,
        reason,
        measurement.weakest,
        measurement.counted_against,
        measurement.on_all_rows,
        _detects(policy, estimate),
        _settled_by(policy, estimate) if crosses else None,
        regression=regression,
        part=name_part(slice_name, metric, task.fields if task else {}),
        cases=surest(measurement.cases),
    )


def name_part(slice_name: str, metric: Metric | None, fields: Mapping[str, Field]) -> str:
    """What people call a slice: the name of the field's value that it is, empty for any other."""
    if metric is None or metric.value is None or str(metric.value) != slice_name:
        return ""
    field = fields.get(metric.field or "")
    shown = field.display(metric.value) if field else slice_name
    return "" if shown == slice_name else shown


def _judge_paired(gate: str, policy: Policy, paired: PairedComparison, slice_name: str) -> Verdict:
    found = paired.comparison
    policy = policy.against(found.second.value)
    low, high = found.low, found.high
    if paired.metric.lower_is_better:
        low, high = -high, -low
    clusters = found.first.clusters
    advantage = Estimate(paired.advantage, found.n, low, high, found.method, clusters=clusters)
    if policy.threshold == 0:
        shown = found.p_value < ALPHA
    else:
        shown = policy.holds(low) == policy.holds(high)
    lost = found.p_value < ALPHA and paired.advantage < 0 and may_lose(gate, policy)
    within = policy.holds(paired.advantage)
    outcome, reason = Outcome.PASS if within else Outcome.FAIL, None
    if advantage.independent < policy.min_cases:
        outcome, reason = Outcome.INCONCLUSIVE, Reason.TOO_FEW_CASES
    elif within and lost:
        outcome, reason = Outcome.FAIL, Reason.LOST
    elif within and not shown:
        outcome, reason = Outcome.INCONCLUSIVE, Reason.NOT_SHOWN
    return Verdict(
        gate,
        slice_name,
        outcome,
        policy,
        advantage,
        paired.metric,
        reason=reason,
        wrong=paired.lost,
        paired=paired,
        cases=surest(paired.cases),
    )


def is_excused(verdict: Verdict) -> bool:
    """Whether a `beats` gate owes it to a bound below 0 that it did not fail, or passed."""
    if verdict.paired is None or not may_lose(verdict.gate, verdict.policy):
        return False
    strict = {"min_difference": 0.0, "min_relative_difference": None}
    policy = verdict.policy.model_copy(update=strict)
    at_zero = _judge_paired(verdict.gate, policy, verdict.paired, verdict.slice).outcome
    if verdict.outcome is Outcome.PASS:
        return at_zero is not Outcome.PASS
    return verdict.outcome is Outcome.INCONCLUSIVE and at_zero is Outcome.FAIL


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
