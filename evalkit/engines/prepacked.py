"""Products with weights that oneDNN has laid out once, and not anew at every product.

On a CPU, a product of bf16 matrices first copies the weight into blocks. Where few tokens are fed,
that adds more than half to the product. The kernels are the same, and so is every bit of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeGuard

import torch
from torch import nn

Prepacked = list[tuple[nn.Linear, torch.Tensor]]
"""Layers, and their weights in oneDNN's own layout."""


def prepack(*modules: nn.Module) -> Prepacked:
    """Lay out the weights of plain bf16 layers on a CPU; a copy of each is made.

    Layers that are more than a product, or in another type or place, are left as they are; so are
    all where torch does not offer it.
    """
    found = [layer for module in modules for layer in module.modules() if _is_plain(layer)]
    if not found or not _is_offered():
        return []
    lay_out: Any = torch.ops.mkldnn._reorder_linear_weight
    return [(layer, lay_out(layer.weight.detach())) for layer in dict.fromkeys(found)]


@contextmanager
def multiplying_with(prepacked: Prepacked) -> Iterator[None]:
    """Let layers multiply with their prepacked weights for the time being.

    The weights must be those that were prepacked.
    """
    for layer, weight in prepacked:
        layer.forward = partial(_product, weight, layer.bias)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for layer, _ in prepacked:
            del layer.forward


def _product(weight: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
    found: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return found


def _is_plain(layer: nn.Module) -> TypeGuard[nn.Linear]:
    if type(layer) is not nn.Linear or "forward" in vars(layer):
        return False
    return layer.weight.device.type == "cpu" and layer.weight.dtype == torch.bfloat16


def _is_offered() -> bool:
    # What torch's own compiler uses; where a version has it no more, products stay as they are.
    operations: Any = torch.ops.mkldnn
    names = ("_reorder_linear_weight", "_linear_pointwise", "_is_mkldnn_bf16_supported")
    return (
        bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
        and all(hasattr(operations, name) for name in names)
        and bool(operations._is_mkldnn_bf16_supported())
    )
