"""The same question with other values, or with the same values by other names."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.data import load_dataset
from evalkit.formats import get_format
from evalkit.records import Example
from evalkit.tasks import Task, load_task
from evalkit.tasks.variants import relabelled, renamed, with_values

TASK = load_task("notifications-3level")
INTENTS = load_task("intents")
INPUTS = {"app_name": "A", "title": "T", "body": "B"}


def asked(task: Task) -> str:
    name = "labels" if task.family == "intents" else "json"
    inputs = dict.fromkeys(task.inputs, "x")
    return get_format(name, task).prompt(task, inputs).instructions


def test_other_values_are_what_is_asked_for_in_their_order() -> None:
    found = with_values(TASK, "folder", {"Zoo": "animals", "Art": "pictures"})
    assert found.fields["folder"].labels == ("Zoo", "Art")
    assert "- Zoo: animals\n- Art: pictures" in asked(found)
    assert "Promotions" not in asked(found)


def test_all_else_stays() -> None:
    found = with_values(TASK, "folder", {"Zoo": "animals", "Art": "pictures"})
    assert found.fields["priority"] == TASK.fields["priority"]
    assert found.inputs == TASK.inputs
    assert TASK.fields["folder"].labels == ("Work", "Personal", "Promotions", "Alerts")


def test_a_variant_has_its_own_fingerprint() -> None:
    # What the first has cached must not be carried over.
    before = TASK.fingerprint, TASK.fields["folder"].labels
    assert renamed(TASK, "folder", {"Work": "Office"}).fingerprint != TASK.fingerprint
    assert (TASK.fingerprint, TASK.fields["folder"].labels) == before


def test_new_names_keep_descriptions_and_order() -> None:
    found = renamed(TASK, "folder", {"Alerts": "Notices", "Work": "Office"})
    assert found.fields["folder"].labels == ("Office", "Personal", "Promotions", "Notices")
    assert asked(found) == asked(TASK).replace("- Work:", "- Office:").replace(
        "- Alerts:", "- Notices:"
    )


def test_an_exclusive_value_stays_so_under_a_new_name() -> None:
    found = renamed(INTENTS, "intents", {"none": "nothing"})
    assert found.fields["intents"].exclusive == {"nothing"}


def test_mappings_lead_to_the_new_names(tmp_path: Path) -> None:
    content = TASK.model_dump()
    content["fields"]["folder"]["mappings"] = {"german": {"Arbeit": "Work", "Privat": "Personal"}}
    found = renamed(Task.model_validate(content), "folder", {"Work": "Office"})
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        '{"notification": {"app": "a", "title": "t", "body": "b"}, '
        '"classification": {"folder": "Arbeit", "priority": 1}}\n'
    )
    (example,) = load_dataset(str(rows), found, mapping="german").examples
    assert example.labels["folder"] == "Office"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: with_values(TASK, "fodler", {"A": "a", "B": "b"}), "no field 'fodler'"),
        (lambda: renamed(TASK, "folder", {"Wrok": "Office"}), "no Wrok"),
        (lambda: renamed(TASK, "folder", {"Work": "Alerts"}), "listed twice"),
        (lambda: with_values(TASK, "folder", {"A": "only one"}), "at least two"),
        (lambda: with_values(TASK, "priority", {"A": "a", "B": "b"}), "values of a ordinal"),
    ],
)
def test_what_makes_no_task_is_refused(make, says) -> None:
    with pytest.raises(ValueError, match=says):
        make()


def test_labels_follow_the_new_names() -> None:
    one = Example("1", INPUTS, {"folder": "Work", "priority": 2})
    (found,) = relabelled([one], "folder", {"Work": "Office"})
    assert found == Example("1", INPUTS, {"folder": "Office", "priority": 2})
    assert one.labels["folder"] == "Work"


def test_sets_and_levels_can_be_relabelled() -> None:
    both = Example("1", {"prompt": "x"}, {"intents": ("payment", "inventory")})
    (found,) = relabelled([both], "intents", {"payment": "money"})
    assert found.labels["intents"] == ("money", "inventory")
    level = Example("1", INPUTS, {"folder": "Work", "priority": 2})
    assert relabelled([level], "priority", {"2": "x"}) == (level,)


@given(
    st.lists(
        st.text(st.characters(categories=["L"]), min_size=1, max_size=8),
        min_size=4,
        max_size=4,
        unique=True,
    )
)
def test_there_and_back_is_the_task_itself(names: list[str]) -> None:
    folders = [str(label) for label in TASK.fields["folder"].labels]
    there = dict(zip(folders, names, strict=True))
    back = {new: old for old, new in there.items()}
    assert renamed(renamed(TASK, "folder", there), "folder", back) == TASK
