from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model

from evalkit.engines import divergence as module
from evalkit.engines.chat import build_chat
from evalkit.engines.divergence import divergence
from evalkit.engines.shared_base import SharedBase
from evalkit.engines.transformers_engine import TransformersEngine
from evalkit.errors import UserError
from tiny_models import model, save_base, tokenizer

TEXTS = ["The build is red again.", "会议五分钟后开始。", "x", "Your parcel arrives today. " * 5]


def adapted(shape: str = "llama", targets: tuple[str, ...] = ("q_proj", "v_proj"), scale=0.5):
    """A model with an adapter, whose B is random rather than 0."""
    tuned = get_peft_model(model(shape), LoraConfig(target_modules=list(targets), r=2))
    torch.manual_seed(1)
    for name, weight in tuned.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(std=scale) if scale else weight.data.zero_()
    return tuned.eval()


def engine(made) -> TransformersEngine:
    return TransformersEngine(made, build_chat(tokenizer()), 4)


def brute_force(tuned, text: str) -> float:
    """Token by token, in double precision, from two whole models."""
    ids = torch.tensor([tokenizer()(text)["input_ids"]])
    with torch.no_grad():
        ours = tuned(input_ids=ids).logits[0].double().softmax(-1)
        with tuned.disable_adapter():
            theirs = tuned(input_ids=ids).logits[0].double().softmax(-1)
    places = [
        sum(float(b * (b.log() - t.log())) for b, t in zip(base, own, strict=True))
        for base, own in zip(theirs, ours, strict=True)
    ]
    return sum(places) / len(places)


@pytest.mark.parametrize("shape", ["llama", "qwen3", "gemma3"])
def test_it_is_the_mean_over_the_tokens(shape):
    tuned = adapted(shape)
    for text, found in zip(TEXTS, divergence(engine(tuned), TEXTS), strict=True):
        assert found.tokens == len(tokenizer()(text)["input_ids"])
        assert found.kl == pytest.approx(brute_force(tuned, text), rel=1e-3)
        assert found.kl > 1e-4


def test_an_adapter_on_the_head_counts():
    tuned = adapted(targets=("lm_head",))
    (found,) = divergence(engine(tuned), TEXTS[:1])
    assert found.kl == pytest.approx(brute_force(tuned, TEXTS[0]), rel=1e-3)
    assert found.kl > 1e-4


def test_an_adapter_that_does_nothing_moved_nothing():
    assert [found.kl for found in divergence(engine(adapted(scale=0)), TEXTS)] == [0, 0, 0, 0]


def test_how_many_texts_are_held_at_once_does_not_matter(monkeypatch):
    made = engine(adapted())
    together = list(divergence(made, TEXTS))
    monkeypatch.setattr(module, "PLACES_AT_ONCE", 1)
    assert list(divergence(made, TEXTS)) == together


def test_the_adapter_is_on_again_afterwards():
    tuned = adapted()
    ids = torch.tensor([tokenizer()(TEXTS[0])["input_ids"]])
    before = tuned(input_ids=ids).logits
    list(divergence(engine(tuned), TEXTS))
    assert torch.equal(tuned(input_ids=ids).logits, before)


def test_a_text_of_nothing():
    assert list(divergence(engine(adapted()), [""])) == [(0.0, 0)]
    assert list(divergence(engine(adapted()), [])) == []


def test_a_base_has_nothing_that_moved_it():
    with pytest.raises(UserError, match="no adapter"):
        list(divergence(engine(model("llama")), TEXTS))


def test_a_base_that_systems_share_is_the_base_as_it_was_loaded(tmp_path):
    """There the adapter is merged into the weights; taking it off again must not leave a trace."""
    adapted().save_pretrained(tmp_path / "adapter")
    shared = SharedBase(save_base(tmp_path / "base"), torch.device("cpu"), torch.float32, "none")
    made = shared.engine(shared.attach(tmp_path / "adapter"), 4, "free")
    weights = {name: weight.clone() for name, weight in made.model.named_parameters()}
    found = list(divergence(made, TEXTS))
    apart = list(divergence(engine(adapted()), TEXTS))
    assert [f.kl for f in found] == pytest.approx([a.kl for a in apart], rel=1e-3)
    assert all(torch.equal(weights[name], now) for name, now in made.model.named_parameters())
    with pytest.raises(UserError, match="no adapter"):
        list(divergence(shared.engine(None, 4, "free"), TEXTS))
