"""The output head and its loss, a few tokens at a time.

The logits of a batch are its largest tensor by far (tokens x vocabulary), and autograd would keep
several of that size. Here a few tokens' logits are made, turned into their loss and into the
gradient of the hidden states, and forgotten. The sums are those of the ordinary cross-entropy; the
same idea as Liger Kernel's fused linear cross-entropy (arXiv 2410.10989).
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn

LOGITS_AT_ONCE = {"cpu": 1 << 22}
"""By kind of device; `MORE_LOGITS` elsewhere."""
MORE_LOGITS = 1 << 27


class _HeadLoss(torch.autograd.Function):
    """Summed cross-entropy of `hidden W'`, with W frozen."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        targets: torch.Tensor,
        weights: torch.Tensor | None,
    ) -> torch.Tensor:
        wanted = ctx.needs_input_grad[0]
        total = hidden.new_zeros((), dtype=torch.float32)
        gradient = torch.empty_like(hidden) if wanted else None
        at_once = LOGITS_AT_ONCE.get(hidden.device.type, MORE_LOGITS)
        step = max(1, at_once // len(weight))
        for start in range(0, len(hidden), step):
            part = slice(start, start + step)
            at = targets[part, None]
            logits = (hidden[part] @ weight.T).float()
            norm = logits.logsumexp(-1, keepdim=True)
            losses = norm - logits.gather(-1, at)
            if weights is not None:
                losses = losses * weights[part, None]
            total += losses.sum()
            if gradient is not None:
                # Of the loss by the logits: probabilities, less 1 at the target.
                slope = logits.sub_(norm).exp_()
                slope.scatter_add_(-1, at, torch.full_like(norm, -1.0))
                if weights is not None:
                    slope *= weights[part, None]
                gradient[part] = slope.to(weight.dtype) @ weight
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * gradients[0].to(gradient.dtype), None, None, None


class _HeadDivergence(torch.autograd.Function):
    """Summed KL(base || tuned) of the distributions that W gives, with W frozen."""

    @staticmethod
    def forward(
        ctx: Any, tuned: torch.Tensor, base: torch.Tensor, weight: torch.Tensor
    ) -> torch.Tensor:
        total = tuned.new_zeros((), dtype=torch.float32)
        gradient = torch.empty_like(tuned) if ctx.needs_input_grad[0] else None
        at_once = LOGITS_AT_ONCE.get(tuned.device.type, MORE_LOGITS)
        step = max(1, at_once // len(weight))
        for start in range(0, len(tuned), step):
            part = slice(start, start + step)
            log_t = (tuned[part] @ weight.T).float().log_softmax(-1)
            log_b = (base[part] @ weight.T).float().log_softmax(-1)
            b = log_b.exp()
            total += (b * log_b.sub_(log_t)).sum()
            if gradient is not None:
                gradient[part] = log_t.exp_().sub_(b).to(weight.dtype) @ weight
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * gradients[0].to(gradient.dtype), None, None


def is_plain(head: nn.Module) -> bool:
    """Whether a head is a frozen matrix and nothing more."""
    return type(head) is nn.Linear and head.bias is None and not head.weight.requires_grad


def plain_head_loss(
    head: nn.Module, hidden: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None
) -> torch.Tensor:
    """Summed cross-entropy of tokens behind a plain head.

    Args:
        head: a frozen matrix, see `is_plain`.
        hidden: (tokens, size).
        targets: (tokens,) ids.
        weights: (tokens,) what each token counts; 1 by default.
    """
    weight = cast("nn.Linear", head).weight
    total = _HeadLoss.apply(hidden.to(weight.dtype), weight, targets, weights)  # type: ignore[no-untyped-call]
    return cast("torch.Tensor", total)


def plain_head_divergence(head: nn.Module, tuned: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    """Summed KL(base || tuned) of the distributions behind a plain head.

    Args:
        head: a frozen matrix, see `is_plain`.
        tuned: (tokens, size); gradients go there alone.
        base: (tokens, size).
    """
    weight = cast("nn.Linear", head).weight
    total = _HeadDivergence.apply(tuned.to(weight.dtype), base.to(weight.dtype), weight)  # type: ignore[no-untyped-call]
    return cast("torch.Tensor", total)
