from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import UserError
from evalkit.training.recipe import (
    SEVEN_LINEARS,
    LoraRecipe,
    Recipe,
    RowsRecipe,
    TfidfRecipe,
    read_baseline_recipe,
    read_recipe,
)

SHELF = Path(__file__).parents[2] / "adapters"
TABLES = {
    path.parent.name: tomllib.loads(path.read_text(encoding="utf-8"))
    for path in sorted(SHELF.glob("*/system.toml"))
}
RECIPES = {n: t["recipe"] for n, t in TABLES.items() if "recipe" in t and "base" in t}
BASELINES = {n: t for n, t in TABLES.items() if t.get("engine") in ("tfidf", "majority")}


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
        precision="auto",
        quantization="none",
        optimizer="adamw",
        max_steps=None,
        tokens_per_batch=None,
        class_weights="none",
        label_weight=1.0,
        pairs=False,
        early_stopping=None,
        report_to=(),
        labels=None,
        noise=None,
        attacks=None,
        keep=None,
        lora=LoraRecipe(
            r=8, alpha=16, rslora=False, dora=False, dropout=0.0, targets=SEVEN_LINEARS
        ),
    )


def test_there_are_recipes_on_the_shelf():
    assert len(RECIPES) >= 7


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_on_the_shelf_is_valid(name: str):
    recipe = read_recipe(RECIPES[name], name)
    said = recipe.model_dump(mode="json")
    for key, value in RECIPES[name].items():
        if not isinstance(value, dict | list):
            assert said[key] == value
    for part in ("lora", "labels", "noise", "attacks", "keep"):
        for key, value in RECIPES[name].get(part, {}).items():
            assert said[part][key] == value


def test_a_recipe_survives_its_own_record():
    for table in RECIPES.values():
        recipe = Recipe.model_validate(table)
        assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe


def test_the_old_spelling_of_label_spaces_is_read():
    table = {"field": "folder", "drop": 0.25}
    old, new = (Recipe.model_validate({"data": "x", key: table}) for key in ("augment", "labels"))
    assert old == new
    assert "augment" not in old.model_dump()
    # What committed provenances say.
    assert Recipe.model_validate({"data": "x", "augment": None}) == Recipe(data="x")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"epochs": 3}, 'name the rows: data = "FILE" or a table [[recipe.sources]]'),
        ({"data": []}, "data: a file, a hub data set, or a list of them"),
        ({"data": "x", "sources": [{"data": "y", "repeat": 0}]}, "sources.0.repeat: "),
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
        ({"data": "x", "max_steps": 0}, "max_steps: "),
        ({"data": "x", "label_weight": 0}, "label_weight: "),
        ({"data": "x", "class_weights": "sqrt"}, "class_weights: "),
        ({"data": "x", "report_to": ["neptune"]}, "report_to.0: "),
        ({"data": "x", "early_stopping": 2}, "early_stopping watches the loss on dev rows"),
        (
            {"data": "x", "batch_size": 8, "tokens_per_batch": 999},
            "give batch_size or tokens_per_batch, not both",
        ),
        ({"data": "x", "labels": {}}, "labels.field is missing"),
        ({"data": "x", "augment": {}}, "labels.field is missing"),
        ({"data": "x", "augment": {"field": "f"}, "labels": {"field": "f"}}, "the old name of"),
        ({"data": "x", "labels": {"field": "folder", "drop": 1.0}}, "labels.drop: "),
        ({"data": "x", "labels": {"field": "folder", "names": {"Work": []}}}, "labels.names"),
        ({"data": "x", "labels": {"field": "folder", "shre": 1}}, "unknown key 'labels.shre'"),
        (
            {"data": "x", "labels": {"field": "f", "topic_share": 0.7, "beside_share": 0.5}},
            "come to more than 1",
        ),
        ({"data": "x", "labels": {"field": "f", "fewest": 9}}, "fewest is more than most"),
        (
            {"data": "x", "tokens_per_batch": 99, "labels": {"field": "f", "topics": "t.toml"}},
            "lists of topics need batches of a fixed size",
        ),
        ({"data": "x", "tokens_per_batch": 99, "pairs": True}, "pairs need batches of a fixed"),
        ({"data": "x", "noise": {"share": 1.5}}, "noise.share: "),
        ({"data": "x", "noise": {"kinds": ["caps"]}}, "noise.kinds.0: "),
        ({"data": "x", "attacks": {"share": -1}}, "attacks.share: "),
        ({"data": "x", "keep": {}}, "keep.data is missing (JSON lines"),
        ({"data": "x", "keep": {"data": "k.jsonl", "weight": 0}}, "keep.weight: "),
    ],
)
def test_faults_are_named(table: dict[str, Any], said: str):
    with pytest.raises(UserError) as caught:
        read_recipe(table, "adapters/x/system.toml")
    message = str(caught.value)
    assert message.startswith("adapters/x/system.toml, [recipe]: ")
    assert said in message
    assert len(message.splitlines()) == 1


# Baselines


def test_a_baseline_too_needs_its_data_alone():
    assert read_baseline_recipe("majority", {"data": "x"}, "system.toml") == RowsRecipe(
        data="x", rows=None, deduplicate=True, dev_rows=0, seed=0
    )
    assert read_baseline_recipe("tfidf", {"data": "x"}, "system.toml") == TfidfRecipe(
        data="x",
        rows=None,
        deduplicate=True,
        dev_rows=0,
        seed=0,
        words=(1, 2),
        characters=(2, 4),
        hash_bits=15,
        c=None,
        class_weight=None,
    )


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_on_the_shelf_has_a_valid_recipe(name: str):
    table = BASELINES[name]
    recipe = read_baseline_recipe(table["engine"], table["recipe"], name)
    assert type(recipe).model_validate(recipe.model_dump(mode="json")) == recipe


@pytest.mark.parametrize(
    ("name", "adapter"),
    [
        ("3level", "smollm2-3level"),
        ("5level", "smollm2-5level"),
        ("intents", "smollm2-intents"),
    ],
)
def test_baselines_learn_from_the_rows_of_the_adapter_they_stand_against(name: str, adapter: str):
    keys = set(RowsRecipe.model_fields)
    rows = Recipe.model_validate(RECIPES[adapter]).model_dump(include=keys)
    for kind in ("tfidf", "majority"):
        table = BASELINES[f"{kind}-{name}"]
        recipe = read_baseline_recipe(kind, table["recipe"], name)
        assert recipe.model_dump(include=keys) == rows


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "name the rows: data ="),
        ({"data": "x", "epochs": 3}, "unknown key 'epochs'."),
        ({"data": "x", "charakters": [2, 4]}, "Did you mean 'characters'"),
        ({"data": "x", "words": [2, 1]}, "words: the shortest length comes first"),
        ({"data": "x", "words": [0, 1]}, "words."),
        ({"data": "x", "characters": [3]}, "characters."),
        ({"data": "x", "hash_bits": 40}, "hash_bits: "),
        ({"data": "x", "c": 0}, "c: "),
        ({"data": "x", "class_weight": "some"}, "class_weight: "),
    ],
)
def test_faults_of_a_tfidf_recipe_are_named(table: dict[str, Any], said: str):
    with pytest.raises(UserError) as caught:
        read_baseline_recipe("tfidf", table, "adapters/x/system.toml")
    assert str(caught.value).startswith("adapters/x/system.toml, [recipe]: ")
    assert said in str(caught.value)


def test_a_majority_has_nothing_else_to_choose():
    with pytest.raises(UserError, match="unknown key 'c'"):
        read_baseline_recipe("majority", {"data": "x", "c": 1}, "system.toml")
