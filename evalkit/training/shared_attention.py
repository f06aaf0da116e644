"""Attention over a micro-batch that lies in one row: a prefix, then suffixes of equal width.

The linear layers see one long row of tokens, so nothing is computed or copied twice. Only
attention needs to know that every suffix continues the prefix and none of its neighbours. It is
handed to the model through transformers' attention interface, under the name `NAME`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import dropout as drop
from torch.nn.functional import softmax
from transformers import AttentionInterface, PreTrainedModel

NAME = "evalkit_shared_prefix"


@dataclass(frozen=True)
class Layout:
    """Where the prefix and the suffixes stand in the row."""

    shared: int
    """Tokens of the prefix; may be 0."""
    rows: int
    width: int
    """Tokens of each suffix, its padding on the right included."""

    def positions(self, device: torch.device) -> torch.Tensor:
        """Position of every token of the row, from 0."""
        suffix = torch.arange(self.shared, self.shared + self.width, device=device)
        prefix = torch.arange(self.shared, device=device)
        return torch.cat([prefix, suffix.repeat(self.rows)])


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float,
    layout: Layout,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention within the prefix, and of each suffix to the prefix and itself.

    Args:
        module: the attention layer (not used).
        query: (1, heads, tokens, size).
        key: (1, key heads, tokens, size); each serves a group of query heads.
        value: as `key`.
        attention_mask: None; the layout says everything.
        scaling: factor on the scores.
        layout: where prefix and suffixes stand.
        dropout: share of the attention weights dropped.
        sliding_window: how many tokens each token sees, itself included; all by default.
        softcap: bound on the scores, where the model has one.

    Returns:
        (1, tokens, heads, size), and no attention weights.
    """
    assert attention_mask is None
    heads, size = query.shape[1], query.shape[3]
    kinds = key.shape[1]
    group, shared, rows, width = heads // kinds, layout.shared, layout.rows, layout.width
    k_prefix, k_own = key[0, :, :shared], key[0, :, shared:]
    v_prefix, v_own = value[0, :, :shared], value[0, :, shared:]
    k_own = k_own.reshape(kinds * rows, width, size)
    v_own = v_own.reshape(kinds * rows, width, size)
    grouped = (query[0] * scaling).view(kinds, group, -1, size)
    q_prefix, q_own = grouped[:, :, :shared], grouped[:, :, shared:]
    mask = _mask(layout, sliding_window, query)

    def weigh(scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        if softcap is not None:
            scores = torch.tanh(scores / softcap) * softcap
        weights = softmax(scores + mask, dim=-1)
        return drop(weights, dropout) if dropout else weights

    parts = []
    if shared:
        scores = q_prefix.reshape(kinds, group * shared, size) @ k_prefix.mT
        weights = weigh(scores.view(kinds, group, shared, shared), mask[0])
        prefix = weights.view(kinds, group * shared, shared) @ v_prefix
        parts.append(prefix.view(heads, shared, size).transpose(0, 1))
    # (kinds, rows, group, width, size): one product with the prefix's keys for all rows.
    q_own = q_own.reshape(kinds, group, rows, width, size).transpose(1, 2)
    q_own = q_own.reshape(kinds, rows * group * width, size)
    to_prefix = (q_own @ k_prefix.mT).view(kinds, rows, group, width, shared)
    to_own = q_own.view(kinds * rows, group * width, size) @ k_own.mT
    to_own = to_own.view(kinds, rows, group, width, width)
    weights = weigh(torch.cat([to_prefix, to_own], dim=-1), mask[1])
    w_prefix, w_own = weights[..., :shared], weights[..., shared:]
    own = w_own.reshape(kinds * rows, group * width, width) @ v_own
    own = own.view(kinds, rows * group * width, size)
    if shared:
        # Contiguous, or its product in the backward pass copies it transposed.
        w_prefix = w_prefix.contiguous().view(kinds, rows * group * width, shared)
        own = own + w_prefix @ v_prefix
    own = own.view(kinds, rows, group, width, size).permute(1, 3, 0, 2, 4)
    parts.append(own.reshape(rows * width, heads, size))
    return torch.cat(parts)[None], None


@contextmanager
def sharing(model: PreTrainedModel) -> Iterator[None]:
    """Let the model attend by `attend` for the time being."""
    config: Any = model.config.get_text_config()
    before = config._attn_implementation
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before


def _mask(
    layout: Layout, window: int | None, like: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """What is added to the scores of the prefix and of a suffix."""
    end = layout.shared + layout.width
    positions = torch.arange(end, device=like.device)
    distance = positions[:, None] - positions[None]
    hidden = distance < 0
    if window is not None:
        hidden |= distance >= window
    mask = torch.zeros((end, end), dtype=like.dtype, device=like.device)
    mask.masked_fill_(hidden, torch.finfo(like.dtype).min)
    return mask[: layout.shared, : layout.shared], mask[layout.shared :]


AttentionInterface.register(NAME, attend)
