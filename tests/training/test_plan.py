from __future__ import annotations

from typing import Any

import pytest

from evalkit.training.plan import plan_training
from evalkit.training.recipe import LoraRecipe, Recipe
from tiny_models import model
from tiny_training import END, toy_rows

ROWS, DEV = toy_rows(33), toy_rows(4)


def recipe(**changes: Any) -> Recipe:
    plain = {"data": "toy", "batch_size": 8, "precision": "fp32", "lora": LoraRecipe(r=4, alpha=8)}
    return Recipe(**plain | changes)


def test_a_plan_counts_what_a_training_would_go_through():
    plan = plan_training(model("llama"), END, ROWS, DEV, recipe())
    assert (plan.rows, plan.dev_rows, plan.prefix) == (33, 4, 12)
    assert plan.tokens == sum(len(row["input_ids"]) for row in ROWS)
    assert plan.answer_tokens == 3 * 33 - 7
    assert plan.steps == 5 * 3
    # Seven layers of three blocks, A and B each.
    assert plan.trainable == 3 * 4 * (2 * (48 + 48) + 2 * (48 + 24) + 2 * (48 + 96) + (96 + 48))
    assert plan.seconds_per_step > 0
    said = plan.describe()
    assert "33 to train on, 4 held out" in said
    assert "steps     15" in said
    assert "12 are shared" in said


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({"epochs": 0.5}, 3),
        ({"max_steps": 7}, 7),
        ({"gradient_accumulation": 2}, 9),
        ({"batch_size": 16, "tokens_per_batch": 9999}, 3),
    ],
)
def test_steps(changes: dict[str, Any], steps: int):
    assert plan_training(model("llama", layers=1), END, ROWS, (), recipe(**changes)).steps == steps
