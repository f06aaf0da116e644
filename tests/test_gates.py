"""Policy x measurement -> verdict."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.errors import UserError
from evalkit.gates import Outcome, Policy, conclude, find_policy, judge, load_policies
from evalkit.metrics import proportion

AT_LEAST_80 = Policy(min_value=0.8, min_cases=50, why="x")
AT_MOST_1 = Policy(max_value=0.01, min_cases=50, why="x")
NEVER = Policy(max_value=0.0, min_cases=50, why="x")


@pytest.mark.parametrize(
    ("policy", "count", "n", "mode", "outcome", "crosses"),
    [
        (AT_LEAST_80, 400, 500, "point", Outcome.PASS, True),  # exactly on the bound
        (AT_LEAST_80, 399, 500, "point", Outcome.FAIL, True),
        (AT_LEAST_80, 450, 500, "point", Outcome.PASS, False),
        (AT_LEAST_80, 300, 500, "point", Outcome.FAIL, False),
        (AT_LEAST_80, 415, 500, "strict", Outcome.INCONCLUSIVE, True),  # seed 006: 83.0%
        (AT_LEAST_80, 450, 500, "strict", Outcome.PASS, False),
        (AT_LEAST_80, 300, 500, "strict", Outcome.FAIL, False),
        (AT_LEAST_80, 11, 15, "point", Outcome.INCONCLUSIVE, False),  # seed 004: 11 of 15
        (AT_LEAST_80, 15, 15, "point", Outcome.INCONCLUSIVE, False),
        (AT_MOST_1, 0, 500, "point", Outcome.PASS, False),
        (AT_MOST_1, 5, 500, "point", Outcome.PASS, True),
        (AT_MOST_1, 6, 500, "point", Outcome.FAIL, True),
        (AT_MOST_1, 100, 500, "strict", Outcome.FAIL, False),
        (NEVER, 0, 500, "point", Outcome.PASS, False),
        (NEVER, 0, 500, "strict", Outcome.PASS, False),
        (NEVER, 1, 500, "point", Outcome.FAIL, False),
        (NEVER, 1, 500, "strict", Outcome.FAIL, False),
        (NEVER, 0, 10, "point", Outcome.INCONCLUSIVE, False),
        (NEVER, 1, 10, "point", Outcome.FAIL, False),
    ],
)
def test_verdicts(
    policy: Policy, count: int, n: int, mode: str, outcome: Outcome, crosses: bool
) -> None:
    verdict = judge("g", policy, proportion(count, n), mode=mode)  # type: ignore[arg-type]
    assert verdict.outcome is outcome
    assert ("crosses" in verdict.note) is crosses


def test_a_slice_has_a_name_of_its_own() -> None:
    assert judge("g", NEVER, proportion(0, 100), slice_name="Work").label == "g[Work]"


def test_nothing_judged_does_not_ship() -> None:
    assert not conclude("s", "f", [], {}).may_ship


def test_being_readable_is_not_enough_to_ship() -> None:
    release = conclude("s", "f", [judge("g", NEVER, proportion(0, 100))], {"g": NEVER})
    assert not release.may_ship
    assert "any quality" in release.not_judged[0]


def test_criteria_for_other_tasks_are_not_due() -> None:
    policies = {"a": AT_LEAST_80, "b": Policy(max_value=0.0, task="intents", why="x")}
    verdict = judge("a", AT_LEAST_80, proportion(100, 100))
    assert conclude("s", "notifications", [verdict], policies).may_ship
    assert conclude("s", "intents", [verdict], policies).not_judged == ("b",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[g]\nwhy = 'x'\n", "min_value or max_value"),
        ("[g]\nmin_value = 0.5\nmax_value = 0.5\nwhy = 'x'\n", "min_value or max_value"),
        ("[g]\nmin_value = 0.5\n", "why"),
        ("[g]\nmin_value = 80\nwhy = 'x'\n", "min_value"),
        ("[g]\nmin_valeu = 0.5\nwhy = 'x'\n", "min_valeu"),
        ("[g\n", "not valid TOML"),
    ],
)
def test_a_bad_criterion_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "gates.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        load_policies(path)


def test_the_projects_own_criteria_are_valid() -> None:
    path = Path(__file__).parents[1] / "suites" / "gates.toml"
    policies = load_policies(path)
    assert find_policy(policies, "priority_accuracy", path).min_value == 0.80
    assert find_policy(policies, "folder_accuracy", path).min_value == 0.90
    assert find_policy(policies, "out_of_enum_rate", path).max_value == 0.0
    assert find_policy(policies, "parse_failure_rate", path).max_value == 0.01
