"""A shared prefix gives the loss and the gradients of the ordinary loop.

The ordinary loop here runs every row by itself, without padding or a cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import cross_entropy
from transformers import AttentionInterface, MambaConfig, MambaForCausalLM, PreTrainedModel

from evalkit.errors import UserError
from evalkit.training import shared_attention
from evalkit.training.fused_lora import fuse_lora
from evalkit.training.prefix_sharing import (
    IGNORED,
    Row,
    SharedPrefixCollator,
    divisor_of,
    share_prefix,
    shared_prefix_loss,
)
from evalkit.training.recipe import SEVEN_LINEARS
from evalkit.training.shared_attention import Layout
from tiny_models import SHAPES, VOCABULARY, WINDOW, model

TOLERANCE = 1e-5
"""Relative, in fp32; the ordinary loop differs from itself by as much when its rows are padded."""
PAD = 7


def ids(count: int, seed: int) -> list[int]:
    return torch.randint(0, VOCABULARY, (count,), generator=torch.manual_seed(seed)).tolist()


def rows_of(shared: int, own: Sequence[int], answers: Sequence[int]) -> list[Row]:
    """Rows that share so many prompt tokens; `own` prompt tokens and answers of these lengths."""
    rows = []
    for number, (mine, answer) in enumerate(zip(own, answers, strict=True)):
        prompt = ids(shared, 1) + [number] * (shared + mine > 0) + ids(mine, 100 + number)
        rows.append(Row(input_ids=prompt + ids(answer, 200 + number), prompt_length=len(prompt)))
    return rows


RAGGED = ([3, 0, 9, 4], [2, 6, 1, 3])
CASES = {
    "no prefix": rows_of(0, [3, 1, 9, 4], [2, 6, 1, 3]),
    "short prefix": rows_of(5, *RAGGED),
    "prefix one short of the window": rows_of(WINDOW - 1, *RAGGED),
    "prefix as long as the window": rows_of(WINDOW, *RAGGED),
    "prefix one longer than the window": rows_of(WINDOW + 1, *RAGGED),
    "prefix and suffixes beyond the window": rows_of(
        3 * WINDOW, [WINDOW + 5, 0, 2 * WINDOW], [4, 20, 1]
    ),
    "one row": rows_of(2 * WINDOW, [3], [4]),
    "equal prompts": [
        Row(input_ids=ids(20, 1) + ids(answer, 200 + answer), prompt_length=20)
        for answer in (3, 1, 5)
    ],
}


def with_adapter(shape: str, attention: str = "sdpa") -> PreTrainedModel:
    """A model ready to share prefixes, inside an adapter whose gradients are not zero."""
    base = model(shape, attention=attention, layers=2)
    share_prefix(base)
    torch.manual_seed(5)
    config = LoraConfig(
        r=4, target_modules=list(SEVEN_LINEARS), task_type="CAUSAL_LM", init_lora_weights=False
    )
    return get_peft_model(base, config).train()  # type: ignore[return-value]


@cache
def trained_whole(shape: str, attention: str) -> PreTrainedModel:
    """Such a model, the base of which learns too; it takes no step, and stays as it is."""
    trained = with_adapter(shape, attention)
    trained.requires_grad_(True)
    return trained


def plain_loss(trained: Any, rows: Sequence[Row], divisor: int | None = None) -> torch.Tensor:
    total, learned = torch.zeros(()), 0
    for row in rows:
        logits = trained(input_ids=torch.tensor([row["input_ids"]])).logits[0]
        start = row["prompt_length"]
        answer = torch.tensor(row["input_ids"][start:])
        total = total + cross_entropy(logits[start - 1 : -1], answer, reduction="sum")
        learned += len(answer)
    return total / (divisor or learned)


def gradients(trained: PreTrainedModel, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    trained.zero_grad()
    loss.backward()
    return {
        name: weight.grad.clone()
        for name, weight in trained.named_parameters()
        if weight.requires_grad and weight.grad is not None
    }


def differ(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


def check(trained: PreTrainedModel, rows: Sequence[Row], divisor: int | None = None) -> None:
    batch = SharedPrefixCollator(PAD)(rows)
    shared_loss = trained(**batch, num_items_in_batch=divisor).loss
    shared = gradients(trained, shared_loss)
    loss = plain_loss(trained, rows, divisor)
    plain = gradients(trained, loss)
    assert differ(shared_loss.detach(), loss.detach()) < TOLERANCE
    assert shared.keys() == plain.keys()
    assert {n for n, weight in trained.named_parameters() if weight.requires_grad} == set(plain)
    assert all(gradient.norm() > 0 for gradient in plain.values())
    assert {n: e for n in plain if (e := differ(shared[n], plain[n])) > TOLERANCE} == {}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("shape", SHAPES)
def test_loss_and_gradients_of_adapter_and_base(shape: str, attention: str, case: str):
    check(trained_whole(shape, attention), CASES[case])


@pytest.mark.parametrize("case", ["short prefix", "prefix one longer than the window"])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_of_the_adapter_alone(shape: str, case: str):
    trained = with_adapter(shape)
    assert {"lora_A", "lora_B"} == {
        name.split(".")[-3] for name, weight in trained.named_parameters() if weight.requires_grad
    }
    check(trained, CASES[case])


def test_a_divisor_over_several_batches():
    check(with_adapter("llama"), CASES["short prefix"], divisor=31)
    trained, rows = with_adapter("llama"), CASES["short prefix"]
    batch = SharedPrefixCollator(PAD)(rows)
    loss = trained(**batch).loss
    # Trainer gives a tensor.
    twice = trained(**batch, num_items_in_batch=torch.tensor(24)).loss
    assert torch.allclose(twice * 2, loss)


def test_gemmas_capped_logits_count():
    """The tiny Gemma caps its logits, as Gemma 2 does; without the cap the loss is another."""
    rows = CASES["short prefix"]
    batch = SharedPrefixCollator(PAD)(rows)
    capped = model("gemma3")
    with torch.no_grad():
        capped.get_output_embeddings().weight.mul_(50)
        loss = shared_prefix_loss(capped, batch["prefix_ids"], batch["input_ids"], batch["labels"])
        assert differ(loss, plain_loss(capped, rows)) < TOLERANCE
        capped.config.final_logit_softcapping = None
        assert differ(loss, plain_loss(capped, rows)) > 0.01


def test_without_a_prefix_the_models_own_forward_answers():
    shared, own = model("llama"), model("llama")
    share_prefix(shared)
    batch = torch.tensor([ids(9, 3), ids(9, 4)])
    labels = batch.clone()
    labels[:, :4] = IGNORED
    one = shared(input_ids=batch, labels=labels, attention_mask=torch.ones_like(batch))
    other = own(input_ids=batch, labels=labels, attention_mask=torch.ones_like(batch))
    assert torch.equal(one.logits, other.logits)
    assert torch.equal(one.loss, other.loss)
    one = shared(input_ids=batch, labels=labels, num_items_in_batch=5)
    other = own(input_ids=batch, labels=labels, num_items_in_batch=5)
    assert torch.equal(one.loss, other.loss)


def test_weights_of_tokens_and_their_divisor():
    rows = [
        Row(input_ids=[*ids(9, 1), *ids(3, 20 + number)], prompt_length=9, weights=[1.0, 5.0, 0.5])
        for number in range(3)
    ]
    trained = with_adapter("llama")
    batch = SharedPrefixCollator(PAD)(rows)
    assert float(divisor_of(batch)) == 3 * 6.5
    total = torch.zeros(())
    for row in rows:
        logits = trained(input_ids=torch.tensor([row["input_ids"]])).logits[0, 8:-1]
        losses = cross_entropy(logits, torch.tensor(row["input_ids"][9:]), reduction="none")
        total = total + (losses * torch.tensor(row["weights"])).sum()
    assert differ(trained(**batch).loss.detach(), total.detach() / 19.5) < TOLERANCE
    halved = trained(**batch, num_items_in_batch=torch.tensor(39.0)).loss
    assert differ(halved.detach(), total.detach() / 39) < TOLERANCE


# Activation checkpointing


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
def test_activation_checkpointing_is_refused(shape: str, every: int):
    refused = model(shape)
    refused.activation_checkpointing_enable(every_n_layers=every)
    with pytest.raises(UserError, match=r"exclude each other.*Switch checkpointing off"):
        share_prefix(refused)


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("case", ["short prefix", "no prefix"])
def test_activation_checkpointing_switched_on_later_is_refused(case: str, every: int):
    trained = with_adapter("llama")
    batch = SharedPrefixCollator(PAD)(CASES[case])
    loss = trained(**batch).loss
    base = trained.get_base_model()
    base.activation_checkpointing_enable(every_n_layers=every)
    with pytest.raises(UserError, match="exclude each other"):
        trained(**batch)
    base.activation_checkpointing_disable()
    assert torch.equal(trained(**batch).loss, loss)


# Architectures


def test_a_recurrent_model_is_refused():
    config = MambaConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, state_size=4, conv_kernel=4
    )
    with pytest.raises(UserError, match="cannot train MambaForCausalLM"):
        share_prefix(MambaForCausalLM(config))


def test_a_model_that_shares_wrongly_is_refused(monkeypatch: pytest.MonkeyPatch):
    """One whose attention is not handed the layout, say."""
    refused = model("qwen3")
    attend = shared_attention.attend

    def mistaken(*states: Any, layout: Any, **options: Any) -> Any:
        return attend(*states, layout=Layout(0, 1, states[1].shape[2]), **options)

    monkeypatch.setitem(AttentionInterface._global_mapping, shared_attention.NAME, mistaken)
    with pytest.raises(UserError, match="cannot train Qwen3ForCausalLM"):
        share_prefix(refused)


# The fused adapter


@pytest.mark.parametrize("shape", SHAPES)
def test_fused_adapters_compute_what_pefts_do(shape: str):
    one, other = with_adapter(shape), with_adapter(shape)
    assert fuse_lora(one) == 7 * len(one.get_base_model().model.layers)
    batch = SharedPrefixCollator(PAD)(CASES["short prefix"])
    loss, expected = one(**batch).loss, other(**batch).loss
    assert differ(loss.detach(), expected.detach()) < TOLERANCE
    fused, plain = gradients(one, loss), gradients(other, expected)
    assert fused.keys() == plain.keys()
    assert {n: e for n in plain if (e := differ(fused[n], plain[n])) > TOLERANCE} == {}


def test_adapters_with_more_to_them_keep_pefts_layers():
    for options in ({"lora_dropout": 0.1}, {"use_dora": True}):
        config = LoraConfig(r=4, target_modules=["q_proj"], task_type="CAUSAL_LM", **options)
        assert fuse_lora(get_peft_model(model("llama"), config)) == 0
    config = LoraConfig(r=4, target_modules=["q_proj"], use_rslora=True, init_lora_weights=False)
    adapted = get_peft_model(model("llama"), config).eval()
    batch = torch.tensor([ids(9, 3)])
    with torch.no_grad():
        expected = adapted(input_ids=batch).logits
        assert fuse_lora(adapted) == 3
        assert differ(adapted(input_ids=batch).logits, expected) < TOLERANCE
        with adapted.disable_adapter():
            plain = model("llama")(input_ids=batch).logits
            assert differ(adapted(input_ids=batch).logits, plain) < TOLERANCE
        merged = adapted.merge_and_unload()
        assert differ(merged(input_ids=batch).logits, expected) < TOLERANCE


# The collator


def test_a_batch_is_taken_apart():
    rows = [
        Row(input_ids=[1, 2, 3, 4, 5, 6], prompt_length=4),
        Row(input_ids=[1, 2, 3, 8], prompt_length=3),
    ]
    batch = SharedPrefixCollator(PAD)(rows)
    # Trainer reads the batch size from the first tensor.
    assert list(batch) == ["input_ids", "labels", "prefix_ids"]
    # Three tokens are shared, and one stays: the second row's answer follows it.
    assert batch["prefix_ids"].tolist() == [1, 2]
    assert batch["input_ids"].tolist() == [[3, 4, 5, 6], [3, 8, PAD, PAD]]
    no = IGNORED
    assert batch["labels"].tolist() == [[no, no, 5, 6], [no, 8, no, no]]
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}


def test_widths_can_be_multiples():
    rows = CASES["short prefix"]
    plain, wide = SharedPrefixCollator(PAD)(rows), SharedPrefixCollator(PAD, multiple=8)(rows)
    assert (plain["input_ids"].shape[1], wide["input_ids"].shape[1]) == (11, 16)
    trained = with_adapter("qwen3")
    assert differ(trained(**wide).loss.detach(), trained(**plain).loss.detach()) < TOLERANCE
    assert SharedPrefixCollator(PAD, multiple=11)(rows)["input_ids"].shape[1] == 11


@pytest.mark.parametrize("case", CASES)
def test_one_prompt_token_stays_in_every_suffix(case: str):
    rows = CASES[case]
    batch = SharedPrefixCollator(PAD)(rows)
    shared = len(batch["prefix_ids"])
    assert shared < min(row["prompt_length"] for row in rows)
    assert (batch["labels"][:, 0] == IGNORED).all()
    for row, suffix, labels in zip(rows, batch["input_ids"], batch["labels"], strict=True):
        whole = batch["prefix_ids"].tolist() + suffix.tolist()
        assert whole[: len(row["input_ids"])] == row["input_ids"]
        assert set(whole[len(row["input_ids"]) :]) <= {PAD}
        learned = labels[labels != IGNORED].tolist()
        assert learned == row["input_ids"][row["prompt_length"] :]


def test_answers_that_begin_alike_are_not_part_of_the_prefix():
    rows = [Row(input_ids=[1, 2, 3, 9, end], prompt_length=3) for end in (4, 5)]
    batch = SharedPrefixCollator(PAD)(rows)
    assert batch["prefix_ids"].tolist() == [1, 2]
    assert (batch["labels"] != IGNORED).sum() == 4
