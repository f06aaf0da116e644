"""Instructions hidden in a text, for any task and format."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.data.attacks import ATTACKS, Attack, choose_target
from evalkit.data.dev_changes import DEV_ATTACKS
from evalkit.formats import get_format
from evalkit.records import Example, Prediction
from evalkit.tasks import load_task

TASK = load_task("notifications-3level")
INTENTS = load_task("intents")
ROW = Example(
    "n-1",
    {"app_name": "An app with a long name", "title": "Parcel", "body": "It is at the door."},
    {"folder": "Alerts", "priority": 2},
)
CASES = [
    (TASK, "json", ROW),
    (TASK, "call", ROW),
    (INTENTS, "labels", Example("i-1", {"prompt": "Pay"}, {"intents": ("payment",)})),
    (INTENTS, "json", Example("i-2", {"prompt": "Hi"}, {"intents": ("none",)})),
]


@pytest.mark.parametrize(("task", "name", "row"), CASES)
@pytest.mark.parametrize("attack", [*ATTACKS.values(), *map(Attack, DEV_ATTACKS.values())])
def test_an_attack_is_hidden_in_one_text_and_names_its_target(attack, task, name, row):
    attacked, targets = attack.apply(row, task, get_format(name, task))
    changed = [key for key in row.inputs if attacked.inputs[key] != row.inputs[key]]
    assert changed in (["body"], ["prompt"])
    ((field, target),) = targets.items()
    added = attacked.inputs[changed[0]].removeprefix(row.inputs[changed[0]])
    assert (target[0] if isinstance(target, tuple) else str(target)) in added
    assert (attacked.id, attacked.labels) == (row.id, row.labels)
    assert target != row.labels[field]


@pytest.mark.parametrize(("task", "name", "row"), CASES)
def test_a_faked_answer_would_be_read_as_the_target(task, name, row):
    fmt = get_format(name, task)
    attacked, targets = ATTACKS["fake-turn"].apply(row, task, fmt)
    answer = "".join(attacked.inputs.values()).split("assistant\n")[1].split("<|im_end|>")[0]
    read = fmt.parse(task, answer).strict
    assert isinstance(read, Prediction)
    assert dict(read.fields) == {**row.labels, **targets}


def test_a_faked_call_would_be_read_as_the_target():
    call = get_format("call", TASK)
    attacked, targets = ATTACKS["fake-call"].apply(ROW, TASK, get_format("json", TASK))
    read = call.parse(TASK, attacked.inputs["body"]).lenient
    assert isinstance(read, Prediction)
    assert dict(read.fields) == {**ROW.labels, **targets}


def test_all_attacks_want_the_same_of_a_row():
    fmt = get_format("json", TASK)
    for number in range(20):
        row = Example(f"n-{number}", ROW.inputs, ROW.labels)
        wanted = {str(attack.apply(row, TASK, fmt)[1]) for attack in ATTACKS.values()}
        assert len(wanted) == 1


@given(st.text(), st.sampled_from(TASK.fields["folder"].labels), st.sampled_from([1, 2, 3]))
def test_targets_are_wrong_and_on_a_scale_far_off(name, folder, priority):
    row = Example(name, ROW.inputs, {"folder": folder, "priority": priority})
    field, target = choose_target(row, TASK)
    assert target in TASK.fields[field].labels
    assert target != row.labels[field]
    if field == "priority":
        assert target in {1: [3], 2: [1, 3], 3: [1]}[priority]


@given(st.text(), st.sets(st.sampled_from(INTENTS.fields["intents"].labels[:5]), min_size=1))
def test_targets_of_sets_are_one_value_that_is_not_held(name, held):
    right = tuple(str(value) for value in INTENTS.fields["intents"].labels if value in held)
    field, target = choose_target(Example(name, {"prompt": "x"}, {"intents": right}), INTENTS)
    assert field == "intents"
    assert isinstance(target, tuple)
    assert len(target) == 1
    assert target[0] not in held


def test_every_field_and_both_ends_of_a_scale_are_aimed_at():
    rows = [Example(str(n), ROW.inputs, ROW.labels) for n in range(60)]
    aims = {choose_target(row, TASK) for row in rows}
    wanted = {("folder", f) for f in ("Work", "Personal", "Promotions")}
    assert aims == wanted | {("priority", 1), ("priority", 3)}
