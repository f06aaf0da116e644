"""Verdicts as one number."""

from __future__ import annotations

import pytest

from evalkit.gates import Group, Policy, Verdict, judge
from evalkit.gates.score import score
from evalkit.metrics import proportion

AT_LEAST = Policy(min_value=0.8, min_cases=1, why="x")
AT_MOST = Policy(max_value=0.1, min_cases=1, why="x")


def verdict(gate: str, percent: int, policy: Policy, part: str = "") -> Verdict:
    return judge(gate, policy, proportion(percent, 100), slice_name=part)


def test_margins_are_weighed_by_question_and_capped() -> None:
    found = score(
        [
            verdict("field_accuracy", 82, AT_LEAST, "folder"),
            verdict("field_accuracy", 70, AT_LEAST, "priority"),
            verdict("flip_rate", 0, AT_MOST, "case"),  # ten points beyond its bound: five count
            verdict("flip_rate", 15, AT_MOST, "typo"),
            verdict("contamination", 90, AT_MOST),  # not a recipe's to mend
        ]
    )
    assert found.margins == pytest.approx({Group.ACCURACY: -0.04, Group.FLIPS: 0.0})
    assert found.total == pytest.approx((3 * -0.04 + 0.0) / 4)
    assert found.failed == 2
    assert found.accuracy == pytest.approx(0.76)


def test_one_failure_is_not_outweighed_by_what_passes_easily() -> None:
    easy = [verdict("flip_rate", 0, AT_MOST, str(n)) for n in range(3)]
    even = [verdict("flip_rate", 9, AT_MOST, str(n)) for n in range(4)]
    lopsided = [*easy, verdict("flip_rate", 60, AT_MOST, "typo")]
    assert score(even).rank > score(lopsided).rank


def test_accuracy_decides_between_equals() -> None:
    good, better = (score([verdict("field_accuracy", n, AT_LEAST)]) for n in (90, 95))
    assert better.total == good.total
    assert better.rank > good.rank
