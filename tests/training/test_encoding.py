from __future__ import annotations

import pytest

from evalkit.engines.chat import build_chat
from evalkit.errors import UserError
from evalkit.formats import get_format
from evalkit.records import Example, Label
from evalkit.tasks import load_task
from evalkit.training.encoding import LabelWeights, encode_rows, label_weights, missing_values
from evalkit.training.recipe import Recipe
from tiny_models import tokenizer

TASK = load_task("notifications-3level")
INTENTS = load_task("intents")
CHAT = build_chat(tokenizer())


def notification(number: int, folder: str, priority: int) -> Example:
    inputs = {"app_name": "Slack", "title": f"#{number}", "body": "The build is red"}
    return Example(str(number), inputs, {"folder": folder, "priority": priority})


ROWS = [
    notification(0, "Work", 1),
    notification(1, "Personal", 1),
    notification(2, "Promotions", 1),
    notification(3, "Alerts", 3),
    notification(4, "Work", 2),
    notification(5, "Work", 1),
]


def weighed(name: str, example: Example, weights: LabelWeights) -> list[tuple[str, float]]:
    """The answer's pieces of one weight."""
    (row,) = encode_rows(TASK, get_format(name, TASK), CHAT, [example], weights)
    ids = row["input_ids"][row["prompt_length"] :]
    pieces: list[tuple[str, float]] = []
    for token, weight in zip(ids, row["weights"], strict=True):
        text = CHAT.decode([token])
        if pieces and pieces[-1][1] == weight:
            pieces[-1] = (pieces[-1][0] + text, weight)
        else:
            pieces.append((text, weight))
    return pieces


def test_without_weights_rows_have_none():
    (row,) = encode_rows(TASK, get_format("json", TASK), CHAT, ROWS[:1])
    assert "weights" not in row
    assert label_weights(TASK, Recipe(data="x"), ROWS) is None


def test_the_tokens_that_say_a_label_are_found():
    weights = LabelWeights(4.0, {"priority": {3: 0.5}})
    assert weighed("json", ROWS[3], weights) == [
        ('{"folder": "', 1.0),
        ("Alerts", 4.0),
        ('", "priority":', 1.0),
        (" 3", 2.0),
        ("}<|im_end|>", 1.0),
    ]
    call = weighed("call", ROWS[0], weights)
    assert [piece for piece, weight in call if weight != 1] == ["Work", "1"]


def test_labels_that_begin_alike_share_no_weight():
    """Personal and Promotions; which of the two it is, their second letters decide."""
    (_, one, *_), (_, other, *_) = (
        weighed("json", row, LabelWeights(2.0, {})) for row in (ROWS[1], ROWS[2])
    )
    assert (one, other) == (("Personal", 2.0), ("Promotions", 2.0))


def test_balanced_weights_let_every_value_count_alike():
    weights = label_weights(TASK, Recipe(data="x", class_weights="balanced"), ROWS)
    assert weights is not None
    assert weights.values["priority"] == {1: 0.5, 2: 2.0, 3: 2.0}
    for field in TASK.fields:
        sums: dict[Label, float] = {}
        for row in ROWS:
            value = row.labels[field]
            sums[value] = sums.get(value, 0) + weights.of(field, value)
        assert set(sums.values()) == {len(ROWS) / len(sums)}
    doubled = label_weights(TASK, Recipe(data="x", class_weights="balanced", label_weight=2), ROWS)
    assert doubled is not None
    assert doubled.of("priority", 3) == 4.0


def test_a_value_without_rows_cannot_be_balanced():
    assert missing_values(TASK, ROWS) == {}
    assert missing_values(TASK, ROWS[:2]) == {
        "folder": ["Promotions", "Alerts"],
        "priority": [2, 3],
    }
    with pytest.raises(UserError, match=r"no training row has folder = 'Promotions'"):
        label_weights(TASK, Recipe(data="x", class_weights="balanced"), ROWS[:2])


def test_sets_cannot_be_balanced_but_weighed():
    row = Example("1", {"prompt": "pay"}, {"intents": ("payment", "none")})
    with pytest.raises(UserError, match="holds sets of values"):
        label_weights(INTENTS, Recipe(data="x", class_weights="balanced"), [row])
    weights = label_weights(INTENTS, Recipe(data="x", label_weight=3), [row])
    assert weights is not None
    fmt = get_format("labels", INTENTS)
    (encoded,) = encode_rows(INTENTS, fmt, CHAT, [row], weights)
    assert set(encoded["weights"]) == {1.0, 3.0}
    assert missing_values(INTENTS, [row])["intents"][0] == "order_management"
