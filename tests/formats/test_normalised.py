from __future__ import annotations

import random

import pytest

from evalkit.formats import get_format
from evalkit.records import Example
from evalkit.tasks import load_task
from evalkit.training.attacks import attack

TASK = load_task("notifications-3level")
PLAIN = {"app_name": "Slack", "title": "Build 12", "body": "It is red: fi"}
WIDE = {"app_name": "Ｓｌａｃｋ", "title": "Build　１２", "body": "It is red： ﬁ"}
LABELS = {"folder": "Work", "priority": 3}


@pytest.mark.parametrize("name", ["json", "call"])
def test_what_a_model_reads_and_copies_is_normalised(name: str):
    plain, nfkc = get_format(name, TASK), get_format(name, TASK, normalize="nfkc")
    assert nfkc.name == name
    assert nfkc.prompt(TASK, WIDE) == plain.prompt(TASK, PLAIN) != plain.prompt(TASK, WIDE)
    assert nfkc.render(TASK, LABELS, WIDE) == plain.render(TASK, LABELS, PLAIN)
    # Case stays.
    assert nfkc.prompt(TASK, PLAIN) == plain.prompt(TASK, PLAIN)
    text = plain.render(TASK, LABELS, PLAIN)
    assert nfkc.parse(TASK, text) == plain.parse(TASK, text)


def test_nothing_is_done_by_default():
    assert get_format("json", TASK) is get_format("json", TASK, normalize="none")


def test_attacks_on_normalised_inputs_are_written():
    example = Example("1", WIDE, LABELS)
    fmt = get_format("json", TASK, normalize="nfkc")
    assert attack(example, TASK, fmt, random.Random(0)).labels == LABELS
