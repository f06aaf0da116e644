"""Which rows come together, in an order that the seed and the epoch alone decide.

Trainer's own order is drawn anew in the middle of an epoch that is resumed, which then goes
through some rows twice and through others not at all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler
from transformers.trainer_pt_utils import LengthGroupedSampler

from evalkit.engines.chat import common_prefix
from evalkit.errors import UserError
from evalkit.training.prefix_sharing import Row


class ByLength(LengthGroupedSampler):
    """Rows of similar length after each other, for batches of a fixed number of rows."""

    def __init__(self, rows: Sequence[Row], batch_size: int, seed: int) -> None:
        super().__init__(batch_size, lengths=[len(row["input_ids"]) for row in rows])
        self.seed = seed

    def set_epoch(self, epoch: int) -> None:
        """Called by Trainer before each epoch."""
        self.generator = torch.Generator().manual_seed(self.seed + epoch)


class TokenBatches(Sampler[list[int]]):
    """Batches of rows of like length that hold at most so many tokens, padding included.

    The batches are the same in every epoch and come in a new order; with as many batches in
    each, Trainer can tell in which epoch a step lies.
    """

    def __init__(self, rows: Sequence[Row], tokens: int, seed: int) -> None:
        self.seed = seed
        self.epoch = 0
        lengths = [len(row["input_ids"]) for row in rows]
        shared = common_prefix([row["input_ids"] for row in rows])
        if rows and max(lengths) > tokens:
            raise UserError(
                f"[recipe] tokens_per_batch: the longest row has {max(lengths)} tokens, and "
                f"{tokens} are to be in a batch."
            )
        generator = torch.Generator().manual_seed(seed)
        shuffled = torch.randperm(len(rows), generator=generator).tolist()
        self.batches: list[list[int]] = []
        batch: list[int] = []
        for row in sorted(shuffled, key=lambda row: lengths[row]):
            # Rows come by length, so the last is the widest.
            if shared + (len(batch) + 1) * (lengths[row] - shared) > tokens:
                self.batches.append(batch)
                batch = []
            batch.append(row)
        if batch:
            self.batches.append(batch)

    def set_epoch(self, epoch: int) -> None:
        """Called by Trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        for index in torch.randperm(len(self.batches), generator=generator).tolist():
            yield self.batches[index]
