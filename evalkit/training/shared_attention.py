"""Attention over a micro-batch that lies in one row: a prefix, then suffixes of equal width.

The linear layers see one long row of tokens, so nothing is computed or copied twice. Only
attention needs to know that every suffix continues the prefix and none of its neighbours. It is
handed to the model through transformers' attention interface, under the name `NAME`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface

from evalkit.engines.prefix_attention import Held, attend_behind

NAME = "evalkit_shared_prefix"


@dataclass(frozen=True)
class Layout:
    """Where the prefix and the suffixes are in the row."""

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
    shared, rows, width = layout.shared, layout.rows, layout.width
    within, prefix_mask, own_mask = _masks(layout, sliding_window, heads // kinds, query)
    k_prefix, v_prefix = key[0, :, :shared], value[0, :, :shared]
    k_own = key[0, :, shared:].reshape(kinds, rows, width, size)
    v_own = value[0, :, shared:].reshape(kinds, rows, width, size)
    grouped = (query[0] * scaling).view(kinds, heads // kinds, -1, size)
    q_prefix, q_own = grouped[:, :, :shared], grouped[:, :, shared:]
    parts = []
    if shared:
        found = attend_behind(
            q_prefix.reshape(kinds, 1, -1, size),
            Held(k_prefix[:, :0], v_prefix[:, :0], None),
            Held(k_prefix[:, None], v_prefix[:, None], within),
            softcap=softcap,
            dropout=dropout,
        )
        parts.append(found.view(heads, shared, size).transpose(0, 1))
    q_own = q_own.reshape(kinds, -1, rows, width, size).transpose(1, 2)
    found = attend_behind(
        q_own.reshape(kinds, rows, -1, size),
        Held(k_prefix, v_prefix, prefix_mask),
        Held(k_own, v_own, own_mask),
        softcap=softcap,
        dropout=dropout,
    )
    found = found.view(kinds, rows, -1, width, size).permute(1, 3, 0, 2, 4)
    parts.append(found.reshape(rows * width, heads, size))
    return torch.cat(parts)[None], None


def _masks(
    layout: Layout, window: int | None, group: int, like: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
    """What is added to scores: within the prefix, of suffixes to it, and within a suffix."""
    end = layout.shared + layout.width
    positions = torch.arange(end, device=like.device)
    distance = positions[:, None] - positions[None]
    hidden = distance < 0
    if window is not None:
        hidden |= distance >= window
    mask = torch.zeros((end, end), dtype=like.dtype, device=like.device)
    mask.masked_fill_(hidden, torch.finfo(like.dtype).min)
    within = mask[: layout.shared, : layout.shared]
    to_prefix, own = mask[layout.shared :, : layout.shared], mask[layout.shared :, layout.shared :]
    # Once for each query head of a group.
    within, to_prefix, own = (part.repeat(group, 1) for part in (within, to_prefix, own))
    return within, None if window is None else to_prefix, own


AttentionInterface.register(NAME, attend)
