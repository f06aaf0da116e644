"""Which rows are computed together: as many as fit, and fewer once memory has run out."""

from __future__ import annotations

import gc
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch

from evalkit.errors import UserError

TOKENS = {"cpu": 16_384}
"""Padded tokens of a batch by kind of device; `MORE_TOKENS` elsewhere."""
MORE_TOKENS = 65_536
_MEMORY_IS_OUT = ("out of memory", "not enough memory", "can't allocate memory")

Done = TypeVar("Done")


@dataclass
class BatchBudget:
    """How much a batch may hold; less after memory ran out once."""

    rows: int
    tokens: int
    """Rows times the widest row: its prompt, and the answer it may write."""

    @classmethod
    def on(cls, device: torch.device, rows: int) -> BatchBudget:
        """The budget on a device before anything is known."""
        return cls(rows, TOKENS.get(device.type, MORE_TOKENS))

    def for_rows(self, rows: int) -> BatchBudget:
        """The same for another number of rows."""
        return replace(self, rows=rows)

    def fits(self, widths: Sequence[int]) -> int:
        """How many of the first rows fit together, the widest first; at least one."""
        return max(1, min(len(widths), self.rows, self.tokens // max(widths[0], 1)))

    def shrink(self, rows: int, width: int) -> None:
        """Take half of what was too much.

        Raises:
            UserError: it was a single row.
        """
        if rows == 1:
            raise UserError(
                f"There is not enough memory for a single row of {width:,} tokens. Shorten the "
                "longest inputs, free memory, or use --precision bf16, a smaller base or a "
                "larger machine."
            )
        self.tokens = rows * width // 2


def in_batches(
    widths: Sequence[int], budget: BatchBudget, run: Callable[[list[int]], Done]
) -> Iterator[tuple[list[int], Done]]:
    """Run rows in batches that fit; yield (row numbers, what came of them).

    The widest come first, so that what memory it takes shows at once. A batch that memory was
    not enough for is run again in parts, and later ones are made smaller.

    Args:
        widths: tokens that each row takes.
        budget: how much a batch may hold; made smaller in place.
        run: computes the rows of these numbers.

    Raises:
        UserError: memory is not enough for one row.
    """
    left = sorted(range(len(widths)), key=lambda i: (-widths[i], i))
    while left:
        batch = left[: budget.fits([widths[i] for i in left[: budget.rows]])]
        done = _unless_memory_is_out(run, batch)
        if done is None:
            # Here and not where it was caught: the error holds on to what was computed.
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            budget.shrink(len(batch), widths[batch[0]])
            continue
        left = left[len(batch) :]
        yield batch, done[0]


def _unless_memory_is_out(run: Callable[[list[int]], Done], batch: list[int]) -> tuple[Done] | None:
    try:
        return (run(batch),)
    except (MemoryError, RuntimeError) as error:
        known = isinstance(error, (MemoryError, torch.OutOfMemoryError))
        if not known and not any(sign in str(error).lower() for sign in _MEMORY_IS_OUT):
            raise
        return None


def equal_ones(keys: Sequence[Hashable]) -> list[list[int]]:
    """Numbers of equal keys together, in the order in which they first come."""
    groups: dict[Hashable, list[int]] = {}
    for number, key in enumerate(keys):
        groups.setdefault(key, []).append(number)
    return list(groups.values())
