"""What a training would be: rows, tokens, steps, and the time and memory of a measured step."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from evalkit.engines.chat import common_prefix
from evalkit.environment import peak_memory
from evalkit.training.batches import TokenBatches
from evalkit.training.hard_rows import rate_rows
from evalkit.training.keeping import KeepBatches
from evalkit.training.places import Place
from evalkit.training.prefix_sharing import KEEP, Row, SharedPrefixCollator
from evalkit.training.recipe import Recipe
from evalkit.training.trainer import Collator, build_adapter


@dataclass(frozen=True)
class Plan:
    """A training that has not been run."""

    rows: int
    dev_rows: int
    tokens: int
    """Of all rows once, prompts and answers."""
    prefix: int
    """Tokens that all rows share."""
    answer_tokens: int
    """Of all rows once; only these are learned."""
    steps: int
    trainable: int
    """Parameters of the adapter."""
    seconds_per_step: float
    """Of a step on rows of middling length, with edits and, as often as the recipe has them,
    general prompts."""
    seconds_with_keep: float | None
    """Of a step with general prompts in every micro-batch; None where the recipe has none."""
    seconds_between: float
    """Between epochs: how long all rows take to be rated for `hard_share`."""
    memory: dict[str, int]
    """The most held so far, in bytes, after that step."""

    epochs: float
    """As far as the steps go."""

    @property
    def seconds(self) -> float:
        """Of the whole training."""
        between = max(0, math.ceil(self.epochs) - 1) * self.seconds_between
        return self.steps * self.seconds_per_step + between

    def describe(self) -> str:
        """The plan as text."""
        minutes = self.seconds / 60
        kept = self.seconds_with_keep
        keep = f"; {kept:.2f} s with general prompts" if kept is not None else ""
        memory = ", ".join(f"{size / 1e9:.1f} GB ({where})" for where, size in self.memory.items())
        mean = self.tokens / self.rows
        return "\n".join(
            [
                f"rows      {self.rows:,} to train on, {self.dev_rows:,} held out",
                f"tokens    {self.tokens:,}: {mean:.0f} a row, of which {self.prefix} are shared "
                f"and {self.answer_tokens / self.rows:.0f} learned",
                f"steps     {self.steps:,}",
                f"adapter   {self.trainable:,} parameters",
                f"time      about {minutes:.0f} minutes: {self.seconds_per_step:.2f} s a step, "
                f"measured on rows of middling length{keep}",
                f"memory    {memory}",
            ]
        )


def plan_training(
    base: PreTrainedModel,
    pad_id: int,
    train: Sequence[Row],
    dev: Sequence[Row],
    recipe: Recipe,
    *,
    collate: Collator | None = None,
    keep: KeepBatches | None = None,
    lengths: Callable[[int], Sequence[int]] | None = None,
) -> Plan:
    """Measure a step and reckon up the rest. The base cannot be used for anything else after.

    `lengths` has the tokens of each row in an epoch, where edits make that another number.

    Raises:
        UserError: the recipe does not fit the base or the rows.
    """
    if recipe.tokens_per_batch:
        batches = TokenBatches(train, recipe.tokens_per_batch, recipe.seed).batches
        # They come by length.
        middle = batches[len(batches) // 2]
        per_epoch = len(batches)
    else:
        long = lengths(0) if lengths else [len(row["input_ids"]) for row in train]
        order = sorted(range(len(train)), key=lambda row: long[row])
        start = max(0, (len(order) - recipe.batch_size) // 2)
        middle = order[start : start + recipe.batch_size]
        per_epoch = math.ceil(len(train) / recipe.batch_size)
    steps_of_epoch = math.ceil(per_epoch / recipe.gradient_accumulation)
    steps = recipe.max_steps or math.ceil(steps_of_epoch * recipe.epochs)
    model = build_adapter(base, recipe).train()
    plain = SharedPrefixCollator(pad_id)
    rows = [Row({**train[row], "place": Place(row)}) for row in middle]
    task = _seconds(model, recipe, lambda: _without_keep((collate or plain)(rows)))
    both = None
    if keep is not None:
        drawn = keep.batch(random.Random(recipe.seed))
        both = _seconds(model, recipe, lambda: _without_keep((collate or plain)(rows)) | drawn)
    share = recipe.keep.share if recipe.keep else 0.0
    mean = task if both is None else (1 - share) * task + share * both
    between = 0.0
    if recipe.hard_share:
        started = time.perf_counter()
        rate_rows(base, rows, plain, len(rows))
        between = (time.perf_counter() - started) * per_epoch
    return Plan(
        rows=len(train),
        dev_rows=len(dev),
        tokens=sum(len(row["input_ids"]) for row in train),
        prefix=common_prefix([row["input_ids"] for row in train]),
        answer_tokens=sum(len(row["input_ids"]) - row["prompt_length"] for row in train),
        steps=steps,
        trainable=sum(w.numel() for w in model.parameters() if w.requires_grad),
        seconds_per_step=mean * recipe.gradient_accumulation,
        seconds_with_keep=None if both is None else both * recipe.gradient_accumulation,
        seconds_between=between,
        memory=peak_memory(),
        epochs=steps / steps_of_epoch,
    )


def _seconds(
    model: torch.nn.Module, recipe: Recipe, make: Callable[[], Mapping[str, torch.Tensor]]
) -> float:
    """What a micro-batch takes, from its rows to its gradients."""
    device = next(model.parameters()).device
    seconds = 0.0
    # The first one makes what later ones find made (kernels, memory).
    for _ in range(2):
        started = time.perf_counter()
        batch = {name: tensor.to(device) for name, tensor in make().items()}
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            loss = model(**batch).loss
        loss.backward()
        loss.item()
        seconds = time.perf_counter() - started
    return seconds


def _without_keep(batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in batch.items() if not name.startswith(KEEP)}
