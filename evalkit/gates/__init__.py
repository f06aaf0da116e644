"""Judging: release criteria, verdicts, and what they come to."""

from evalkit.gates.failures import Failure, find_failures, overrun
from evalkit.gates.groups import Group, by_group, group_of
from evalkit.gates.judging import (
    ALPHA,
    GateMode,
    Outcome,
    Reason,
    Verdict,
    gate,
    judge,
    name_part,
)
from evalkit.gates.policy import (
    BAD_ROWS,
    Policy,
    criteria_in_force,
    find_policy,
    load_policies,
    policies_sha256,
)
from evalkit.gates.release import (
    Regression,
    Release,
    conclude,
    find_regressions,
    lowered_tiers,
    verdict_in_words,
)
from evalkit.gates.remedies import Advice, Finding, Subject, diagnose, merged

__all__ = [
    "ALPHA",
    "BAD_ROWS",
    "Advice",
    "Failure",
    "Finding",
    "GateMode",
    "Group",
    "Outcome",
    "Policy",
    "Reason",
    "Regression",
    "Release",
    "Subject",
    "Verdict",
    "by_group",
    "conclude",
    "criteria_in_force",
    "diagnose",
    "find_failures",
    "find_policy",
    "find_regressions",
    "gate",
    "group_of",
    "judge",
    "load_policies",
    "lowered_tiers",
    "merged",
    "name_part",
    "overrun",
    "policies_sha256",
    "verdict_in_words",
]
