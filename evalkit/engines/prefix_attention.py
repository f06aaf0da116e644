"""Attention of many rows to one copy of the prefix that they share, and each to itself.

Training and inference lay out their rows in different ways and meet here. What they make of it is
handed to a model through transformers' attention interface.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.nn.functional import dropout as drop
from torch.nn.functional import softmax

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


class Held(NamedTuple):
    """What can be attended to."""

    keys: torch.Tensor
    values: torch.Tensor
    mask: torch.Tensor | None
    """Added to the scores; None where nothing is hidden."""


def attend_behind(
    query: torch.Tensor,
    prefix: Held,
    own: Held,
    *,
    softcap: float | None = None,
    dropout: float = 0.0,
) -> torch.Tensor:
    """Attend to a prefix and to a row's own tokens, in one softmax.

    The prefix's keys meet the queries of all rows in one product.

    Args:
        query: (key heads, rows, queries, size), scaled; queries of all heads that a key head
            serves together.
        prefix: keys and values (key heads, tokens, size); no tokens at all is fine.
        own: keys and values (key heads, rows, tokens, size).
        softcap: bound on the scores, where the model has one.
        dropout: share of the attention weights dropped.

    Masks fit (rows, queries, tokens). Returns the shape of `query`.
    """
    kinds, rows, queries, size = query.shape
    shared = prefix.keys.shape[1]
    together = query.reshape(kinds, rows * queries, size)
    apart = query.reshape(kinds * rows, queries, size)
    to_prefix = (together @ prefix.keys.mT).view(kinds, rows, queries, shared)
    to_own = (apart @ own.keys.flatten(0, 1).mT).view(kinds, rows, queries, -1)
    scores = torch.cat(
        [_bounded(to_prefix, softcap, prefix.mask), _bounded(to_own, softcap, own.mask)], dim=-1
    )
    weights = softmax(scores, dim=-1)
    if dropout:
        weights = drop(weights, dropout)
    to_prefix = weights.view(kinds, rows * queries, -1)[..., :shared]
    to_own = weights.view(kinds * rows, queries, -1)[..., shared:]
    if weights.requires_grad:
        # Or their products in the backward pass copy them transposed.
        to_prefix, to_own = to_prefix.contiguous(), to_own.contiguous()
    found = (to_own @ own.values.flatten(0, 1)).view(kinds, rows * queries, size)
    return torch.baddbmm(found, to_prefix, prefix.values).view(query.shape)


def _bounded(
    scores: torch.Tensor, softcap: float | None, mask: torch.Tensor | None
) -> torch.Tensor:
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    return scores if mask is None else scores + mask


@contextmanager
def attending_by(name: str, config: PreTrainedConfig) -> Iterator[None]:
    """Let a model attend by the function of this name for the time being."""
    settings: Any = config.get_text_config()
    before = settings._attn_implementation
    settings._attn_implementation = name
    try:
        yield
    finally:
        settings._attn_implementation = before
