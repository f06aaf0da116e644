"""Rows that are still wrong at the end of an epoch, to be seen again in the next one.

They take the places of as many rows that the model is surest of, so an epoch stays as long as it
is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from transformers import PreTrainedModel

from evalkit.atomic import write_text
from evalkit.training.prefix_sharing import Row, SharedPrefixCollator, answer_logits


class Difficulty(NamedTuple):
    """How a row stands with the weights as they are."""

    is_wrong: bool
    """Whether the likeliest token is another than the right one somewhere in the answer."""
    loss: float
    """Summed over the answer's tokens, in nats."""


def rate_rows(
    model: PreTrainedModel, rows: Sequence[Row], collate: SharedPrefixCollator, size: int
) -> list[Difficulty]:
    """How each row stands, read as it is: in the task's own words, unedited."""
    device = next(model.parameters()).device
    found: dict[int, Difficulty] = {}
    # By length, so that little is padding.
    order = sorted(range(len(rows)), key=lambda row: len(rows[row]["input_ids"]))
    for start in range(0, len(order), size):
        places = order[start : start + size]
        batch = collate([rows[place] for place in places])
        here = {name: batch[name].to(device) for name in ("prefix_ids", "input_ids", "labels")}
        with torch.no_grad():
            logits, targets, row_of = answer_logits(model, **here)
        losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
        wrong = logits.argmax(-1) != targets
        for place, number in zip(places, range(len(places)), strict=True):
            own = row_of == number
            found[place] = Difficulty(bool(wrong[own].any()), float(losses[own].sum()))
    return [found[row] for row in range(len(rows))]


def fill_slots(rated: Sequence[Difficulty], share: float) -> list[int]:
    """Which row each slot of the next epoch shows: its own, or a hard one in a sure one's place.

    Args:
        rated: each row of an epoch.
        share: of the slots, at most half of them.
    """
    order = sorted(range(len(rated)), key=lambda row: (not rated[row].is_wrong, -rated[row].loss))
    count = round(share * len(order))
    slots = list(range(len(order)))
    for hard, sure in zip(order[:count], reversed(order), strict=False):
        slots[sure] = hard
    return slots


def remember(path: Path, choose: Callable[[], list[int]]) -> list[int]:
    """The slots of an epoch: as chosen at its start, whatever the weights are by now."""
    if path.is_file():
        slots: list[int] = json.loads(path.read_text(encoding="utf-8"))
        return slots
    slots = choose()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(slots))
    return slots
