"""A gate in the terminal: what fits on a screen, and what failed in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.gates import (
    Outcome,
    Release,
    Verdict,
    conclude,
    find_failures,
    judge,
    load_policies,
    overrun,
)
from evalkit.records import Estimate
from evalkit.reports.judged import JudgedRun, read_judged
from evalkit.reports.render.terminal import line_of, to_text
from evalkit.reports.sections.verdict import closing, failure_sentence
from evalkit.reports.terminal import release_screen, side_by_side
from judged_runs import TASK, write_judged_run

POLICIES = load_policies(Path(__file__).parents[2] / "suites" / "gates.toml")
ACCURACY = POLICIES["priority_accuracy"].model_copy(update={"min_cases": 1})


def failing(name: str, slice_name: str = "") -> Verdict | None:
    """A gate of the suites that fails, whatever it measures; None for a comparison."""
    policy = POLICIES[name]
    if policy.compares:
        return None
    value = 0.9 if policy.max_value is not None else 0.1
    return judge(name, policy, Estimate(value, 500, 0.05, 0.95, "count"), slice_name=slice_name)


@pytest.fixture
def everything_fails(tmp_path: Path) -> JudgedRun:
    run = read_judged(write_judged_run(tmp_path))
    found = [failing(name, part) for name in POLICIES for part in ("", "a-part", "another-part")]
    verdicts = [verdict for verdict in found if verdict]
    assert len(verdicts) > 60
    assert run.release
    release = conclude("mine", "notifications", verdicts, POLICIES)
    return JudgedRun(run.folder, run.evaluation, release)


@pytest.mark.parametrize("width", [80, 120])
def test_whatever_fails_fits_on_a_screen_and_no_name_is_broken(
    everything_fails: JudgedRun, width: int
) -> None:
    lines = to_text(release_screen(everything_fails, width), width, colour=False).splitlines()
    # Twenty are pytest's own: its head, a line for each file of the suites, what it counted.
    reasons = [line for line in lines if line.endswith(").")]
    assert len(lines) <= len(reasons) + 12
    table = lines[next(n for n, line in enumerate(lines) if line.startswith("gate ")) :]
    shown = [line.split()[0] for line in table[2:-1]]
    assert len(shown) >= 3
    assert set(shown) <= set(POLICIES)
    assert max(map(len, table)) <= width


def test_side_by_side_keeps_what_was_not_judged(tmp_path: Path) -> None:
    run = read_judged(write_judged_run(tmp_path))
    assert run.release
    first, *others = run.release.verdicts
    lacking = ["contamination", *(v.label for v in others)]
    releases = [
        conclude("one", "notifications", run.release.verdicts, {}, broken=["contamination"]),
        conclude("two", "notifications", [first], {}, broken=lacking),
    ]
    shown = to_text(side_by_side(releases, [run.evaluation]), 80, colour=False).splitlines()
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in shown if line.strip()}
    assert rows["contamination"] == "not judged not judged"
    assert rows["faults"] == "0.0% PASS not judged"


def test_a_mark_is_explained_where_it_stands(tmp_path: Path) -> None:
    for right, marked in ((16, True), (20, False)):
        run = read_judged(write_judged_run(tmp_path, right=right))
        text = to_text(release_screen(run, 80), 80, colour=False)
        assert (" ~ " in text, "the 95% interval crosses" in text) == (marked, marked)


def release(*verdicts: Verdict) -> Release:
    return conclude("mine", "notifications", verdicts, {})


def test_what_costs_most_comes_first_and_what_does_not_block_last(tmp_path: Path) -> None:
    run = read_judged(write_judged_run(tmp_path)).evaluation
    near = judge("priority_accuracy", ACCURACY, run.accuracy("priority"))
    far = judge("flip_rate", POLICIES["flip_rate"], Estimate(0.5, 100, 0.4, 0.6, "count"))
    advised = POLICIES["attack_success_rate"].model_copy(update={"tier": "advisory"})
    lesser = judge("attack_success_rate", advised, Estimate(1.0, 100, 0.9, 1.0, "count"))
    # 8 of 20 are wrong where 4 may be; 50 flips where 10 may be; 100 where 5 may be.
    assert [round(overrun(v), 6) for v in (near, far, lesser)] == [2, 5, 20]
    assert [f.headline for f in find_failures([near, lesser, far])] == [far, near, lesser]


def test_a_sentence_says_the_whole_and_its_least_part(tmp_path: Path) -> None:
    run = read_judged(write_judged_run(tmp_path)).evaluation
    recall = POLICIES["priority_recall"].model_copy(update={"min_value": 0.7, "min_cases": 1})
    medium = judge("priority_recall", recall, run.recall("priority", 2), slice_name="2")
    assert medium.shown == "priority_recall[medium]"
    assert medium.label == "priority_recall[2]"
    accuracy = judge("priority_accuracy", ACCURACY, run.accuracy("priority"))
    (failure,) = find_failures([medium, accuracy])
    said = "misses priority 2 times in 5 (60.0%, needs >= 80%); finds 60.0% of medium"
    assert line_of(failure_sentence(failure, TASK.fields)) == said
    shown = release(medium, accuracy)
    assert line_of(closing(shown, TASK.fields)).startswith(f"mine may NOT ship: {said}")
    chinese = line_of(failure_sentence(failure, TASK.fields), "zh")
    assert (
        "priority 大约每 5 次有 2 次判错（60.0% 正确，要求 >= 80%）；medium 只找出 60.0%" in chinese
    )


def test_every_gate_of_the_suites_has_a_sentence_of_its_own() -> None:
    for name in POLICIES:
        verdict = failing(name)
        if verdict and POLICIES[name].task != "intents":
            (failure,) = find_failures([verdict])
            said = line_of(failure_sentence(failure, TASK.fields))
            assert verdict.outcome is Outcome.FAIL
            assert "90.0%" in said or "10.0%" in said, said
