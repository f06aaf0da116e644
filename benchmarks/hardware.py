"""What the machine can do, for shares of it that benchmarks print."""

from __future__ import annotations

import time

import torch


def matmul_rate(device: torch.device) -> float:
    """bf16 operations per second of a large matrix product; the best of five."""
    size = 8192 if device.type == "cuda" else 4096
    a, b = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        (a @ b)[0, 0].item()
        seconds.append(time.perf_counter() - started)
    return float(2 * size**3 / min(seconds))
