from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from evalkit.engines.chat import build_chat
from evalkit.formats import get_format
from evalkit.records import Example
from evalkit.tasks import load_task
from evalkit.training.edits import row_names
from evalkit.training.encoding import LabelWeights, encode_rows
from evalkit.training.keeping import KeepBatches, encode_general_rows
from evalkit.training.places import OWN, Kind, Place, Space
from evalkit.training.prefix_sharing import IGNORED, Row, SharedPrefixCollator
from evalkit.training.recipe import Attacks, Keep, LabelSpaces, Noise, Recipe
from evalkit.training.topics import Topic
from evalkit.training.varying import VaryingCollator
from tiny_models import tokenizer

TASK = load_task("notifications-3level")
JSON = get_format("json", TASK)
CHAT = build_chat(tokenizer())
PAD = 0
SPACES = LabelSpaces(
    field="folder",
    share=1.0,
    drop=0.5,
    names={"Work": ("Job", "Office"), "Alerts": ("Warnings",)},
    distractors={"Travel": "trips and tickets", "Health": "doctors", "Games": "play"},
)
TOPICS = {
    "Builds": Topic(description="red and green"),
    "Parcels": Topic(description="on its way"),
    "Chess": Topic(description="moves"),
}


def example(number: int) -> Example:
    folder, topic = (("Work", "Builds"), ("Personal", "Chess"), ("Work", "Builds"))[number % 3]
    inputs = {"app_name": "Slack", "title": f"#{number}", "body": "The build is red"}
    labels = {"folder": folder, "priority": 1 + number % 3}
    return Example(str(number), inputs, labels, {"topic": topic})


EXAMPLES = [example(number) for number in range(12)]


def collator(weights: LabelWeights | None = None, keep: Any = None, **recipe: Any) -> Any:
    return VaryingCollator(
        EXAMPLES,
        encode_rows(TASK, JSON, CHAT, EXAMPLES),
        TASK,
        JSON,
        CHAT,
        Recipe(data="x", **recipe),
        SharedPrefixCollator(PAD),
        topics=TOPICS,
        weights=weights,
        keep=keep,
    )


def rows(
    numbers: Sequence[int], weights: LabelWeights | None = None, epoch: int = 0, space: Space = OWN
) -> list[Row]:
    chosen = [EXAMPLES[number] for number in numbers]
    encoded = encode_rows(TASK, JSON, CHAT, chosen, weights)
    for row, number in zip(encoded, numbers, strict=True):
        row["place"] = Place(number, epoch, space)
    return encoded


def texts(batch: dict[str, torch.Tensor]) -> tuple[str, list[str], list[str]]:
    """The shared prefix, the rest of the prompts, and the answers."""
    prompts, answers = [], []
    for suffix, labels in zip(batch["input_ids"], batch["labels"], strict=True):
        learned = labels != IGNORED
        prompts.append(CHAT.decode(suffix[: int(learned.nonzero()[0])].tolist()))
        answers.append(CHAT.decode(suffix[learned].tolist()))
    return CHAT.decode(batch["prefix_ids"].tolist()), prompts, answers


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


EVERYTHING: dict[str, Any] = {
    "labels": SPACES,
    "noise": Noise(share=0.5),
    "attacks": Attacks(share=0.5),
}


def test_the_list_changes_from_batch_to_batch_and_the_answers_with_it():
    collate = collator(labels=SPACES)
    lists = set()
    for start in range(9):
        prefix, _, answers = texts(collate(rows([start, start + 1, start + 2])))
        shown = prefix.partition("Folders:\n")[2].partition("\n\n")[0]
        lists.add(shown)
        named = [line.removeprefix("- ").partition(":")[0] for line in shown.splitlines()]
        for answer in answers:
            assert answer.partition('"folder": "')[2].partition('"')[0] in named
        # All of the list is in the prefix: it is shared.
        assert "Priority levels:" in prefix
    assert len(lists) > 5


def test_rows_that_were_chosen_for_topics_are_asked_for_topics():
    space = Space(Kind.TOPICS, ("Builds", "Chess"))
    collate = collator(labels=SPACES.model_copy(update={"share": 0.0, "most": 3}))
    prefix, _, answers = texts(collate(rows([0, 1, 2], space=space)))
    assert "- Builds: red and green" in prefix
    assert "Promotions" not in prefix
    assert ['"folder": "Builds"' in a for a in answers] == [True, False, True]
    # Rows of several spaces, as several processes mix them, are asked for the task's own values.
    mixed = [*rows([0], space=space), *rows([1, 2])]
    assert same(collate(mixed), SharedPrefixCollator(PAD)(mixed))


@pytest.mark.parametrize("changes", [{"labels": SPACES}, EVERYTHING])
def test_seed_epoch_and_rows_decide(changes: dict[str, Any]):
    batch = rows([0, 1, 2, 3])
    one = collator(**changes)(batch)
    assert same(one, collator(**changes)(batch))
    others = [collator(seed=seed, **changes)(batch) for seed in range(1, 6)]
    others += [collator(**changes)(rows([0, 1, 2, 3], epoch=epoch)) for epoch in range(1, 6)]
    assert sum(same(one, other) for other in others) < 3


def test_a_share_of_batches_changes():
    collate = collator(labels=SPACES.model_copy(update={"share": 0.5}))
    plain = SharedPrefixCollator(PAD)
    kept = 0
    for start in range(10):
        batch = rows([start, start + 1])
        kept += same(collate(batch), plain(batch))
    assert 0 < kept < 10


@pytest.mark.parametrize("changes", [{"noise": Noise(share=0.4)}, {"attacks": Attacks(share=0.4)}])
def test_a_share_of_rows_is_edited_and_answers_stay(changes: dict[str, Any]):
    collate = collator(**changes)
    edited = set()
    before = texts(SharedPrefixCollator(PAD)(rows(range(12))))
    for epoch in range(10):
        after = texts(collate(rows(range(12), epoch=epoch)))
        assert after[2] == before[2]
        full = [[prefix + p for p in prompts] for prefix, prompts, _ in (before, after)]
        edited |= {(epoch, n) for n in range(12) if full[0][n] != full[1][n]}
    assert 0.25 < len(edited) / 120 < 0.55
    # Another row in another epoch.
    assert len({n for _, n in edited}) > 8


def test_rows_are_as_long_as_their_edits_make_them():
    for changes in (EVERYTHING | {"labels": None}, {}):
        collate = collator(**changes)
        for epoch in (0, 3):
            lengths = collate.lengths(epoch)
            for number, length in enumerate(lengths):
                batch = collate(rows([number], epoch=epoch))
                assert batch["prefix_ids"].numel() + batch["input_ids"].numel() == length
    plain = [len(row["input_ids"]) for row in rows(range(12))]
    assert lengths == plain != collator(**EVERYTHING).lengths(3)


def test_an_attack_asks_for_a_value_of_the_list_that_is_shown():
    space = Space(Kind.TOPICS, ("Builds", "Chess"))
    collate = collator(labels=SPACES.model_copy(update={"most": 3}), attacks=Attacks(share=1.0))
    named = 0
    for epoch in range(20):
        prefix, prompts, answers = texts(collate(rows(range(6), epoch=epoch, space=space)))
        for prompt, answer in zip(prompts, answers, strict=True):
            text = (prefix + prompt).partition("Respond with")[2]
            assert not any(str(v) in text for v in TASK.fields["folder"].labels)
            named += any(name in text and name not in answer for name in TOPICS)
    assert named > 30


def test_dev_rows_stay_as_they_are():
    batch = rows([0, 1])
    for row in batch:
        del row["place"]
    assert same(collator(**EVERYTHING)(batch), SharedPrefixCollator(PAD)(batch))


def test_weights_follow_the_new_names():
    weights = LabelWeights(1.0, {"folder": {"Work": 3.0, "Personal": 7.0}})
    names = {"Work": ("Job",), "Personal": ("Friends",)}
    collate = collator(weights, labels=SPACES.model_copy(update={"names": names}))
    for start in range(6):
        batch = collate(rows([start, start + 1, start + 2], weights))
        for one, line in zip(EXAMPLES[start:], batch["weights"], strict=False):
            assert float(line.max()) == weights.of("folder", one.labels["folder"])


def test_repeats_of_a_row_have_names_of_their_own():
    assert row_names([EXAMPLES[0], EXAMPLES[1], EXAMPLES[0]]) == ["0 0", "1 0", "0 1"]


# General prompts


GENERAL = [
    {"prompt": "Who are you?", "answer": "A model"},
    {
        "prompt": "Is the build red again?",
        "answer": "You are a model for tests and no build is red",
    },
    {"text": "Your parcel arrives today between 10:00 and 12:00."},
]


def test_general_rows_are_plain_turns_and_texts():
    chat, longer, text = encode_general_rows(GENERAL, CHAT, 200)
    asked = CHAT.decode(chat["input_ids"][: chat["prompt_length"]])
    assert asked == (
        "<|im_start|>system\nYou are a tiny model made for tests.<|im_end|>\n"
        "<|im_start|>user\nWho are you?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert CHAT.decode(chat["input_ids"][chat["prompt_length"] :]) == "A model<|im_end|>"
    assert CHAT.decode(text["input_ids"]) == GENERAL[2]["text"]
    assert text["prompt_length"] == 1
    room = longer["prompt_length"] + 1
    cut = encode_general_rows(GENERAL[:2], CHAT, room)
    assert cut[1]["input_ids"] == longer["input_ids"][:room]
    assert len(encode_general_rows(GENERAL[:2], CHAT, longer["prompt_length"])) == 1


def test_general_prompts_stand_beside_a_share_of_batches():
    general = encode_general_rows(GENERAL, CHAT, 200)
    keep = Keep(data="general.jsonl", share=0.5, batch_size=2)
    batches = KeepBatches(general, keep, SharedPrefixCollator(PAD), 0.25)
    collate = collator(keep=batches)
    found = 0
    for epoch in range(20):
        batch = rows([0, 1], epoch=epoch)
        made = collate(batch)
        plain = SharedPrefixCollator(PAD)(batch)
        # First what Trainer counts the rows by.
        assert next(iter(made)) == "input_ids"
        assert all(torch.equal(made[name], plain[name]) for name in plain)
        if made.keys() == plain.keys():
            continue
        found += 1
        assert set(made) - set(plain) == {
            *("keep_input_ids", "keep_labels", "keep_prefix_ids", "keep_weight")
        }
        assert float(made["keep_weight"]) == 0.25
        assert len(made["keep_input_ids"]) == 2
        assert same(made, collate(batch))
    assert 4 < found < 16


def test_a_batch_of_general_prompts_is_of_rows_of_like_length():
    made = [Row(input_ids=[7] * n, prompt_length=1) for n in (30, 3, 29, 4, 5)]
    batches = KeepBatches(made, Keep(data="x", share=1, batch_size=2), SharedPrefixCollator(PAD), 1)
    for seed in range(20):
        batch = batches.draw(random.Random(seed))
        lengths = (batch["keep_labels"] != IGNORED).sum(1).tolist()
        # Neighbours by length; the first token of all is not an answer.
        assert lengths in ([2, 3], [3, 4], [4, 28], [28, 29])
