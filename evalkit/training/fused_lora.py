"""LoRA layers with as few passes over the activations as there can be.

peft's layer casts its input to the adapter's fp32, multiplies, casts, scales and adds, and
autograd keeps a copy at every step. Here the low-rank product is added in the matrix product
itself, and only the input and its projection onto the rank are kept. The sums are the same.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch import nn


class _FusedLora(torch.autograd.Function):
    """`x W' + x A' B'`, with W frozen and B scaled beforehand."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        a: torch.Tensor,
        b: torch.Tensor,
    ) -> torch.Tensor:
        low = x @ a.T
        ctx.save_for_backward(x, low, weight, a, b)
        out = torch.nn.functional.linear(x, weight, bias)
        return out.addmm_(low, b.T)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, low, weight, a, b = ctx.saved_tensors
        d_low = gradient @ b
        d_x = (gradient @ weight).addmm_(d_low, a) if ctx.needs_input_grad[0] else None
        return d_x, None, None, d_low.T @ x, gradient.T @ low


def fuse_lora(model: nn.Module) -> int:
    """Replace the forward of every plain LoRA layer; returns how many there are.

    Layers with dropout, DoRA, quantised or trainable base weights keep peft's.
    """
    layers = [module for module in model.modules() if type(module) is LoraLinear]
    plain = [layer for layer in layers if _is_plain(layer)]
    for layer in plain:
        layer.forward = _forward_of(layer)  # type: ignore[method-assign]
    return len(plain)


def _is_plain(layer: LoraLinear) -> bool:
    return (
        type(layer.base_layer) is nn.Linear
        and not layer.base_layer.weight.requires_grad
        and list(layer.lora_A) == ["default"]
        and not layer.lora_variant
        and isinstance(layer.lora_dropout["default"], nn.Identity)
    )


def _forward_of(layer: LoraLinear) -> Any:
    ordinary = layer.forward
    base, scaling = cast("nn.Linear", layer.base_layer), layer.scaling["default"]
    lora_a = cast("nn.Linear", layer.lora_A["default"])
    lora_b = cast("nn.Linear", layer.lora_B["default"])

    def forward(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if layer.merged or layer.disable_adapters or args or kwargs:
            return ordinary(x, *args, **kwargs)
        dtype = base.weight.dtype
        with torch.autocast(x.device.type, enabled=False):
            flat: torch.Tensor = _FusedLora.apply(  # type: ignore[no-untyped-call]
                x.reshape(-1, x.shape[-1]).to(dtype),
                base.weight,
                base.bias,
                lora_a.weight.to(dtype),
                (lora_b.weight * scaling).to(dtype),
            )
        return flat.view(*x.shape[:-1], -1)

    return forward
