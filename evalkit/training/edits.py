"""Noise and attacks in a training's rows: what is drawn for a row in an epoch.

It follows from the seed, the epoch and the row's id alone, so that a resumed training draws the
same again.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from evalkit.formats import Format
from evalkit.records import Example
from evalkit.tasks import Task
from evalkit.training.attacks import attack
from evalkit.training.noise import add_noise
from evalkit.training.recipe import EditedRowsRecipe


def edit(
    example: Example, name: str, epoch: int, task: Task, fmt: Format, recipe: EditedRowsRecipe
) -> Example:
    """The example with noise and an attack, where they are drawn for it; else itself.

    `name` is what `row_names` calls it; the example is labelled as `task`, the row's own, has it.
    """
    start = f"{recipe.seed} {epoch} {name}"
    noise, attacks = recipe.noise, recipe.attacks
    if noise is not None:
        draw = random.Random(f"noise {start}")
        if draw.random() < noise.share:
            example = add_noise(example, noise.kinds, noise.second, draw)
    if attacks is not None:
        draw = random.Random(f"attack {start}")
        if draw.random() < attacks.share:
            example = attack(example, task, fmt, draw)
    return example


def row_names(examples: Sequence[Example]) -> list[str]:
    """A name for each row that no other has: its id, and which repeat it is."""
    seen: Counter[str] = Counter()
    names = []
    for example in examples:
        names.append(f"{example.id} {seen[example.id]}")
        seen[example.id] += 1
    return names
