"""Gate -> question."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.evaluation import Metric
from evalkit.gates import Group, group_of, load_policies
from evalkit.locale import phrases

ROOT = Path(__file__).parents[2]
OF_METRIC = {
    "priority_accuracy": ("accuracy", Group.ACCURACY),
    "folder_accuracy": ("accuracy", Group.ACCURACY),
    "priority_recall": ("recall", Group.RECALL),
    "folder_recall": ("recall", Group.RECALL),
    "high_read_as_low": ("top_read_as_bottom", Group.URGENT),
    "intents_exact_match": ("accuracy", Group.ACCURACY),
    "intents_partial_match": ("partial_match", Group.ACCURACY),
    "intents_jaccard": ("jaccard", Group.ACCURACY),
    "intent_recall": ("recall", Group.RECALL),
    "intents_format_violations": ("format_violation_rate", Group.FORM),
}
"""Gates that are told by what they measure, as those of a project's own are."""


def measured(key: str) -> Metric:
    return Metric(key, key, lambda rows: pytest.fail("nothing is measured"))


def test_every_gate_of_the_suites_has_a_question() -> None:
    for name in load_policies(ROOT / "suites" / "gates.toml"):
        key, group = OF_METRIC.get(name, ("", None))
        found = group_of(name, metric=measured(key) if key else None)
        assert found is group if group else found is not Group.OTHER, name


def test_a_slice_may_belong_to_another_question_than_its_gate() -> None:
    asked = [group_of("out_of_enum_rate", part) for part in ("", "attacked", "unseen folders")]
    assert asked == [Group.FORM, Group.ATTACKS, Group.UNSEEN]


def test_a_gate_of_a_projects_own() -> None:
    assert group_of("queue_recall", "Billing", measured("recall")) is Group.RECALL
    assert group_of("beats_last_year", metric=measured("accuracy")) is Group.BASELINE
    assert group_of("seconds_a_row") is Group.OTHER


def test_every_question_has_a_name() -> None:
    assert {f"group.{group}" for group in Group} <= set(phrases("en"))
