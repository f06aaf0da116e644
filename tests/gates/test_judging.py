"""Policy x measurement -> verdict."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from evalkit.errors import InsufficientData, UserError
from evalkit.evaluation import Measurement, Metric, PairedComparison
from evalkit.evaluation.metric import accuracy, parse_failure_rate
from evalkit.gates import (
    Outcome,
    Policy,
    Reason,
    Verdict,
    conclude,
    find_policy,
    judge,
    load_policies,
    lowered_tiers,
    policies_sha256,
)
from evalkit.metrics import compare_hits, proportion, share
from evalkit.records import Estimate
from evalkit.reports.numbers import needed
from evalkit.tasks import load_task

TASK = load_task("notifications-3level")
BETTER = Policy(min_difference=0.0, min_cases=50, why="x")
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
        (AT_LEAST_80, 415, 500, "strict", Outcome.INCONCLUSIVE, True),  # seed 002: 83.0%
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


def paired(ours: list[bool], theirs: list[bool], metric: Metric | None = None) -> PairedComparison:
    found = compare_hits(ours, theirs)
    return PairedComparison(metric or parse_failure_rate(), "a", "b", found)


def paired_accuracy(won: int, lost: int, n: int) -> PairedComparison:
    """Rows that the first alone gets right, that the second alone does, and all."""
    ours = [True] * won + [False] * lost + [True] * (n - won - lost)
    theirs = [False] * won + [True] * lost + [True] * (n - won - lost)
    return paired(ours, theirs, accuracy(load_task("notifications-3level"), "priority"))


@pytest.mark.parametrize(
    ("won", "lost", "n", "outcome"),
    [
        (30, 5, 200, Outcome.PASS),
        (15, 5, 200, Outcome.PASS),  # exact p = 0.041
        (14, 6, 200, Outcome.INCONCLUSIVE),  # exact p = 0.115
        (10, 10, 200, Outcome.FAIL),
        (0, 0, 200, Outcome.FAIL),
        (5, 30, 200, Outcome.FAIL),
        (30, 5, 40, Outcome.INCONCLUSIVE),  # too few cases
    ],
)
def test_being_better_has_to_be_shown(won: int, lost: int, n: int, outcome: Outcome) -> None:
    for mode in ("point", "strict"):
        assert judge("g", BETTER, paired_accuracy(won, lost, n), mode=mode).outcome is outcome


def test_a_lower_rate_is_an_advantage() -> None:
    fewer = paired([False] * 100, [True] * 30 + [False] * 70)
    verdict = judge("g", BETTER, fewer)
    assert verdict.outcome is Outcome.PASS
    assert verdict.estimate.value == pytest.approx(0.3)
    assert 0 < verdict.estimate.low < 0.3 < verdict.estimate.high


def test_not_much_worse_can_be_asked_for() -> None:
    policy = Policy(min_difference=-0.05, min_cases=50, why="x")
    assert judge("g", policy, paired_accuracy(4, 5, 1000)).outcome is Outcome.PASS
    assert judge("g", policy, paired_accuracy(40, 80, 1000)).outcome is Outcome.INCONCLUSIVE
    assert judge("g", policy, paired_accuracy(0, 100, 1000)).outcome is Outcome.FAIL


def test_a_criterion_and_its_number_have_to_be_of_one_kind() -> None:
    with pytest.raises(UserError, match=r"single number against it. Give it min_value"):
        judge("g", BETTER, proportion(9, 10))
    with pytest.raises(UserError, match=r"comparison against it. Give it min_difference"):
        judge("g", AT_LEAST_80, paired_accuracy(1, 1, 100))


def test_a_percentage_is_no_share() -> None:
    with pytest.raises(UserError, match=r"8 is not a share"):
        judge("g", Policy(min_value=8.0, why="x"), proportion(100, 100))


def test_near_duplicates_are_one_case() -> None:
    """One row 500 times is one case, and 60 rows twice are 60."""
    policy = Policy(min_value=0.8, min_cases=100, why="x")
    one = judge("g", policy, share([True] * 500, groups=[0] * 500))
    assert one.outcome is Outcome.INCONCLUSIVE
    assert one.note == "1 independent cases (500 with near-duplicates), and this gate needs 100"
    twice = [i // 2 for i in range(200)]
    assert judge("g", policy, share([True] * 200, groups=twice)).outcome is Outcome.PASS
    assert (
        judge("g", policy, share([True] * 198, groups=twice[:198])).outcome is Outcome.INCONCLUSIVE
    )


def test_near_duplicates_are_one_case_of_a_comparison() -> None:
    groups = [i // 2 for i in range(98)] + list(range(49, 51))
    found = compare_hits([True] * 100, [False] * 100, groups=groups)
    policy = Policy(min_difference=0.0, min_cases=51, why="x")
    paired = PairedComparison(
        accuracy(load_task("notifications-3level"), "priority"), "a", "b", found
    )
    assert judge("g", policy, paired).outcome is Outcome.PASS
    more = Policy(min_difference=0.0, min_cases=52, why="x")
    assert judge("g", more, paired).outcome is Outcome.INCONCLUSIVE


def test_what_is_called_better_never_passes_a_loss() -> None:
    lenient = Policy(min_difference=-0.25, min_cases=50, why="x")
    loss = paired_accuracy(10, 42, 200)  # -16 points, p < 0.001
    lost = judge("beats_tfidf", lenient, loss)
    assert (lost.outcome, lost.reason) == (Outcome.FAIL, Reason.LOST)
    assert (lost.policy.threshold, lost.shortfall) == (-0.25, pytest.approx(0.16))
    assert judge("not_far_below_tfidf", lenient, loss).outcome is Outcome.PASS
    # What chance could have brought about is no loss that was shown.
    tie = judge("beats_tfidf", lenient, paired_accuracy(10, 12, 200))
    assert tie.outcome is Outcome.PASS
    # A bound below 0 is noted where 0 would not have given the same.
    won = judge("beats_tfidf", lenient, paired_accuracy(42, 10, 200))
    noted = [bool(conclude("s", "f", [v], {}).caveats) for v in (lost, tie, won)]
    assert noted == [False, True, False]


TENTH = Policy(min_relative_difference=-0.10, min_cases=50, why="x")
GUARDED = Policy(
    min_difference=-0.02, min_relative_difference=-0.10, relative_below=0.5, min_cases=50, why="x"
)


def hits_of(right: int, n: int) -> list[bool]:
    return [i < right for i in range(n)]


def paired_of(ours: int, theirs: int, n: int, *, lower: bool = False) -> PairedComparison:
    """Two systems that are right (or at fault) on the first so many rows."""
    metric = parse_failure_rate() if lower else accuracy(TASK, "priority")
    return PairedComparison(
        metric, "new", "old", compare_hits(hits_of(ours, n), hits_of(theirs, n))
    )


@pytest.mark.parametrize(
    ("policy", "paired", "bound", "outcome"),
    [
        # A tenth of 80% is 8 points: 2 points less are shown to be within it, 9 are not.
        (TENTH, paired_of(780, 800, 1000), -0.08, Outcome.PASS),
        (TENTH, paired_of(710, 800, 1000), -0.08, Outcome.FAIL),
        (TENTH, paired_of(78, 80, 100), -0.08, Outcome.PASS),
        (TENTH, paired_of(73, 80, 100), -0.08, Outcome.INCONCLUSIVE),
        # The same 2 points are a fifth of 10%.
        (TENTH, paired_of(80, 100, 1000), -0.01, Outcome.FAIL),
        # Of a rate of faults a tenth more may come.
        (TENTH, paired_of(420, 400, 1000, lower=True), -0.04, Outcome.PASS),
        (TENTH, paired_of(450, 400, 1000, lower=True), -0.04, Outcome.FAIL),
        # From 50% on it is 2 points, below a tenth.
        (GUARDED, paired_of(475, 500, 1000), -0.02, Outcome.FAIL),
        (GUARDED, paired_of(470, 490, 1000), -0.049, Outcome.PASS),
    ],
)
def test_a_relative_bound_is_a_share_of_the_others_value(
    policy: Policy, paired: PairedComparison, bound: float, outcome: Outcome
) -> None:
    verdict = judge("kept", policy, paired)
    assert verdict.policy.threshold == pytest.approx(bound)
    assert verdict.outcome is outcome


def test_a_relative_bound_is_shown_with_what_it_comes_to() -> None:
    shown = [
        needed(judge("kept", p, paired_of(4, 500, 1000)).policy) for p in (TENTH, GUARDED, BETTER)
    ]
    assert shown == ["> -5.0 (-10%)", "> -2.0", "> 0"]
    # Verdicts are read back.
    judged = judge("kept", TENTH, paired_of(4, 500, 1000)).policy
    assert Policy.model_validate(judged.model_dump(mode="json")) == judged


def test_no_share_of_nothing_is_a_bound() -> None:
    with pytest.raises(InsufficientData, match="relative bound says nothing"):
        judge("kept", TENTH, paired_of(0, 0, 100, lower=True))


def test_a_single_number_is_compared_with_the_run_that_is_named() -> None:
    number = Measurement(proportion(78, 100))
    verdict = judge("kept", TENTH, number, regression=paired_of(78, 80, 100))
    assert verdict.outcome is Outcome.PASS
    assert verdict.estimate.value == pytest.approx(-0.02)
    with pytest.raises(UserError, match=r"name the run .* --against RUN"):
        judge("kept", TENTH, number)


def test_a_verdict_says_what_it_could_have_noticed() -> None:
    verdict = judge("g", AT_LEAST_80, proportion(160, 200))
    assert verdict.detects is not None
    assert 0.05 < verdict.detects < 0.10
    larger = judge("g", AT_LEAST_80, proportion(1600, 2000))
    assert larger.detects is not None
    assert larger.detects < verdict.detects / 2
    # One in 200 is 0.5%; a true rate of 0.8% shows itself four times in five.
    assert judge("g", NEVER, proportion(0, 200)).detects == pytest.approx(0.008, abs=0.0005)
    assert judge("g", AT_LEAST_80, Estimate(0.9, 200, 0.8, 1.0, "mine", 180)).detects is None


def test_near_duplicates_notice_less() -> None:
    hits = [i % 5 > 0 for i in range(200)]
    alone = judge("g", AT_LEAST_80, share(hits))
    copies = [hit for hit in hits for _ in range(5)]
    grouped = judge("g", AT_LEAST_80, share(copies, groups=[i // 5 for i in range(1000)]))
    assert grouped.estimate.n == 1000
    assert alone.detects is not None
    assert grouped.detects is not None
    assert grouped.detects >= alone.detects - 0.001


def test_an_undecided_verdict_says_how_many_cases_would_settle_it() -> None:
    verdict = judge("g", AT_LEAST_80, proportion(166, 200), mode="strict")  # 83.0%
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.settled_by is not None
    n = verdict.settled_by
    settled = judge("g", AT_LEAST_80, proportion(round(0.83 * n) + 1, n), mode="strict")
    assert settled.outcome is Outcome.PASS
    assert judge("g", AT_LEAST_80, proportion(190, 200)).settled_by is None


def regressed(won: int, lost: int, name: str = "g") -> Verdict:
    against = paired_accuracy(won, lost, 500)
    return judge(name, AT_LEAST_80, proportion(490, 500), regression=against)


def test_a_significant_regression_does_not_ship_even_above_the_bound() -> None:
    release = conclude("s", "f", [regressed(2, 30)], {})
    assert [r.label for r in release.regressions] == ["g"]
    assert not release.may_ship
    assert conclude("s", "f", [regressed(30, 2)], {}).may_ship
    assert conclude("s", "f", [regressed(5, 8)], {}).may_ship


def test_many_gates_are_corrected_for() -> None:
    slight = regressed(5, 16)  # exact p = 0.027
    assert conclude("s", "f", [slight], {}).regressions
    many = [slight, *(regressed(10, 10, f"g{i}") for i in range(9))]
    assert not conclude("s", "f", many, {}).regressions


def test_faulty_evidence_does_not_ship() -> None:
    good = judge("g", AT_LEAST_80, proportion(490, 500))
    assert conclude("s", "f", [good], {}).may_ship
    assert not conclude("s", "f", [good], {}, faults=["stale"]).may_ship


def test_an_excused_criterion_is_not_due() -> None:
    good = judge("g", AT_LEAST_80, proportion(490, 500))
    policies = {"g": AT_LEAST_80, "beats": BETTER}
    assert conclude("s", "f", [good], policies).not_judged == ("beats",)
    assert conclude("s", "f", [good], policies, not_applicable={"beats": "it is it"}).may_ship


def test_the_hash_of_criteria_is_that_of_what_they_say(tmp_path: Path) -> None:
    path = tmp_path / "gates.toml"
    hashes = []
    for text in ("[g]\nmin_value = 0.8\nwhy = 'x'\n", "# a\n[g]\nwhy = 'x'\nmin_value = 0.80\n"):
        path.write_text(text)
        hashes.append(policies_sha256(load_policies(path)))
    assert hashes[0] == hashes[1]
    path.write_text("[g]\nmin_value = 0.81\nwhy = 'x'\n")
    assert policies_sha256(load_policies(path)) != hashes[0]


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
        ("[g]\nwhy = 'x'\n", "one of min_value"),
        ("[g]\nmin_value = 0.5\nmax_value = 0.5\nwhy = 'x'\n", "one of min_value"),
        ("[g]\nmin_value = 0.5\n", "why"),
        ("[g]\nmin_value = 80\nwhy = 'x'\n", r'min_value: a bare 80 .*write 0.8 or "80%"'),
        ("[g]\nmax_value = 1\nwhy = 'x'\n", r'0.01 or "1%" .*, or 1.0 or "100%"'),
        ("[g]\nmin_difference = -5\nwhy = 'x'\n", r'-0.05 or "-5%"'),
        ("[g]\nmin_value = 80.0\nwhy = 'x'\n", r'80 is not a share: write 0.8 or "80%"'),
        ("[g]\nmax_value = -0.1\nwhy = 'x'\n", r"-0.1 is not a share"),
        ("[g]\nmin_value = '0.8'\nwhy = 'x'\n", r"'0.8' is not a bound"),
        ("[g]\nmin_value = 'x%'\nwhy = 'x'\n", r"'x%' is not a bound"),
        ("[g]\nmin_value = true\nwhy = 'x'\n", r"True is not a bound"),
        ("[g]\nmin_value = nan\nwhy = 'x'\n", r"finite"),
        ("[g]\nmin_relative_difference = -10\nwhy = 'x'\n", r'-0.1 or "-10%"'),
        ("[g]\nmin_relative_difference = -1.0\nwhy = 'x'\n", r"lets everything be lost"),
        ("[g]\nmin_difference = 0.0\nmin_relative_difference = -0.1\nwhy = 'x'\n", "go together"),
        ("[g]\nmin_difference = 0.0\nrelative_below = 0.2\nwhy = 'x'\n", "go together"),
        ("[g]\nmin_value = 0.5\nmin_relative_difference = -0.1\nwhy = 'x'\n", "give one of"),
        ("[bad_rows]\nmin_value = 0.5\nwhy = 'x'\n", r"takes max_value"),
        ("[g]\nmin_valeu = 0.5\nwhy = 'x'\n", r"'g.min_valeu'. Did you mean 'min_value'"),
        ("[g\n", "not valid TOML"),
    ],
)
def test_a_bad_criterion_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "gates.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        load_policies(path)


def test_bounds_are_shares_or_percentages(tmp_path: Path) -> None:
    path = tmp_path / "gates.toml"
    bounds = {"'1%'": 0.01, "'100 %'": 1.0, "1.0": 1.0, "0": 0.0, "'12.5%'": 0.125, "0.8": 0.8}
    for written, meant in bounds.items():
        path.write_text(f"[g]\nmax_value = {written}\nwhy = 'x'\n")
        assert load_policies(path)["g"].max_value == pytest.approx(meant)
    path.write_text("[g]\nmax_value = 1.5\nshare = false\nwhy = 'x'\n")
    assert load_policies(path)["g"].max_value == 1.5


def test_the_projects_own_criteria_are_valid() -> None:
    path = Path(__file__).parents[2] / "suites" / "gates.toml"
    policies = load_policies(path)
    assert find_policy(policies, "priority_accuracy", path).min_value == 0.80
    assert find_policy(policies, "folder_accuracy", path).min_value == 0.90
    assert find_policy(policies, "out_of_enum_rate", path).max_value == 0.0
    assert find_policy(policies, "parse_failure_rate", path).max_value == 0.01


# --- tiers ---------------------------------------------------------------------------------------

SUPPORTING = AT_LEAST_80.model_copy(update={"tier": "supporting"})
ADVISORY = AT_LEAST_80.model_copy(update={"tier": "advisory"})


def test_only_what_is_critical_blocks() -> None:
    good = judge("good", AT_LEAST_80, proportion(450, 500))
    bad = judge("bad", SUPPORTING, proportion(300, 500))
    few = judge("few", ADVISORY, proportion(9, 10))
    policies = {"good": AT_LEAST_80, "bad": SUPPORTING, "few": ADVISORY, "unread": ADVISORY}
    release = conclude("s", "f", [good, bad, few], policies, missed={"few[x]": "it was left out"})
    assert release.may_ship
    assert [v.gate for v in release.not_blocking] == ["bad", "few"]
    assert release.not_judged == ()
    assert release.left_open == ("unread", "few[x]")
    critical = judge("bad", AT_LEAST_80, proportion(300, 500))
    assert not conclude("s", "f", [good, critical, few], policies).may_ship


def test_a_test_that_broke_blocks_whatever_its_gates_tier() -> None:
    good = judge("good", AT_LEAST_80, proportion(450, 500))
    release = conclude("s", "f", [good], {"good": AT_LEAST_80}, broken=["test_x[s]"])
    assert release.not_judged == ("test_x[s]",)
    assert not release.may_ship
    lesser = {"good": AT_LEAST_80, "few": SUPPORTING}
    lacking = conclude("s", "f", [good], lesser, broken=["few[x]"], missed={"few[x]": "no row"})
    assert (lacking.not_judged, lacking.left_open) == (("few[x]",), ())


def test_quality_that_is_not_critical_is_none() -> None:
    good = judge("good", SUPPORTING, proportion(450, 500))
    form = judge("form", NEVER, proportion(0, 500))
    release = conclude("s", "f", [good, form], {"good": SUPPORTING, "form": NEVER})
    (missing,) = release.not_judged
    assert "any quality" in missing
    assert not release.may_ship


def test_a_regression_of_what_is_not_critical_does_not_block() -> None:
    verdict = regressed(2, 30)
    lesser = dataclasses.replace(
        verdict, policy=verdict.policy.model_copy(update={"tier": "supporting"})
    )
    assert conclude("s", "f", [verdict], {}).regressions
    assert not conclude("s", "f", [lesser], {}).regressions


def test_lowered_tiers_are_told_and_raised_ones_are_not() -> None:
    before = {"a": "critical", "b": "supporting", "c": "advisory", "d": "critical", "e": "critical"}
    now = {"a": SUPPORTING, "b": ADVISORY, "c": AT_LEAST_80, "d": AT_LEAST_80}
    assert lowered_tiers(before, now) == {
        "a": ("critical", "supporting"),
        "b": ("supporting", "advisory"),
        "e": ("critical", "gone"),
    }


def test_the_default_tier_changes_no_hash_and_another_does() -> None:
    assert "tier" not in json.dumps(AT_LEAST_80.model_dump(exclude_defaults=True))
    assert policies_sha256({"g": AT_LEAST_80}) != policies_sha256({"g": SUPPORTING})


def test_rows_that_could_not_be_read_are_always_critical(tmp_path: Path) -> None:
    path = tmp_path / "gates.toml"
    path.write_text('[bad_rows]\nmax_value = 0.01\ntier = "advisory"\nwhy = "x"\n')
    with pytest.raises(UserError, match="always critical"):
        load_policies(path)
