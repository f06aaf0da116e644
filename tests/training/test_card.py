from __future__ import annotations

from pathlib import Path
from typing import Any

from evalkit.training.card import model_card, plot_loss
from evalkit.training.recipe import Recipe


def provenance(**changes: Any) -> dict[str, Any]:
    recipe = Recipe(data="rows.jsonl", **changes.pop("recipe", {}))
    plain: dict[str, Any] = {
        "system": "tiny",
        "task": "intents",
        "format": "labels",
        "base": "hf:Tiny/Model",
        "data": "rows.jsonl",
        "recipe": recipe.model_dump(mode="json"),
        "rows": {"trained_on": 1200, "dev": 30, "duplicates_dropped": 4},
        "steps": 225,
        "train_loss": 0.25,
        "dev_loss": 0.125,
        "dev_accuracy": {"intents": 0.9333, "all": 0.9},
        "seconds": 600.0,
        "device": "cpu",
    }
    return plain | changes


def test_a_card_says_what_the_provenance_does():
    card = model_card(provenance(), plotted=True)
    assert card.startswith("---\nlibrary_name: peft\n")
    for said in (
        "base_model: Tiny/Model\n",
        "| intents | 93.3 % |",
        "1,200 rows trained on, 4 exact duplicates",
        "225 in 3 epochs of batches of 16 rows",
        "0.2500 on average, 0.1250 on held-out rows",
        "10 minutes on cpu",
        "![loss](loss.png)",
    ):
        assert said in card


def test_a_card_leaves_out_what_there_is_not():
    bare = provenance(
        base="pypi:tiny==1",
        dev_loss=None,
        dev_accuracy={},
        recipe={"tokens_per_batch": 4000},
    )
    card = model_card(bare, plotted=False)
    assert "base_model" not in card
    assert "None were held out." in card
    assert "no test set" not in card
    assert "loss.png" not in card
    assert "batches of 4,000 tokens" in card


def test_the_same_curve_gives_the_same_picture(tmp_path: Path):
    pictures = []
    for name in ("one.png", "two.png"):
        plot_loss([(10, 2.0), (20, 0.5)], [(20, 0.7)], tmp_path / name)
        pictures.append((tmp_path / name).read_bytes())
    assert pictures[0] == pictures[1]
