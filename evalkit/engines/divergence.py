"""How far an adapter moved the base model on texts that have nothing to do with its task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from evalkit.engines.transformers_engine import TransformersEngine

PLACES_AT_ONCE = 512
"""Places whose distributions over the vocabulary are held at the same time: half a gigabyte for
a vocabulary of 260,000 tokens."""


class Divergence(NamedTuple):
    """How far the tuned model is from the base on one text."""

    kl: float
    """Mean over the text's tokens, in nats."""
    tokens: int


def divergence(engine: TransformersEngine, texts: Sequence[str]) -> Iterator[Divergence]:
    """Measure KL(base || tuned) per token on each of the texts, in order.

    At each place of a text both models give a distribution of the next token; with the base's
    probabilities b and the tuned model's t, the divergence there is the sum over the vocabulary
    of b (log b - log t) (Kullback and Leibler, Annals of Mathematical Statistics 22, 79-86, 1951),
    in fp32. It is 0 where both agree. In this direction each token weighs as much as the base
    held it likely: what the base would write and the tuned model no longer would counts most. A
    text is read as the tokenizer takes plain text, without a chat template.

    The base is the same model with its adapter switched off, so that precision and quantisation
    are the same on both sides.

    Raises:
        UserError: the engine's model has no adapter.
    """
    for group in _groups([engine.chat.tokenizer(text)["input_ids"] for text in texts]):
        with engine.without_adapter():
            base = [_log_probabilities(engine, ids) for ids in group]
        tuned = [_log_probabilities(engine, ids) for ids in group]
        for b, t in zip(base, tuned, strict=True):
            total = float((b.exp() * (b - t)).sum(dtype=torch.float64))
            # Rounding may take a sum of nothing a little below 0.
            yield Divergence(max(0.0, total / max(1, len(b))), len(b))


def _groups(texts: Sequence[Sequence[int]]) -> Iterator[list[Sequence[int]]]:
    """Texts that are held at once: switching an adapter takes a while."""
    group: list[Sequence[int]] = []
    for ids in texts:
        if group and sum(map(len, group)) + len(ids) > PLACES_AT_ONCE:
            yield group
            group = []
        group.append(ids)
    if group:
        yield group


@torch.inference_mode()
def _log_probabilities(engine: TransformersEngine, ids: Sequence[int]) -> torch.Tensor:
    """Of every next token (places, vocabulary), behind each place of a text."""
    causal = engine.causal
    if not ids:
        return torch.zeros((0, 1))
    row = torch.tensor([ids], device=causal.device)
    hidden: torch.Tensor = causal.trunk(input_ids=row, use_cache=False).last_hidden_state[0]
    return causal.logits(hidden).log_softmax(dim=-1)
