"""Policy x Evaluation -> Verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator

from evalkit.errors import UserError, did_you_mean
from evalkit.evaluation import EvaluatedRow, Measurement
from evalkit.records import Estimate
from evalkit.toml_files import parse_toml

GateMode = Literal["point", "strict"]


class Policy(BaseModel):
    """One release criterion: a table of `gates.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    min_value: Annotated[float, Field(ge=0, le=1)] | None = None
    """The estimate must not be below this."""
    max_value: Annotated[float, Field(ge=0, le=1)] | None = None
    """The estimate must not be above this."""
    min_cases: Annotated[int, Field(ge=1)] = 100
    """With fewer cases the verdict is inconclusive, whatever the value."""
    task: str | None = None
    """The family of tasks that the criterion applies to; all by default."""
    why: str
    """The reason for the threshold, with its source."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.min_value is None) == (self.max_value is None):
            raise ValueError("give either min_value or max_value")
        return self

    @property
    def threshold(self) -> float:
        """The bound, whichever it is."""
        bound = self.min_value if self.min_value is not None else self.max_value
        assert bound is not None
        return bound

    def holds(self, value: float) -> bool:
        """Whether a number is on the right side."""
        if self.min_value is not None:
            return value >= self.min_value
        return value <= self.threshold


class _GatesFile(RootModel[dict[str, Policy]]):
    """A whole `gates.toml`."""


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
    note: str = ""
    """Why it is inconclusive, or that the interval crosses the threshold."""
    weakest: str = ""
    wrong: tuple[EvaluatedRow, ...] = ()
    """The rows counted against the system."""

    @property
    def label(self) -> str:
        """The gate's name with its slice."""
        return f"{self.gate}[{self.slice}]" if self.slice else self.gate


def load_policies(path: Path) -> dict[str, Policy]:
    """Read `gates.toml`.

    Raises:
        UserError: there is none, or a criterion in it is not valid.
    """
    if not path.is_file():
        raise UserError(
            f"There is no {path}. It holds the release criteria, such as\n"
            '  [priority_accuracy]\n  min_value = 0.80\n  why = "..."'
        )
    return parse_toml(_GatesFile, path).root


def find_policy(policies: Mapping[str, Policy], gate: str, path: Path) -> Policy:
    """The criterion of that name.

    Raises:
        UserError: there is none.
    """
    if gate not in policies:
        raise UserError(
            f"There is no gate '{gate}' in {path}.{did_you_mean(gate, policies)} "
            f"Add a table [{gate}] with min_value or max_value and why."
        )
    return policies[gate]


def judge(
    gate: str,
    policy: Policy,
    measured: Measurement | Estimate,
    *,
    slice_name: str = "",
    mode: GateMode = "point",
) -> Verdict:
    """Hold a measurement against its criterion.

    In mode `point` the measured value decides, and an interval across the threshold is noted.
    In mode `strict` the whole 95% interval has to be on the right side to pass, and on the
    wrong side to fail; between them the verdict is inconclusive.

    A zero tolerance (`max_value = 0`) cannot be shown by an interval, which always reaches
    above 0; there the count decides in both modes.
    """
    measurement = measured if isinstance(measured, Measurement) else Measurement(measured)
    estimate = measurement.estimate
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
    )


@dataclass(frozen=True, slots=True)
class Release:
    """All verdicts on one system, and what they come to."""

    system: str
    verdicts: tuple[Verdict, ...]
    not_judged: tuple[str, ...]
    """Criteria for this kind of task that nothing was held against, and suite tests that
    failed before their gate spoke."""
    partial: bool
    """Whether only some tests were chosen to run, so that there is no release verdict."""

    @property
    def may_ship(self) -> bool:
        """Whether every criterion was judged, and passed."""
        passed = all(v.outcome is Outcome.PASS for v in self.verdicts)
        return bool(self.verdicts) and passed and not self.not_judged and not self.partial

    def of(self, outcome: Outcome) -> list[Verdict]:
        """The verdicts with this outcome."""
        return [v for v in self.verdicts if v.outcome is outcome]


def conclude(
    system: str,
    family: str,
    verdicts: Sequence[Verdict],
    policies: Mapping[str, Policy],
    *,
    broken: Sequence[str] = (),
    partial: bool = False,
) -> Release:
    """Sum up the verdicts on a system whose task is of this family."""
    judged = {v.gate for v in verdicts}
    due = [name for name, policy in policies.items() if policy.task in (None, family)]
    missing = [name for name in due if name not in judged]
    if verdicts and not any(v.policy.min_value is not None for v in verdicts):
        # Answers that can be read may all be wrong.
        missing.append(f"any quality (no criterion with min_value for '{family}' was judged)")
    return Release(system, tuple(verdicts), (*missing, *broken), partial)
