"""The base's behaviour is kept: the divergence is the naive one, and training on it holds back."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from rich.console import Console
from torch.nn.functional import kl_div

from evalkit.errors import UserError
from evalkit.training.fused_lora import fuse_lora
from evalkit.training.keeping import KeepBatches, read_general_rows
from evalkit.training.places import Place
from evalkit.training.prefix_sharing import (
    Row,
    SharedPrefixCollator,
    adapter_off,
    share_prefix,
    shared_prefix_divergence,
)
from evalkit.training.recipe import SEVEN_LINEARS, Keep, LoraRecipe, Recipe
from evalkit.training.trainer import train_adapter
from tiny_models import SHAPES, VOCABULARY, model

PAD = 7
TOLERANCE = 2e-5
"""Relative, in fp32."""


def ids(count: int, seed: int) -> list[int]:
    return torch.randint(0, VOCABULARY, (count,), generator=torch.manual_seed(seed)).tolist()


ROWS = [
    Row(input_ids=ids(9, 1) + ids(own + answer, 10 + own), prompt_length=9 + own)
    for own, answer in ((1, 4), (6, 2), (3, 9))
]


def tuned(shape: str, *, moved: bool = True, fused: bool = True) -> Any:
    base = model(shape)
    share_prefix(base)
    torch.manual_seed(5)
    config = LoraConfig(
        r=4, target_modules=list(SEVEN_LINEARS), task_type="CAUSAL_LM", init_lora_weights=not moved
    )
    adapted = get_peft_model(base, config).train()
    if fused:
        fuse_lora(adapted)
    return adapted


def naive(adapted: Any, rows: list[Row]) -> torch.Tensor:
    """Each row by itself, and the whole distribution at every answer token."""
    total, tokens = torch.zeros(()), 0
    for row in rows:
        row_ids = torch.tensor([row["input_ids"]])
        places = slice(row["prompt_length"] - 1, -1)
        with torch.no_grad(), adapted.disable_adapter():
            base = adapted(input_ids=row_ids).logits[0, places].log_softmax(-1)
        mine = adapted(input_ids=row_ids).logits[0, places].log_softmax(-1)
        total = total + kl_div(mine, base, log_target=True, reduction="sum")
        tokens += len(base)
    return total / tokens


def gradients(adapted: Any, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    adapted.zero_grad()
    loss.backward()
    return {n: w.grad.clone() for n, w in adapted.named_parameters() if w.grad is not None}


def divergence(adapted: Any, rows: list[Row]) -> torch.Tensor:
    return shared_prefix_divergence(adapted.get_base_model(), **SharedPrefixCollator(PAD)(rows))


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_value_and_gradient_are_those_of_the_naive_loop(shape: str, fused: bool):
    adapted = tuned(shape, fused=fused)
    mine = divergence(adapted, ROWS)
    got = gradients(adapted, mine)
    plain = naive(adapted, ROWS)
    expected = gradients(adapted, plain)
    assert float(plain.detach()) > 1e-3
    assert mine.item() == pytest.approx(plain.item(), rel=TOLERANCE)
    assert got.keys() == expected.keys()
    for name in expected:
        apart = (got[name] - expected[name]).norm() / expected[name].norm()
        assert apart < 20 * TOLERANCE, name


def test_an_adapter_that_has_learned_nothing_is_no_distance_away():
    adapted = tuned("llama", moved=False)
    mine = divergence(adapted, ROWS)
    assert abs(mine.item()) < 1e-6
    assert max(float(g.abs().max()) for g in gradients(adapted, mine).values()) < 1e-6


def test_the_adapter_is_on_again_and_can_be_trained():
    adapted = tuned("llama")
    before = {n for n, w in adapted.named_parameters() if w.requires_grad}
    row = torch.tensor([ROWS[0]["input_ids"]])
    with torch.no_grad():
        own = adapted(input_ids=row).logits
        with adapter_off(adapted):
            off = adapted(input_ids=row).logits
        assert torch.equal(adapted(input_ids=row).logits, own)
    assert torch.allclose(off, model("llama")(input_ids=row).logits, atol=1e-5)
    assert not torch.allclose(off, own, atol=1e-2)
    assert {n for n, w in adapted.named_parameters() if w.requires_grad} == before


def test_the_loss_of_a_micro_batch_is_both():
    adapted = tuned("llama")
    collate = SharedPrefixCollator(PAD)
    batch = collate(ROWS[:2])
    keep = Keep(data="x", share=1, batch_size=2)
    kept = KeepBatches(ROWS[1:], keep, collate, 0.3)
    beside = kept.draw(random.Random(0))
    both = adapted(**batch, **beside).loss
    alone = adapted(**batch).loss
    assert both.item() == pytest.approx(
        alone.item() + 0.3 * divergence(adapted, kept.rows).item(), rel=TOLERANCE
    )
    # What Trainer divides by is of the task's tokens alone.
    both = adapted(**batch, **beside, num_items_in_batch=torch.tensor(100)).loss
    learned = sum(len(row["input_ids"]) - row["prompt_length"] for row in ROWS[:2])
    assert both.item() == pytest.approx(
        alone.item() * learned / 100 + 0.3 * divergence(adapted, kept.rows).item(), rel=TOLERANCE
    )


class Beside:
    """Collates toy rows with general ones beside them."""

    def __init__(self, weight: float) -> None:
        self.collate = SharedPrefixCollator(PAD)
        keep = Keep(data="x", share=1.0, batch_size=3)
        self.keep = KeepBatches(ROWS, keep, self.collate, weight)

    def __call__(self, rows: Any) -> dict[str, torch.Tensor]:
        places: list[Place] = [row["place"] for row in rows]
        return self.collate(rows) | self.keep.draw(random.Random(str(places)))


def trained(folder: Path, weight: float) -> Any:
    rows = [
        Row(input_ids=[*range(20, 32), n % 3, 100 + n % 3, 110 - n % 3], prompt_length=13)
        for n in range(24)
    ]
    recipe = Recipe(
        data="toy",
        epochs=4,
        batch_size=8,
        learning_rate=1e-2,
        precision="fp32",
        lora=LoraRecipe(r=4, alpha=8),
    )
    console = Console(file=io.StringIO())
    collate = Beside(weight) if weight else None
    return train_adapter(
        model("llama"), PAD, rows, (), recipe, folder, collate=collate, console=console
    )


def test_training_with_general_prompts_stays_nearer_to_the_base(tmp_path: Path):
    free, held = trained(tmp_path / "free", 0.0), trained(tmp_path / "held", 3.0)
    far, near = (float(divergence(t.model, ROWS).detach()) for t in (free, held))
    assert 0 < near < far / 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"prompt": "a"}', "general.jsonl:1: give `prompt` and `answer`, or `text`."),
        ('{"prompt": "a", "answer": "b", "text": "c"}', "give `prompt` and `answer`"),
        ('{"prompt": "a", "answer": 3}', "prompt, answer must be text, and not empty."),
        ('{"text": " "}', "text must be text, and not empty."),
        ("{", "general.jsonl:1: not valid JSON"),
        ("", "holds no rows"),
    ],
)
def test_faulty_general_rows_are_named(tmp_path: Path, line: str, said: str):
    path = tmp_path / "general.jsonl"
    path.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_general_rows(str(path))
    assert said in str(caught.value)


def test_general_rows_may_say_more(tmp_path: Path):
    path = tmp_path / "general.jsonl"
    path.write_text('{"id": "1", "prompt": "a", "answer": "b"}\n{"text": "c"}\n')
    assert read_general_rows(str(path)) == [{"prompt": "a", "answer": "b"}, {"text": "c"}]
