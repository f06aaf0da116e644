"""What a training would be: rows, tokens, steps, and the time and memory of a measured step."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from evalkit.engines.chat import common_prefix
from evalkit.environment import peak_memory
from evalkit.training.batches import TokenBatches
from evalkit.training.prefix_sharing import Row, SharedPrefixCollator
from evalkit.training.recipe import Recipe
from evalkit.training.trainer import build_adapter


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
    """Of a step on rows of middling length."""
    memory: dict[str, int]
    """The most held so far, in bytes, after that step."""

    def describe(self) -> str:
        """The plan as text."""
        minutes = self.steps * self.seconds_per_step / 60
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
                "measured on rows of middling length",
                f"memory    {memory}",
            ]
        )


def plan_training(
    base: PreTrainedModel, pad_id: int, train: Sequence[Row], dev: Sequence[Row], recipe: Recipe
) -> Plan:
    """Measure a step and reckon up the rest. The base cannot be used for anything else after.

    Raises:
        UserError: the recipe does not fit the base or the rows.
    """
    if recipe.tokens_per_batch:
        batches = TokenBatches(train, recipe.tokens_per_batch, recipe.seed).batches
        # They come by length.
        middle = batches[len(batches) // 2]
        per_epoch = len(batches)
    else:
        order = sorted(range(len(train)), key=lambda row: len(train[row]["input_ids"]))
        start = max(0, (len(order) - recipe.batch_size) // 2)
        middle = order[start : start + recipe.batch_size]
        per_epoch = math.ceil(len(train) / recipe.batch_size)
    steps_of_epoch = math.ceil(per_epoch / recipe.gradient_accumulation)
    steps = recipe.max_steps or math.ceil(steps_of_epoch * recipe.epochs)
    model = build_adapter(base, recipe).train()
    batch = SharedPrefixCollator(pad_id)([train[row] for row in middle])
    device = next(model.parameters()).device
    batch = {name: tensor.to(device) for name, tensor in batch.items()}
    seconds = 0.0
    # The first step makes what later ones find made (kernels, memory).
    for _ in range(2):
        started = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            loss = model(**batch).loss
        loss.backward()
        loss.item()
        seconds = time.perf_counter() - started
    return Plan(
        rows=len(train),
        dev_rows=len(dev),
        tokens=sum(len(row["input_ids"]) for row in train),
        prefix=common_prefix([row["input_ids"] for row in train]),
        answer_tokens=sum(len(row["input_ids"]) - row["prompt_length"] for row in train),
        steps=steps,
        trainable=sum(w.numel() for w in model.parameters() if w.requires_grad),
        seconds_per_step=seconds * recipe.gradient_accumulation,
        memory=peak_memory(),
    )
