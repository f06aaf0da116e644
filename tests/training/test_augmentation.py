from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from evalkit.engines.chat import build_chat
from evalkit.errors import UserError
from evalkit.formats import get_format
from evalkit.records import Example
from evalkit.tasks import Task, load_task
from evalkit.training.augmentation import AugmentingCollator, check_augmentation, vary_task
from evalkit.training.encoding import LabelWeights, encode_rows
from evalkit.training.prefix_sharing import IGNORED, Row, SharedPrefixCollator
from evalkit.training.recipe import Augmentation
from tiny_models import tokenizer

TASK = load_task("notifications-3level")
INTENTS = load_task("intents")
CHAT = build_chat(tokenizer())
PAD = 0
NAMES = {"Work": ("Job", "Office"), "Alerts": ("Warnings",)}
DISTRACTORS = {"Travel": "trips and tickets", "Health": "doctors and sports", "Games": "play"}


def augmentation(**changes: Any) -> Augmentation:
    plain: dict[str, Any] = {
        "field": "folder",
        "share": 1.0,
        "drop": 0.5,
        "names": NAMES,
        "distractors": DISTRACTORS,
    }
    return Augmentation(**plain | changes)


def notification(number: int, folder: str) -> Example:
    inputs = {"app_name": "Slack", "title": f"#{number}", "body": "The build is red"}
    return Example(str(number), inputs, {"folder": folder, "priority": 1 + number % 3})


EXAMPLES = [notification(n, folder) for n, folder in enumerate(["Work", "Personal", "Work"] * 4)]


def collator(
    augment: Augmentation,
    examples: Sequence[Example] = EXAMPLES,
    task: Task = TASK,
    form: str = "json",
    weights: LabelWeights | None = None,
    seed: int = 0,
) -> AugmentingCollator:
    fmt = get_format(form, task)
    plain = SharedPrefixCollator(PAD)
    return AugmentingCollator(
        examples, task, fmt, CHAT, augment, weights=weights, seed=seed, collate=plain
    )


def rows(numbers: Sequence[int], weights: LabelWeights | None = None) -> list[Row]:
    chosen = [EXAMPLES[number] for number in numbers]
    encoded = encode_rows(TASK, get_format("json", TASK), CHAT, chosen, weights)
    for row, number in zip(encoded, numbers, strict=True):
        row["example"] = number
    return encoded


def read(batch: dict[str, torch.Tensor]) -> tuple[str, list[str]]:
    """The shared prefix and the rows' answers, as text."""
    answers = [
        CHAT.decode(suffix[labels != IGNORED].tolist())
        for suffix, labels in zip(batch["input_ids"], batch["labels"], strict=True)
    ]
    return CHAT.decode(batch["prefix_ids"].tolist()), answers


def test_the_list_changes_from_batch_to_batch_and_the_answers_with_it():
    collate = collator(augmentation())
    lists, folders = set(), set()
    for start in range(9):
        prefix, answers = read(collate(rows([start, start + 1, start + 2])))
        shown = prefix.partition("Folders:\n")[2].partition("\n\n")[0]
        lists.add(shown)
        named = [line.removeprefix("- ").partition(":")[0] for line in shown.splitlines()]
        for answer in answers:
            folder = answer.partition('"folder": "')[2].partition('"')[0]
            assert folder in named
            assert folder not in DISTRACTORS
            folders.add(folder)
        # All of the list is in the prefix: it is shared.
        assert "Priority levels:" in prefix
    assert len(lists) > 5
    assert folders >= {"Work", "Personal"}
    assert folders & {"Job", "Office"}
    seen = "\n".join(lists)
    assert "trips and tickets" in seen
    assert not all("Promotions" in shown for shown in lists)


def test_the_seed_and_the_rows_decide():
    batch = rows([0, 1, 2])
    one, same = (collator(augmentation())(batch) for _ in range(2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    others = [collator(augmentation(), seed=seed)(batch) for seed in range(1, 6)]
    assert any(other["prefix_ids"].tolist() != one["prefix_ids"].tolist() for other in others)


def test_a_share_of_batches_changes():
    collate = collator(augmentation(share=0.5))
    plain = SharedPrefixCollator(PAD)
    same = 0
    for start in range(10):
        batch = rows([start, start + 1])
        same += collate(batch)["prefix_ids"].tolist() == plain(batch)["prefix_ids"].tolist()
    assert 0 < same < 10


def test_dev_rows_stay_as_they_are():
    batch = rows([0, 1])
    for row in batch:
        del row["example"]
    expected = SharedPrefixCollator(PAD)(batch)
    got = collator(augmentation())(batch)
    assert all(torch.equal(got[name], expected[name]) for name in expected)


def test_weights_follow_the_new_names():
    weights = LabelWeights(1.0, {"folder": {"Work": 3.0, "Personal": 7.0}})
    names = {"Work": ("Job",), "Personal": ("Friends",)}
    collate = collator(augmentation(names=names), weights=weights)
    for start in range(6):
        batch = collate(rows([start, start + 1, start + 2], weights))
        for example, line in zip(EXAMPLES[start:], batch["weights"], strict=False):
            assert float(line.max()) == weights.of("folder", example.labels["folder"])


def test_blank_names_stand_for_any_value_and_only_descriptions_tell():
    blank = tuple("ABCDEFG")
    augment = augmentation(names={}, drop=0, blank_names=blank)
    check_augmentation(TASK, augment)
    meant: dict[str, set[str]] = {name: set() for name in blank}
    lists = {True: 0, False: 0}
    described = {v.description: str(v.value) for v in TASK.fields["folder"].values}
    for seed in range(60):
        task, renamed = vary_task(TASK, augment, EXAMPLES, random.Random(seed))
        values = task.fields["folder"].values
        found = {str(v.value) for v in values}
        is_blank = found <= set(blank)
        # A list is blank as a whole, the distractors in it too, or not at all.
        assert is_blank or not found & set(blank)
        lists[is_blank] += 1
        for value in values:
            if value.description in described:
                assert renamed[described[value.description]] == value.value
                if is_blank:
                    meant[str(value.value)].add(described[value.description])
    assert min(lists.values()) > 15
    assert all(len(values) > 1 for values in meant.values())


def test_nothing_asked_for_changes_nothing():
    still = augmentation(reorder=False, drop=0, names={}, distractors={})
    task, renamed = vary_task(TASK, still, EXAMPLES, random.Random(0))
    assert task.fields["folder"].values == TASK.fields["folder"].values
    assert all(old == new for old, new in renamed.items())
    assert load_task("notifications-3level") == TASK


def test_one_value_alone_is_no_list():
    only = [notification(0, "Work")]
    bare = augmentation(drop=0.999, distractors={}, names={})
    task, renamed = vary_task(TASK, bare, only, random.Random(0))
    assert task is TASK
    assert renamed["Alerts"] == "Alerts"


def test_sets_are_renamed_and_keep_the_lists_order():
    examples = [Example("1", {"prompt": "x"}, {"intents": ("order_management", "payment")})]
    augment = Augmentation(field="intents", share=1, names={"payment": ("money",)})
    fmt = get_format("labels", INTENTS)
    seen = set()
    for seed in range(12):
        (row,) = encode_rows(INTENTS, fmt, CHAT, examples)
        row["example"] = 0
        collate = collator(augment, examples, INTENTS, "labels", seed=seed)
        (answer,) = read(collate([row]))[1]
        seen.add(answer.removesuffix("<|im_end|>"))
    assert len(seen) == 4
    assert {text.replace("money", "payment") for text in seen} == {
        fmt.render(INTENTS, {"intents": order}, {})
        for order in (("order_management", "payment"), ("payment", "order_management"))
    }


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"field": "foldr"}, "no field 'foldr'. Did you mean 'folder'"),
        ({"field": "priority"}, "numbers in order"),
        ({"names": {"Wrk": ("Job",)}}, "'Wrk' is not a value of 'folder'. Did you mean 'Work'"),
        ({"names": {"Work": ("Alerts",)}}, "'Alerts' stands for two values"),
        ({"names": {"Work": ("Travel",)}}, "'Travel' stands for two values"),
        ({"distractors": {"Personal": "mine"}}, "'Personal' stands for two values"),
        ({"blank_names": (*"ABCDE", "Work")}, "'Work' stands for two values"),
        ({"blank_names": tuple("ABCDE")}, "may have 6 values, and here are names for 5"),
    ],
)
def test_what_does_not_fit_the_task_is_refused(changes: dict[str, Any], said: str):
    check_augmentation(TASK, augmentation())
    with pytest.raises(UserError) as caught:
        check_augmentation(TASK, augmentation(**changes))
    assert said in str(caught.value)
