"""Question -> what answers it."""

from __future__ import annotations

from typing import Any

import pytest

from evalkit.gates import Group, Policy, Subject, Verdict, diagnose, judge, merged
from evalkit.gates.remedies import REMEDIES, Change, Remedy
from evalkit.locale import phrases
from evalkit.metrics import proportion
from evalkit.systems import SystemConfig
from evalkit.training.recipe import Recipe, TfidfRecipe

ALL = [(group, remedy) for group, remedies in REMEDIES.items() for remedy in remedies]
AT_MOST = Policy(max_value=0.1, min_cases=1, why="x")
AT_LEAST = Policy(min_value=0.8, min_cases=1, why="x")


def verdict(gate: str, value: int, slice_name: str = "", policy: Policy = AT_MOST) -> Verdict:
    return judge(gate, policy, proportion(value, 100), slice_name=slice_name)


def subject(trainer: Any = "adapter", **keys: Any) -> Subject:
    recipe = Recipe if trainer == "adapter" else TfidfRecipe
    now = recipe.model_validate({"data": "rows.jsonl", **keys}).model_dump()
    return Subject(trainer, "notifications", ["folder", "priority"], now, {"normalize": "none"})


def nested(keys: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in keys.items():
        *tables, last = key.split(".")
        inner = found
        for name in tables:
            inner = inner.setdefault(name, {})
        inner[last] = value
    return found


@pytest.mark.parametrize(("group", "remedy"), ALL, ids=lambda x: getattr(x, "name", x))
def test_every_remedy_can_be_written_into_a_recipe(group: Group, remedy: Remedy) -> None:
    assert f"remedy.{remedy.name}" in phrases("en")
    for trainer in remedy.trainers:
        model = Recipe if trainer == "adapter" else TfidfRecipe
        for step in range(max((len(c.ladder) for c in remedy.changes), default=0)):
            keys = {c.key: c.ladder[min(step, len(c.ladder) - 1)] for c in remedy.changes}
            model.model_validate({"data": "rows.jsonl", **nested(keys)})
    system = {change.key: change.ladder[0] for change in remedy.system}
    SystemConfig.model_validate({"task": "t", "format": "json", "base": "hf:o/n", **system})


def test_every_question_has_an_answer() -> None:
    assert set(REMEDIES) == set(Group)
    assert [group for group, remedies in REMEDIES.items() if not remedies] == [Group.OTHER]


@pytest.mark.parametrize(
    ("change", "now", "after"),
    [
        (Change("a", (0.3, 0.5)), None, 0.3),
        (Change("a", (0.3, 0.5)), 0.3, 0.5),
        (Change("a", (0.3, 0.5)), 0.6, None),
        (Change("a", (1e-3, 5e-4)), 2e-3, 1e-3),
        (Change("a", (1e-3, 5e-4)), 2e-4, None),
        (Change("a", (True,)), False, True),
        (Change("a", (True,)), True, None),
        (Change("a", ("balanced",)), "none", "balanced"),
        (Change("a", ("x.toml",), takes_any=True), "y.toml", None),
    ],
)
def test_the_next_value_to_try(change: Change, now: Any, after: Any) -> None:
    assert change.after(now) == after


def test_the_worst_comes_first_with_the_farthest_of_its_gates_first() -> None:
    verdicts = [
        verdict("flip_rate", 12, "case"),
        verdict("flip_rate", 5, "typo"),
        verdict("attack_success_rate", 15, "instruction"),
        verdict("attack_success_rate", 40, "fake-call"),
        verdict("unseen_folder_accuracy", 75, "one", AT_LEAST),
    ]
    found = diagnose(verdicts, subject())
    assert [finding.failure.group for finding in found] == [
        Group.ATTACKS,
        Group.UNSEEN,
        Group.FLIPS,
    ]
    assert [[v.slice for v in finding.failure.failed] for finding in found] == [
        ["fake-call", "instruction"],
        ["one"],
        ["case"],
    ]
    recipe, system = merged(found)
    assert recipe == {
        "attacks.share": 0.1,
        "noise.share": 0.3,
        "labels.field": "folder",
        "labels.topics": "data/notifications/topics.toml",
        "labels.topic_share": 0.3,
        "labels.beside_share": 0.2,
    }
    assert not system
    Recipe.model_validate({"data": "rows.jsonl", **nested(recipe)})


def test_what_blocks_comes_before_what_lies_further_beyond_its_bound() -> None:
    reported = AT_MOST.model_copy(update={"tier": "report"})
    verdicts = [verdict("flip_rate", 60, "case", reported), verdict("attack_success_rate", 15)]
    found = diagnose(verdicts, subject())
    assert [finding.failure.group for finding in found] == [Group.ATTACKS, Group.FLIPS]


def test_what_a_recipe_has_is_raised_and_then_spent() -> None:
    (finding,) = diagnose([verdict("flip_rate", 40, "case")], subject(noise={"share": 0.4}))
    assert finding.advice[0].recipe == {"noise.share": 0.5}
    (finding,) = diagnose([verdict("flip_rate", 40, "case")], subject(noise={"share": 0.9}))
    assert finding.advice[0].is_spent


def test_some_remedies_are_for_one_slice() -> None:
    (finding,) = diagnose([verdict("flip_rate", 40, "full-width")], subject())
    assert [(a.name, dict(a.system)) for a in finding.advice] == [
        ("nfkc", {"normalize": "nfkc"}),
        ("noise", {}),
    ]


def test_tfidf_gets_its_own_keys_and_others_none() -> None:
    failed = [verdict("priority_recall", 20, "3", AT_LEAST), verdict("flip_rate", 40, "typo")]
    recipe, _ = merged(diagnose(failed, subject("tfidf")))
    assert recipe == {"noise.share": 0.3}
    stranger = Subject(None, "notifications", ["folder"])
    assert {a.name for f in diagnose(failed, stranger) for a in f.advice} == {"train"}


def test_a_gate_that_passed_needs_no_remedy() -> None:
    assert diagnose([verdict("flip_rate", 10, "case")], subject()) == ()
