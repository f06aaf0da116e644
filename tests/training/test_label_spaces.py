from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from evalkit.errors import UserError
from evalkit.records import Example
from evalkit.tasks import Task, load_task
from evalkit.training.label_spaces import Varied, check_label_spaces, vary
from evalkit.training.places import OWN, Kind, Space
from evalkit.training.recipe import LabelSpaces
from evalkit.training.topics import Topic

TASK = load_task("notifications-3level")
INTENTS = load_task("intents")
NAMES = {"Work": ("Job", "Office"), "Alerts": ("Warnings",)}
DISTRACTORS = {"Travel": "trips and tickets", "Health": "doctors and sports", "Games": "play"}
TOPICS = {
    "Reviews": Topic(
        description="code that waits for a look",
        names=("Pull requests", "代码评审"),
        descriptions=("changes to be read", "diffs"),
        near=("Builds",),
    ),
    "Builds": Topic(description="red and green builds", near=("Reviews",)),
    "Parcels": Topic(description="what is on its way"),
    "Birthdays": Topic(description="who was born today"),
    "Tickets": Topic(description="seats and gates"),
    "Chess": Topic(description="moves and clocks"),
}


def label_spaces(**changes: Any) -> LabelSpaces:
    plain: dict[str, Any] = {
        "field": "folder",
        "share": 1.0,
        "drop": 0.5,
        "names": NAMES,
        "distractors": DISTRACTORS,
    }
    return LabelSpaces(**plain | changes)


def of_topics(**changes: Any) -> LabelSpaces:
    return label_spaces(**{"topics": "topics.toml", "most": 5} | changes)


def notification(number: int, folder: str, topic: str | None = None) -> Example:
    inputs = {"app_name": "Slack", "title": f"#{number}", "body": "The build is red"}
    labels = {"folder": folder, "priority": 1 + number % 3}
    return Example(str(number), inputs, labels, {"topic": topic} if topic else {})


EXAMPLES = [notification(n, folder) for n, folder in enumerate(["Work", "Personal", "Work"] * 4)]
TOPICAL = [
    notification(n, folder, topic)
    for n, (folder, topic) in enumerate(
        [("Work", "Reviews"), ("Alerts", "Parcels"), ("Personal", "Birthdays"), ("Work", "Reviews")]
    )
]


def drawn(
    spaces: LabelSpaces,
    space: Space = OWN,
    examples: Sequence[Example] = EXAMPLES,
    task: Task = TASK,
    seeds: int = 60,
) -> list[Varied]:
    return [vary(task, spaces, TOPICS, space, examples, random.Random(n)) for n in range(seeds)]


def listed(varied: Varied) -> dict[str, str]:
    """Value -> description, in order."""
    return {str(v.value): v.description for v in varied.task.fields["folder"].values}


def said(varied: Varied) -> list[str]:
    return [str(example.labels["folder"]) for example in varied.examples]


TRUE = {str(v.value): v.description for v in TASK.fields["folder"].values}


def test_the_list_changes_and_every_label_keeps_its_meaning():
    lists = set()
    names = set()
    for varied in drawn(label_spaces()):
        values = listed(varied)
        lists.add(tuple(values.items()))
        for example, label in zip(EXAMPLES, said(varied), strict=True):
            assert values[label] == TRUE[str(example.labels["folder"])]
            names.add(label)
        assert [e.inputs for e in varied.examples] == [e.inputs for e in EXAMPLES]
        assert [e.labels["priority"] for e in varied.examples] == [
            e.labels["priority"] for e in EXAMPLES
        ]
    assert len(lists) > 30
    assert names == {"Work", "Job", "Office", "Personal"}
    offered = {name for values in lists for name, _ in values}
    assert offered == {*TRUE, *DISTRACTORS, "Job", "Office", "Warnings"}
    assert any("Promotions" not in dict(values) for values in lists)


def test_blank_names_stand_for_any_value_and_only_descriptions_tell():
    blank = tuple("ABCDEFG")
    spaces = label_spaces(names={}, drop=0, blank_names=blank)
    check_label_spaces(TASK, spaces)
    meant: dict[str, set[str]] = {name: set() for name in blank}
    lists = {True: 0, False: 0}
    for varied in drawn(spaces):
        values = listed(varied)
        is_blank = set(values) <= set(blank)
        # A list is blank as a whole, the distractors in it too, or not at all.
        assert is_blank or not set(values) & set(blank)
        lists[is_blank] += 1
        for name, description in values.items():
            if is_blank:
                meant[name].add(description)
        for value, name in varied.renamed.items():
            assert values[name] == TRUE[value]
    assert min(lists.values()) > 15
    assert all(len(descriptions) > 1 for descriptions in meant.values())


def test_nothing_asked_for_changes_nothing():
    still = label_spaces(reorder=False, drop=0, names={}, distractors={})
    varied = vary(TASK, still, {}, OWN, EXAMPLES, random.Random(0))
    assert varied.task.fields["folder"].values == TASK.fields["folder"].values
    assert varied.examples == EXAMPLES
    assert all(old == new for old, new in varied.renamed.items())
    assert load_task("notifications-3level") == TASK


def test_one_value_alone_is_no_list():
    only = [notification(0, "Work")]
    bare = label_spaces(drop=0.999, distractors={}, names={})
    varied = vary(TASK, bare, {}, OWN, only, random.Random(0))
    assert varied.task is TASK
    assert varied.examples == only
    assert varied.renamed["Alerts"] == "Alerts"


def test_sets_are_renamed_and_keep_the_lists_order():
    examples = [Example("1", {"prompt": "x"}, {"intents": ("order_management", "payment")})]
    spaces = LabelSpaces(field="intents", share=1, names={"payment": ("money",)})
    seen = set()
    for varied in drawn(spaces, examples=examples, task=INTENTS, seeds=12):
        label = varied.examples[0].labels["intents"]
        assert isinstance(label, tuple)
        values = [v for v in varied.task.fields["intents"].labels if v in label]
        assert list(label) == values
        seen.add(label)
    assert len(seen) == 4
    assert {"money" in label for label in seen} == {True, False}


# Topics


def test_a_list_of_topics_holds_every_rows_topic_and_none_that_is_near():
    space = Space(Kind.TOPICS, ("Birthdays", "Parcels", "Reviews"))
    sizes, names, descriptions = set(), set(), set()
    described = {t.description: name for name, t in TOPICS.items()}
    described |= {d: name for name, t in TOPICS.items() for d in t.descriptions}
    for varied in drawn(of_topics(), space, TOPICAL):
        values = listed(varied)
        sizes.add(len(values))
        assert {described[d] for d in values.values()} >= set(space.topics)
        assert "Builds" not in {described[d] for d in values.values()}
        for example, label in zip(TOPICAL, said(varied), strict=True):
            assert described[values[label]] == example.tags["topic"]
        names.add(said(varied)[0])
        descriptions.add(values[said(varied)[0]])
        assert varied.renamed == {}
    assert sizes == {3, 4, 5}
    assert names == {"Reviews", "Pull requests", "代码评审"}
    assert descriptions == {"code that waits for a look", "changes to be read", "diffs"}


def test_a_topic_beside_the_tasks_own_values_takes_its_rows_alone():
    space = Space(Kind.BESIDE, ("Reviews",))
    spaces = of_topics(names={}, drop=0, distractors={})
    others = set()
    for varied in drawn(spaces, space, TOPICAL):
        values = listed(varied)
        assert values.items() >= TRUE.items()
        assert said(varied)[1:3] == ["Alerts", "Personal"]
        assert {said(varied)[0], said(varied)[3]} <= {"Reviews", "Pull requests", "代码评审"}
        others |= set(values) - set(TRUE) - {"Reviews", "Pull requests", "代码评审"}
    # Right for no row, and not near a row's topic: Parcels and Birthdays have rows, Builds is near.
    assert others == {"Tickets", "Chess"}


def test_a_value_whose_rows_all_went_to_a_topic_may_be_left_out():
    space = Space(Kind.BESIDE, ("Reviews",))
    lists = [listed(v) for v in drawn(of_topics(names={}, distractors={}), space, TOPICAL)]
    assert any("Work" not in values for values in lists)
    assert all("Alerts" in values and "Personal" in values for values in lists)


def test_rows_without_a_topic_get_no_topic_as_a_distractor():
    spaces = of_topics(distractors={}, names={}, drop=0)
    for varied in drawn(spaces):
        assert set(listed(varied)) == set(TRUE)
    offered = {name for v in drawn(spaces, OWN, TOPICAL) for name in listed(v)} - set(TRUE)
    assert offered == {"Tickets", "Chess"}


def test_blank_names_stand_for_topics():
    blank = tuple("ABCDEFGHIJK")
    space = Space(Kind.TOPICS, ("Birthdays", "Parcels", "Reviews"))
    spaces = of_topics(blank_names=blank)
    check_label_spaces(TASK, spaces, TOPICS)
    kinds = {set(listed(v)) <= set(blank) for v in drawn(spaces, space, TOPICAL)}
    assert kinds == {True, False}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"field": "foldr"}, "no field 'foldr'. Did you mean 'folder'"),
        ({"field": "priority"}, "numbers in order"),
        ({"names": {"Wrk": ("Job",)}}, "'Wrk' is not a value of 'folder'. Did you mean 'Work'"),
        ({"names": {"Work": ("Alerts",)}}, "'Alerts' stands for two values"),
        ({"names": {"Work": ("alerts",)}}, "'alerts' stands for two values"),
        ({"names": {"Work": ("Travel",)}}, "'Travel' stands for two values"),
        ({"distractors": {"Personal": "mine"}}, "'Personal' stands for two values"),
        ({"blank_names": (*"ABCDE", "Work")}, "'Work' stands for two values"),
        ({"blank_names": tuple("ABCDE")}, "may have 6 values, and here are names for 5"),
    ],
)
def test_what_does_not_fit_the_task_is_refused(changes: dict[str, Any], said: str):
    check_label_spaces(TASK, label_spaces())
    with pytest.raises(UserError) as caught:
        check_label_spaces(TASK, label_spaces(**changes))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "topics", "said"),
    [
        ({}, {"Work": Topic(description="jobs")}, "'Work' stands for two values"),
        (
            {},
            {"Jobs": Topic(description="jobs", names=("Travel",))},
            "'Travel' stands for two values",
        ),
        ({"most": 8}, TOPICS, "a list of 8 topics cannot be drawn from 6"),
        ({"blank_names": tuple("ABCDEFG")}, TOPICS, "may have 8 values, and here are names for 7"),
    ],
)
def test_topics_that_do_not_fit_are_refused(
    changes: dict[str, Any], topics: dict[str, Topic], said: str
):
    check_label_spaces(TASK, of_topics(), TOPICS)
    with pytest.raises(UserError) as caught:
        check_label_spaces(TASK, of_topics(**changes), topics)
    assert said in str(caught.value)


def test_topics_are_no_values_of_a_field_of_sets():
    with pytest.raises(UserError, match="'intents' holds sets of values"):
        check_label_spaces(INTENTS, LabelSpaces(field="intents", topics="t"), TOPICS)
