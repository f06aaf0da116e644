from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import UserError
from evalkit.training.recipe import SEVEN_LINEARS, LoraRecipe, Recipe, read_recipe

SHELF = Path(__file__).parents[2] / "adapters"
RECIPES = {
    path.parent.name: table["recipe"]
    for path in sorted(SHELF.glob("*/system.toml"))
    if "recipe" in (table := tomllib.loads(path.read_text(encoding="utf-8")))
}


def test_only_the_data_has_to_be_named():
    recipe = read_recipe({"data": "rows.jsonl"}, "system.toml")
    assert recipe == Recipe(
        data="rows.jsonl",
        rows=None,
        deduplicate=True,
        dev_rows=0,
        seed=0,
        epochs=3,
        batch_size=16,
        gradient_accumulation=1,
        learning_rate=2e-4,
        schedule="cosine",
        warmup=0.1,
        weight_decay=0.0,
        precision="bf16",
        quantization="none",
        optimizer="adamw",
        lora=LoraRecipe(r=8, alpha=16, dropout=0.0, targets=SEVEN_LINEARS),
    )


def test_there_are_recipes_on_the_shelf():
    assert len(RECIPES) >= 7


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_on_the_shelf_is_valid(name: str):
    recipe = read_recipe(RECIPES[name], name)
    said = recipe.model_dump()
    for key, value in RECIPES[name].items():
        if key != "lora":
            assert said[key] == value
    for key, value in RECIPES[name]["lora"].items():
        assert said["lora"][key] == (tuple(value) if isinstance(value, list) else value)


def test_a_recipe_survives_its_own_record():
    for table in RECIPES.values():
        recipe = Recipe.model_validate(table)
        assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"epochs": 3}, "data: Field required"),
        ({"data": "x", "learning_rte": 1}, "unknown key 'learning_rte'. Did you mean 'learning_r"),
        ({"data": "x", "zzz": 1}, "unknown key 'zzz'."),
        ({"data": "x", "lora": {"rank": 8}}, "unknown key 'lora.rank'"),
        ({"data": "x", "lora": {"r": 0}}, "lora.r: "),
        ({"data": "x", "lora": {"dropout": 1.0}}, "lora.dropout: "),
        ({"data": "x", "lora": {"targets": []}}, "lora.targets: "),
        ({"data": 3}, "data: "),
        ({"data": "x", "rows": 0}, "rows: "),
        ({"data": "x", "dev_rows": -1}, "dev_rows: "),
        ({"data": "x", "epochs": 0}, "epochs: "),
        ({"data": "x", "epochs": float("nan")}, "epochs: "),
        ({"data": "x", "epochs": float("inf")}, "epochs: "),
        ({"data": "x", "batch_size": 1.5}, "batch_size: "),
        ({"data": "x", "gradient_accumulation": 0}, "gradient_accumulation: "),
        ({"data": "x", "learning_rate": -1e-4}, "learning_rate: "),
        ({"data": "x", "seed": -1}, "seed: "),
        ({"data": "x", "learning_rate": float("inf")}, "learning_rate: "),
        ({"data": "x", "warmup": 1.0}, "warmup: "),
        ({"data": "x", "warmup": 20}, "warmup: "),
        ({"data": "x", "weight_decay": -0.1}, "weight_decay: "),
        ({"data": "x", "schedule": "step"}, "schedule: "),
        ({"data": "x", "precision": "fp16"}, "precision: "),
        ({"data": "x", "quantization": "int8"}, "quantization: "),
        ({"data": "x", "optimizer": "sgd"}, "optimizer: "),
    ],
)
def test_faults_are_named(table: dict[str, Any], said: str):
    with pytest.raises(UserError) as caught:
        read_recipe(table, "adapters/x/system.toml")
    message = str(caught.value)
    assert message.startswith("adapters/x/system.toml, [recipe]: ")
    assert said in message
    assert len(message.splitlines()) == 1


def test_every_option_says_what_it_is_for_or_says_it_by_its_name():
    plain = {"seed", "epochs", "learning_rate", "schedule", "weight_decay", "precision"}
    plain |= {"gradient_accumulation", "optimizer", "lora"}
    silent = {name for name, option in Recipe.model_fields.items() if not option.description}
    assert silent <= plain
