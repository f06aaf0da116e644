"""What the machine can do, for shares of it that benchmarks print."""

from __future__ import annotations

import time

import torch

ENOUGH = 0.05
"""Seconds that a product takes which is large enough."""


def matmul_rate(device: torch.device) -> float:
    """bf16 operations per second of a large matrix product; the best of five."""
    if device.type == "cuda":
        return max(_rate(device, 8192) for _ in range(5))
    # Some processors need minutes for a product that others compute in a tenth of a second.
    size = 256
    while 2 * size**3 / _rate(device, size) < ENOUGH and size < 4096:
        size *= 2
    return max(_rate(device, size) for _ in range(5))


def _rate(device: torch.device, size: int) -> float:
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    started = time.perf_counter()
    (a @ b)[0, 0].item()
    return float(2 * size**3 / (time.perf_counter() - started))
