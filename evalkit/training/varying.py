"""Micro-batches of rows that are varied: label spaces, noise, attacks and prompts to keep.

What is drawn follows from the seed, the epoch and the rows' ids alone, so a resumed training draws
the same again.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from evalkit.engines.chat import Chat
from evalkit.formats import Format
from evalkit.records import Example
from evalkit.tasks import Task
from evalkit.training.edits import edit, row_names
from evalkit.training.encoding import LabelWeights, encode_rows
from evalkit.training.keeping import KeepBatches
from evalkit.training.label_spaces import vary
from evalkit.training.places import OWN, Kind, Place
from evalkit.training.prefix_sharing import Row, SharedPrefixCollator
from evalkit.training.recipe import Recipe
from evalkit.training.topics import Topics


class VaryingCollator:
    """Rows -> a micro-batch under another list of values, with edits and attacks in some rows.

    `examples` are those of an epoch, and `rows` the same as they are, encoded.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        rows: Sequence[Row],
        task: Task,
        fmt: Format,
        chat: Chat,
        recipe: Recipe,
        collate: SharedPrefixCollator,
        *,
        topics: Topics | None = None,
        weights: LabelWeights | None = None,
        keep: KeepBatches | None = None,
    ) -> None:
        self.examples = examples
        self.rows = rows
        self.task = task
        self.format = fmt
        self.chat = chat
        self.recipe = recipe
        self.collate = collate
        self.topics = topics or {}
        self.weights = weights
        self.keep = keep
        self.names = row_names(examples)

    def __call__(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        """Collate a micro-batch; dev rows, which stand nowhere in a training, as it is."""
        if "place" not in rows[0]:
            return self.collate(rows)
        places = [row["place"] for row in rows]
        names = [self.names[place.row] for place in places]
        start = f"{self.recipe.seed} {places[0].epoch}"
        draw = random.Random(f"{start} {names}")
        batch = self.collate(self._varied(rows, places, draw))
        if self.keep is not None:
            batch |= self.keep.draw(random.Random(f"keep {start} {names}"))
        return batch

    def lengths(self, epoch: int) -> list[int]:
        """Tokens of each row with the edits of an epoch, under the task's own values.

        For batches of rows of like length: an attack, or full-width letters, make a row several
        times as long, and all rows of its micro-batch are padded to it.
        """
        lengths = []
        for number, (example, plain) in enumerate(zip(self.examples, self.rows, strict=True)):
            edited = self._edited(example, self.task, Place(number, epoch))
            lengths.append(
                len(plain["input_ids"])
                if edited is example
                else len(encode_rows(self.task, self.format, self.chat, [edited])[0]["input_ids"])
            )
        return lengths

    def _varied(
        self, rows: Sequence[Row], places: Sequence[Place], draw: random.Random
    ) -> Sequence[Row]:
        plain = [self.examples[place.row] for place in places]
        task, examples, weights = self._in_a_space(plain, places, draw)
        changed = [
            self._edited(example, task, place)
            for example, place in zip(examples, places, strict=True)
        ]
        if task is not self.task:
            self.format.check(task)
            return encode_rows(task, self.format, self.chat, changed, weights)
        return [
            row if new is old else encode_rows(task, self.format, self.chat, [new], weights)[0]
            for row, old, new in zip(rows, plain, changed, strict=True)
        ]

    def _in_a_space(
        self, examples: list[Example], places: Sequence[Place], draw: random.Random
    ) -> tuple[Task, list[Example], LabelWeights | None]:
        spaces = self.recipe.labels
        # Several processes fill a last batch up with rows of the first.
        space = places[0].space if len({place.space for place in places}) == 1 else OWN
        if spaces is None or (space.kind is Kind.OWN and draw.random() >= spaces.share):
            return self.task, examples, self.weights
        varied = vary(self.task, spaces, self.topics, space, examples, draw)
        weights = self.weights and _rename_weights(self.weights, spaces.field, varied.renamed)
        return varied.task, varied.examples, weights

    def _edited(self, example: Example, task: Task, place: Place) -> Example:
        """The example with noise and an attack, where they are drawn for it."""
        name = self.names[place.row]
        return edit(example, name, place.epoch, task, self.format, self.recipe)


def _rename_weights(weights: LabelWeights, field: str, renamed: Mapping[str, str]) -> LabelWeights:
    values = {renamed.get(str(v), v): w for v, w in weights.values.get(field, {}).items()}
    return replace(weights, values={**weights.values, field: values})
