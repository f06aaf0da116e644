"""All verdicts on one system, and what they come to."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from evalkit import metrics
from evalkit.evaluation import PairedComparison
from evalkit.gates.judging import ALPHA, Outcome, Verdict, is_excused
from evalkit.gates.policy import TIERS, Policy
from evalkit.locale import say

GONE = "gone"
"""In the place of a tier: there is no such criterion any more."""


@dataclass(frozen=True, slots=True)
class Regression:
    """A gated number that is significantly worse than in the baseline run."""

    label: str
    """The gate's name with its slice."""
    paired: PairedComparison
    p_value: float
    """After Holm's correction over all gates of the system."""


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
    faults: tuple[str, ...] = ()
    """What is wrong with the evidence: nothing ships on it."""
    regressions: tuple[Regression, ...] = ()
    not_applicable: Mapping[str, str] = field(default_factory=dict)
    """Criteria for this kind of task that do not apply to the system, and why; where only some
    slices of one do not, these."""
    missed: Mapping[str, str] = field(default_factory=dict)
    """Of `not_judged`, gates with their slices whose suite test did not speak, and why."""
    caveats: tuple[str, ...] = ()
    """What has to be known to believe the verdict."""
    left_open: tuple[str, ...] = ()
    """Like `not_judged`, of criteria that are not critical; they do not block."""
    names: Mapping[str, str] = field(default_factory=dict)
    """What people call gates that did not speak, by their labels, where it is something else."""

    def called(self, label: str) -> str:
        """A gate's label as people read it: the slice by the name of the value that it is."""
        shown = {v.label: v.shown for v in self.verdicts}
        return shown.get(label) or self.names.get(label, label)

    @property
    def may_ship(self) -> bool:
        """Whether every critical criterion was judged, and passed, on evidence without a fault."""
        passed = not any(v.blocks for v in self.verdicts)
        spoilt = self.not_judged or self.partial or self.faults or self.regressions
        return bool(self.verdicts) and passed and not spoilt

    @property
    def decided(self) -> bool | None:
        """The same; None where only some tests were chosen."""
        return None if self.partial else self.may_ship

    @property
    def verdict(self) -> str:
        """`may ship`, `may NOT ship`, or that there is no verdict, and why."""
        return verdict_in_words(self.may_ship, self.partial)

    def of(self, outcome: Outcome) -> list[Verdict]:
        """The verdicts with this outcome."""
        return [v for v in self.verdicts if v.outcome is outcome]

    @property
    def not_blocking(self) -> list[Verdict]:
        """The verdicts that are not a pass, of criteria that are not critical."""
        return [v for v in self.verdicts if v.outcome is not Outcome.PASS and not v.blocks]


def verdict_in_words(may_ship: bool, partial: bool) -> str:
    """What a release comes to; see `Release`."""
    if partial:
        return "no verdict: only some tests were chosen"
    return "may ship" if may_ship else "may NOT ship"


def conclude(
    system: str,
    family: str,
    verdicts: Sequence[Verdict],
    policies: Mapping[str, Policy],
    *,
    broken: Sequence[str] = (),
    missed: Mapping[str, str] | None = None,
    not_applicable: Mapping[str, str] | None = None,
    withdrawn: Mapping[str, str] | None = None,
    partial: bool = False,
    faults: Sequence[str] = (),
    caveats: Sequence[str] = (),
    names: Mapping[str, str] | None = None,
) -> Release:
    """Sum up the verdicts on a system whose task is of this family.

    Args:
        system: the system's name.
        family: of its task.
        verdicts: what the gates said.
        policies: all criteria.
        broken: suite tests that failed before their gate spoke, or their gates with slices.
        missed: gates with their slices, or tests, that were expected and did not speak, and why.
        not_applicable: criteria, or gates with their slices, that do not apply to this system,
            and why.
        withdrawn: gates with their slices that a suite test, asked, found not to apply, and why;
            a criterion does not apply where that is all that there is of it.
        partial: whether only some tests were chosen to run.
        faults: what is wrong with the evidence.
        caveats: what has to be known to believe the verdict.
        names: what people call labels of gates that were expected, where it is something else.
    """
    judged = {v.gate for v in verdicts}
    missed = missed or {}
    named = judged | {_gate_of(label) for label in missed}
    not_applicable = {**(not_applicable or {}), **_whole_gates(withdrawn or {}, named, policies)}
    due = [name for name, policy in policies.items() if policy.task in (None, family)]
    missing = [name for name in due if name not in named and name not in not_applicable]
    if verdicts and not any(v.policy.min_value is not None and v.policy.blocks for v in verdicts):
        # Answers that can be read may all be wrong.
        missing.append(say("gate.any_quality", family=family))
    lesser = {name for name, policy in policies.items() if not policy.blocks}
    open_ones = (n for n in (*missing, *missed) if n not in broken)
    left_open = dict.fromkeys(n for n in open_ones if _gate_of(n) in lesser)
    if excused := [v.shown for v in verdicts if is_excused(v)]:
        caveats = [*caveats, say("note.criteria_that_may_lose", names=", ".join(excused))]
    # What broke before its gate spoke blocks: nobody knows what it would have said.
    unjudged = dict.fromkeys((*missing, *broken, *missed))
    return Release(
        system,
        tuple(verdicts),
        tuple(name for name in unjudged if name not in left_open),
        partial,
        tuple(faults),
        tuple(find_regressions(verdicts)),
        {
            n: why
            for n, why in not_applicable.items()
            if n not in judged and (n in due or n not in policies)
        },
        missed,
        tuple(caveats),
        tuple(left_open),
        names or {},
    )


def _whole_gates(
    withdrawn: Mapping[str, str], named: Collection[str], policies: Mapping[str, Policy]
) -> dict[str, str]:
    """What was withdrawn, a criterion in one where nothing else is known of it."""
    found = {}
    for label, why in withdrawn.items():
        gate = _gate_of(label)
        found[gate if gate in policies and gate not in named else label] = why
    return found


def _gate_of(label: str) -> str:
    return label.partition("[")[0]


def find_regressions(verdicts: Sequence[Verdict]) -> list[Regression]:
    """The gated numbers that are worse than the baseline's by more than chance.

    One test is made for each gate, and one of them is enough to stop a release, so their
    p-values are corrected by Holm's method (family-wise error 0.05). Gates that are not critical
    take no part.
    """
    tested = [
        (v.label, v.regression) for v in verdicts if v.regression is not None and v.policy.blocks
    ]
    adjusted = metrics.holm([paired.comparison.p_value for _, paired in tested])
    return [
        Regression(label, paired, p)
        for (label, paired), p in zip(tested, adjusted, strict=True)
        if p < ALPHA and paired.advantage < 0
    ]


def lowered_tiers(
    before: Mapping[str, str], policies: Mapping[str, Policy]
) -> dict[str, tuple[str, str]]:
    """Criteria that block less than they did: name -> (tier before, tier now, or `gone`)."""
    order = [*TIERS, GONE]
    now = {name: policies[name].tier if name in policies else GONE for name in before}
    return {
        name: (tier, now[name])
        for name, tier in before.items()
        if order.index(now[name]) > order.index(tier)
    }
