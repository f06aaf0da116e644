"""Parts of one computation on threads of their own, each with its share of the processor's cores.

Two cores that compute a part each wait for each other once. Two that share every operation wait at
each of them, and stand idle in those that are too small to be shared.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache, partial
from itertools import accumulate, pairwise
from threading import Barrier
from typing import TypeVar

import torch

MOST_LANES = 4
"""Python lets one thread at a time prepare its next operation, so more would wait for that."""

Done = TypeVar("Done")


def lanes(device: torch.device) -> int:
    """How many parts a device computes at a time; 1 off the CPU, where operations queue anyway."""
    return min(MOST_LANES, torch.get_num_threads()) if device.type == "cpu" else 1


def in_equal_parts(sizes: Sequence[int], lanes: int) -> list[slice]:
    """Neighbours that go together: at most so many parts, of about equal size.

    Args:
        sizes: at least 1 each.
        lanes: how many parts.
    """
    total = sum(sizes)
    # In whose share of the whole the middle of each one lies.
    lane = [
        (2 * end - size) * lanes // (2 * total)
        for size, end in zip(sizes, accumulate(sizes), strict=True)
    ]
    cuts = [bisect_left(lane, number) for number in range(lanes + 1)]
    return [slice(start, end) for start, end in pairwise(cuts) if start < end]


def side_by_side(parts: Sequence[Callable[[], Done]], lanes: int) -> list[Done]:
    """Compute parts, so many at a time, and return what came of them in their order.

    A single part, or one lane, has this thread and all cores. An error of a part is raised when
    all have come to an end, the first part's first.
    """
    if lanes == 1 or len(parts) == 1:
        return [part() for part in parts]
    inference = torch.is_inference_mode_enabled()
    running = [_pool(lanes, torch.get_num_threads()).submit(_in, inference, p) for p in parts]
    wait(running)
    return [done.result() for done in running]


def _in(inference: bool, part: Callable[[], Done]) -> Done:
    # A thread does not inherit the mode of the one that asks it.
    with torch.inference_mode(inference):
        return part()


@cache
def _pool(lanes: int, cores: int) -> ThreadPoolExecutor:
    """Threads that compute with their share of the cores each."""
    all_ready = Barrier(lanes + 1)
    pool = ThreadPoolExecutor(
        lanes, "evalkit-lane", partial(_take_share, max(1, cores // lanes), all_ready)
    )
    for _ in range(lanes):
        pool.submit(int)
    all_ready.wait()
    # torch holds the number of threads for each thread, and the last one set for new ones.
    torch.set_num_threads(cores)
    return pool


def _take_share(cores: int, all_ready: Barrier) -> None:
    torch.get_num_threads()  # The first question sets the default, which would come later.
    torch.set_num_threads(cores)
    all_ready.wait()
