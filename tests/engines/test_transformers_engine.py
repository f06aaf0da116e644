from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from evalkit.engines import generation, transformers_engine
from evalkit.engines.chat import build_chat
from evalkit.engines.generation import CausalModel, Continuation, Job
from evalkit.engines.transformers_engine import TransformersEngine
from evalkit.records import FinishReason, Prompt, Request, Span
from tiny_models import WINDOW, model, tokenizer

pytestmark = pytest.mark.usefixtures("few_tokens")


def request(name: str, text: str, longest: str) -> Request:
    return Request(name, Prompt("Sort it.", (Span(text, trusted=False),)), {}, longest)


REQUESTS = [
    request("a", "The build is red.", "Work"),
    request("b", "x", '{"folder": "Promotions", "priority": 3}'),
    request("c", "Your parcel arrives today between 10:00 and 12:00.", "Work"),
]


def engine(batch_size: int, *stops: int) -> TransformersEngine:
    return TransformersEngine(model("llama"), build_chat(tokenizer(), stops), batch_size)


def test_every_request_is_answered_once_under_its_own_id():
    one_by_one = dict(engine(1).complete(REQUESTS))
    together = list(engine(16).complete(REQUESTS))
    assert sorted(name for name, _ in together) == ["a", "b", "c"]
    for name, answer in together:
        alone = one_by_one[name]
        assert (answer.text, answer.token_ids) == (alone.text, alone.token_ids)
        assert answer.prompt_tokens == alone.prompt_tokens
        assert answer.text == tokenizer().decode(answer.token_ids)
    assert len({answer.text for answer in one_by_one.values()}) == 3


def test_what_cannot_be_guessed_is_decoded_in_wider_batches(monkeypatch: pytest.MonkeyPatch):
    batches: list[int] = []
    decode = generation._decode

    def watched(causal: CausalModel, rows: Sequence[Job], *given: Any) -> list[Continuation]:
        batches.append(len(rows))
        return decode(causal, rows, *given)

    monkeypatch.setattr(generation, "_decode", watched)
    asked = [replace(REQUESTS[n % 3], id=str(n)) for n in range(10)]
    asked = [replace(r, inputs={"n": r.id}, prompt=_numbered(r)) for r in asked]
    together = dict(engine(2).complete(asked))
    assert batches == [8, 2]
    alone = dict(engine(1).complete(asked))
    assert {n: a.token_ids for n, a in together.items()} == {
        n: a.token_ids for n, a in alone.items()
    }


def _numbered(asked: Request) -> Prompt:
    return replace(asked.prompt, user=(*asked.prompt.user, Span(asked.id, trusted=False)))


def test_an_answer_ends_a_little_after_the_longest_one():
    """A random model never stops by itself here."""
    made = engine(16)
    for name, answer in made.complete(REQUESTS):
        (asked,) = (r for r in REQUESTS if r.id == name)
        assert answer.finish_reason is FinishReason.LENGTH
        longest = len(made.chat.encode_answer(asked.longest_answer))
        assert len(answer.token_ids) == longest + transformers_engine.SLACK_TOKENS


def test_a_stop_token_ends_an_answer_and_is_no_part_of_it():
    whole = dict(engine(16).complete(REQUESTS))["a"].token_ids
    stop = whole[3]
    answer = dict(engine(16, stop).complete(REQUESTS))["a"]
    assert answer.finish_reason is FinishReason.STOP
    assert answer.token_ids == whole[: whole.index(stop)]


def test_no_requests():
    assert list(engine(4).complete([])) == []


def test_the_prompt_is_fingerprinted_as_the_template_lays_it_out():
    prompt = REQUESTS[0].prompt
    made = engine(4)
    assert made.prompt_sha256(prompt) == made.chat.prompt_sha256(prompt)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_time_is_counted_per_row(batch_size: int):
    answers = dict(engine(batch_size).complete(REQUESTS)).values()
    assert all(0 < answer.seconds < 60 for answer in answers)


@pytest.mark.parametrize(
    ("shape", "reach"),
    [("llama", 512), ("gemma3", 512), ("mistral", 1 + 3 * (WINDOW - 1))],
)
def test_how_far_a_model_can_see(shape: str, reach: int):
    """Where every layer slides, a token further back than all windows together changes nothing."""
    made = model(shape)
    causal = CausalModel(made)
    assert causal.reach == reach
    if shape == "mistral":
        ids = torch.arange(20, 20 + reach + 1)[None]
        others = ids.clone()
        others[0, 0] = 7
        with torch.no_grad():
            last, last_of_others = (made(row).logits[0, -1] for row in (ids, others))
            near, near_of_others = (made(row[:, :reach]).logits[0, -1] for row in (ids, others))
        assert torch.equal(last, last_of_others)
        assert not torch.equal(near, near_of_others)
