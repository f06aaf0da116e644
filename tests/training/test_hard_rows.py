"""Which rows are seen again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

from evalkit.training.batches import ByLength
from evalkit.training.hard_rows import Difficulty, fill_slots, rate_rows, remember
from evalkit.training.prefix_sharing import SharedPrefixCollator, share_prefix
from tiny_models import model
from tiny_training import END, toy_rows


def test_wrong_rows_take_the_places_of_the_surest() -> None:
    rated = [
        Difficulty(False, 0.1),
        Difficulty(True, 0.5),
        Difficulty(False, 0.9),
        Difficulty(False, 0.05),
        Difficulty(True, 0.7),
    ]
    assert fill_slots(rated, 0.0) == [0, 1, 2, 3, 4]
    # A wrong row comes before a right one, whatever their losses are.
    assert fill_slots(rated, 0.2) == [0, 1, 2, 4, 4]
    assert fill_slots(rated, 0.4) == [1, 1, 2, 4, 4]


def test_rows_are_rated_as_the_plain_model_reads_them() -> None:
    torch.manual_seed(0)
    rows, base = toy_rows(7), model("llama", layers=1)
    share_prefix(base)
    base.eval()
    rated = rate_rows(base, rows, SharedPrefixCollator(END), 3)
    for row, found in zip(rows, rated, strict=True):
        ids = torch.tensor([row["input_ids"]])
        start = row["prompt_length"]
        with torch.no_grad():
            logits = base(input_ids=ids).logits[0, start - 1 : -1].float()
        assert found.loss == pytest.approx(float(cross_entropy(logits, ids[0, start:]) * (
            ids.shape[1] - start)), rel=1e-4)  # fmt: skip
        assert found.is_wrong == bool((logits.argmax(-1) != ids[0, start:]).any())


def test_a_slot_shows_its_row_in_an_epoch_of_the_same_length() -> None:
    rows = toy_rows(8)
    order = ByLength(rows, step=4, seed=0)
    order.fill([0, 1, 2, 3, 4, 5, 0, 0])
    shown = Counter(place.row for place in order)
    assert shown == {0: 3, 1: 1, 2: 1, 3: 1, 4: 1, 5: 1}
    assert len(order) == 8


def test_an_epoch_that_goes_on_keeps_what_was_chosen(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "hard-1.json"
    assert remember(path, lambda: [1, 1]) == [1, 1]
    assert remember(path, lambda: pytest.fail("the weights are others by now")) == [1, 1]
