"""What the machine can do, for shares of it."""

from __future__ import annotations

import time

import torch

ENOUGH = 0.05
"""Seconds that a product takes which is large enough."""


def matmul_rate(device: torch.device, dtype: torch.dtype = torch.bfloat16) -> float:
    """Operations per second of a large matrix product; the best of five."""
    if device.type == "cuda":
        return max(_rate(device, dtype, 8192) for _ in range(5))
    # Some processors need minutes for a product that others compute in a tenth of a second.
    size = 256
    while 2 * size**3 / _rate(device, dtype, size) < ENOUGH and size < 4096:
        size *= 2
    return max(_rate(device, dtype, size) for _ in range(5))


def _rate(device: torch.device, dtype: torch.dtype, size: int) -> float:
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    started = time.perf_counter()
    (a @ b)[0, 0].item()
    return float(2 * size**3 / (time.perf_counter() - started))
