"""The bytes of prompts and answers are pinned.

An adapter is trained on exactly these bytes and must be tested on the same ones: a changed space
in a prompt is another prompt, and a score measured with it says nothing about the adapter. So if
a test here fails, the change is wrong, or every adapter on the shelf has to be trained anew; only
then write what the test shows into `golden/`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from evalkit.formats import get_format
from evalkit.records import Label
from evalkit.tasks import load_task

GOLDEN = Path(__file__).parent / "golden"
NOTIFICATION = {
    "app_name": "飞书",
    "title": 'Standup "daily" <escape>',
    "body": "in 5 minutes\nRoom {3}, <think>",
}


@pytest.mark.parametrize(
    ("task_name", "format_name", "inputs", "labels"),
    [
        ("notifications-3level", "json", NOTIFICATION, {"folder": "Work", "priority": 3}),
        ("notifications-5level", "call", NOTIFICATION, {"folder": "Work", "priority": 4}),
        ("intents", "labels", {"prompt": "Refund me!"}, {"intents": ("payment", "user_auth")}),
    ],
)
def test_prompt_and_answer(
    task_name: str, format_name: str, inputs: Mapping[str, str], labels: Mapping[str, Label]
):
    task = load_task(task_name)
    format_ = get_format(format_name, task)
    prompt = format_.prompt(task, inputs)
    user = [
        ("trusted   " if span.trusted else "untrusted ") + json.dumps(span.text, ensure_ascii=False)
        for span in prompt.user
    ]
    sections = {"instructions": prompt.instructions, "user": "\n".join(user)}
    if prompt.function:
        function = prompt.function
        told = [f"{name}: {text}" for name, text in function.parameters.items()]
        sections["function"] = "\n".join([f"{function.name}: {function.description}", *told])
    sections["answer"] = format_.render(task, labels, inputs)
    written = "".join(f"=== {name}\n{text}\n" for name, text in sections.items())

    # As bytes, so that a line ending cannot change unseen.
    golden = GOLDEN / f"{task_name}.{format_name}.txt"
    assert written == golden.read_bytes().decode()


def test_seed_002_asks_in_these_words():
    task = load_task("notifications-3level-seed")
    prompt = get_format("json", task).prompt(task, NOTIFICATION)
    assert f"{prompt.instructions}\n" == (GOLDEN / "seed-002.txt").read_bytes().decode()


def test_a_task_without_a_closing_is_the_one_that_adapters_were_trained_for():
    adapter = Path(__file__).parents[2] / "adapters" / "smollm2-3level"
    known = json.loads((adapter / "provenance.json").read_text(encoding="utf-8"))["task_sha256"]
    assert load_task("notifications-3level").fingerprint == known
