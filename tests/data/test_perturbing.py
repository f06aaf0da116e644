"""Changes that do not matter: what they change, and what they leave alone."""

from __future__ import annotations

import random
import re
import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.data.dev_changes import DEV_WAYS
from evalkit.data.perturbing import (
    APPS,
    PERTURBATIONS,
    add_emoji,
    add_typo,
    double_spaces,
    draw_examples,
    full_width,
    lower,
    no_space_after_marks,
    perturb,
    perturb_some,
    reorder_values,
    space_before_marks,
    translate_app,
    upper,
)
from evalkit.records import Example
from evalkit.tasks import load_task

TASK = load_task("notifications-3level")
INTENTS = load_task("intents")
DRAW = random.Random(0)
ASCII = st.text(st.characters(min_codepoint=32, max_codepoint=126))


def example(id="n-1", **inputs):
    texts = {"app_name": "WeChat", "title": "Ann", "body": "Dinner tomorrow, at 19:30?"}
    return Example(id, {**texts, **inputs}, {"folder": "Personal", "priority": 2})


@given(ASCII)
def test_case_changes_nothing_but_case(text):
    assert lower(text, DRAW) == lower(upper(text, DRAW), DRAW)
    assert lower(text, DRAW).casefold() == upper(text, DRAW).casefold() == text.casefold()


@given(st.text())
def test_spacing_changes_nothing_but_spaces(text):
    for way in (double_spaces, space_before_marks, no_space_after_marks):
        assert "".join(way(text, DRAW).split(" ")) == "".join(text.split(" "))


def test_spacing_moves_the_marks_of_phrases_and_not_those_of_numbers():
    assert (
        space_before_marks("At 19:30, yes. v2.8 is out!", DRAW) == "At 19:30 , yes . v2.8 is out !"
    )
    assert space_before_marks("明天见，七点。", DRAW) == "明天见 ，七点 。"
    assert no_space_after_marks("Yes, I am. On 3, 4 May", DRAW) == "Yes,I am.On 3, 4 May"
    assert double_spaces("a b", DRAW) == "a  b"


@given(ASCII)
def test_full_width_is_undone_by_compatibility_normalisation(text):
    wide = full_width(text, DRAW)
    assert unicodedata.normalize("NFKC", wide) == text
    assert not re.search(r"[!-~]", wide)


@given(st.text(), st.integers())
def test_an_emoji_is_put_behind(text, seed):
    changed = add_emoji(text, random.Random(seed))
    assert changed.startswith(text)
    assert (changed != text) == bool(text.strip())


@given(
    st.lists(st.from_regex(r"\A[A-Za-z]{1,9}\Z") | st.from_regex(r"\A[0-9]{1,9}\Z")), st.integers()
)
def test_a_typo_is_in_one_longer_word_and_not_at_its_ends(words, seed):
    text = " ".join(words)
    changed = add_typo(text, random.Random(seed)).split()
    differing = [(a, b) for a, b in zip(words, changed, strict=True) if a != b]
    long = [word for word in words if word.isalpha() and len(word) >= 5]
    assert len(differing) == bool(long)
    for a, b in differing:
        assert a in long
        assert (a[0], a[-1]) == (b[0], b[-1])
        assert len(b) == len(a) - 1 or sorted(b) == sorted(a)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "see you",
        "8842-1190",
        "www.example.org/status",
        "ann@example.org",
        "#release",
        "订单已发货",
    ],
)
def test_numbers_addresses_and_short_words_are_not_mistyped(text):
    assert {add_typo(text, random.Random(seed)) for seed in range(20)} == {text}


def test_apps_go_by_their_other_name():
    assert translate_app("WeChat", DRAW) == "微信"
    assert translate_app("wechat", DRAW) == "微信"
    assert translate_app("微信", DRAW) == "WeChat"
    assert translate_app("An app that nobody knows", DRAW) == "An app that nobody knows"
    for english, chinese in APPS:
        assert translate_app(translate_app(english, DRAW), DRAW) == english
        assert translate_app(translate_app(chinese, DRAW), DRAW) == chinese


@pytest.mark.parametrize("kind", PERTURBATIONS)
def test_a_changed_row_keeps_its_id_and_labels(kind):
    changed = perturb(kind, example())
    assert changed is not None
    assert changed.inputs != example().inputs
    assert (changed.id, changed.labels) == ("n-1", example().labels)
    assert perturb(kind, example()) == changed


@pytest.mark.parametrize("kind", PERTURBATIONS)
def test_dev_rows_are_changed_in_other_ways_on_the_same_places(kind):
    assert list(DEV_WAYS) == list(PERTURBATIONS.own)
    rows = [example(str(n), body=f"Dinner tomorrow, at {n}?") for n in range(30)]
    ours = [dict(perturb(kind, row).inputs) for row in rows]
    if kind == "app-name":  # The tables have no app in common.
        rows = [replace(row, inputs={**row.inputs, "app_name": "Strava"}) for row in rows]
    changed = [perturb(kind, row, split="dev") for row in rows]
    assert [(row.id, row.labels) for row in changed] == [(row.id, row.labels) for row in rows]
    before, dev = (dict(row.inputs) for row in rows), [dict(row.inputs) for row in changed]
    assert not [inputs for inputs in dev if inputs in ours]
    places = [set(), set()]
    for row, *both in zip(before, dev, ours, strict=True):
        assert row not in both
        for changed_places, inputs in zip(places, both, strict=True):
            changed_places |= {name for name in row if inputs[name] != row[name]}
    assert places[0] == places[1]


def test_what_is_changed():
    before = example().inputs
    changed = {kind: perturb(kind, example()).inputs for kind in PERTURBATIONS}
    kept = {
        kind: {name for name in before if inputs[name] == before[name]}
        for kind, inputs in changed.items()
    }
    assert kept["case"] == kept["full-width"] == set()
    assert kept["app-name"] == {"title", "body"}
    assert kept["typo"] == {"app_name", "title"}  # "Ann" is too short
    assert kept["emoji"] == {"app_name"}
    # An app is called by its other name where it is named as one, not where a text speaks of it.
    named = perturb("app-name", example(title="WeChat", body="Settings"))
    assert dict(named.inputs) == {"app_name": "微信", "title": "WeChat", "body": "Settings"}


def test_a_change_that_changes_nothing_is_no_change():
    chinese = example(app_name="某应用", title="", body="今晚停水")
    assert [kind for kind in PERTURBATIONS if perturb(kind, chinese)] == ["emoji"]
    # Of the ways of a kind, one that applies is taken.
    shouting = [
        perturb("case", example(title=str(n).join("AB"), body="", app_name="X")) for n in range(9)
    ]
    assert all(found and found.inputs["title"].islower() for found in shouting)


def test_every_way_of_a_kind_is_drawn():
    rows = [example(body=f"Dinner tomorrow, at {n}?").inputs["body"] for n in range(40)]
    bodies = {perturb("case", example(body=body)).inputs["body"][0] for body in rows}
    assert bodies == {"d", "D"}
    assert {perturb("case", example(body=b)).inputs["body"][1] for b in rows} == {"i", "I"}


def test_any_task_can_be_perturbed():
    row = Example("i-1", {"prompt": "Where is my order?"}, {"intents": ("order_management",)})
    applies = [kind for kind in PERTURBATIONS if perturb(kind, row)]
    assert applies == ["case", "spacing", "full-width", "emoji", "typo"]


def test_a_draw_depends_on_ids_and_seed_alone():
    rows = [example(str(n)) for n in range(50)]
    drawn = draw_examples(rows, 10)
    assert draw_examples(rows[::-1], 10) == drawn
    assert draw_examples(rows, 10, seed=1) != drawn
    left = [row for row in rows if row not in drawn[:3]]
    assert draw_examples(left, 7) == drawn[3:]


def test_rows_that_a_change_leaves_alone_are_passed_over():
    rows = [example(str(n), app_name="WeChat" if n % 2 else "Unheard of") for n in range(20)]
    found = perturb_some("app-name", rows, 8)
    assert len(found) == 8
    assert {row.inputs["app_name"] for row in found} == {"微信"}
    assert len(perturb_some("app-name", rows, 100)) == 10


def test_values_are_listed_in_the_opposite_order_and_scales_are_not():
    task, (row,) = reorder_values(TASK, [example()])
    assert task.fields["folder"].labels == ("Alerts", "Promotions", "Personal", "Work")
    assert task.fields["priority"].labels == (1, 2, 3)
    assert row == example()
    assert task.fingerprint != TASK.fingerprint
    assert reorder_values(task, [])[0] == TASK


def test_label_sets_follow_the_order_of_the_values():
    row = Example("i-1", {"prompt": "x"}, {"intents": ("order_management", "payment")})
    task, (changed,) = reorder_values(INTENTS, [row])
    assert task.fields["intents"].labels[0] == "none"
    assert changed.labels == {"intents": ("payment", "order_management")}


def test_a_task_of_scales_alone_has_nothing_to_reorder():
    parts = {name: getattr(TASK, name) for name in type(TASK).model_fields}
    scale = type(TASK)(**parts | {"fields": {"priority": TASK.fields["priority"]}})
    assert reorder_values(scale, [])[0] == scale
