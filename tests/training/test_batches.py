from __future__ import annotations

import random

import pytest

from evalkit.errors import UserError
from evalkit.training.batches import ByLength, TokenBatches
from evalkit.training.prefix_sharing import Row, SharedPrefixCollator

SHARED = 10


def ragged(count: int, seed: int = 0) -> list[Row]:
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        own = [number, *(draw.randrange(9) for _ in range(draw.randrange(40)))]
        prompt = [*range(100, 100 + SHARED), *own]
        rows.append(Row(input_ids=[*prompt, 7, 8], prompt_length=len(prompt)))
    return rows


@pytest.mark.parametrize("tokens", [60, 200, 1000])
def test_batches_hold_every_row_once_and_no_more_tokens_than_asked(tokens: int):
    rows = ragged(101)
    batches = TokenBatches(rows, tokens, seed=3)
    taken = list(batches)
    assert sorted(index for batch in taken for index in batch) == list(range(101))
    assert len(taken) == len(batches)
    collate = SharedPrefixCollator(0)
    sizes = []
    for batch in taken:
        made = collate([rows[index] for index in batch])
        sizes.append(made["prefix_ids"].numel() + made["input_ids"].numel())
    # Within a batch the prefix may be longer than what all rows share, never shorter.
    assert max(sizes) <= tokens
    # Not one row to a batch, either.
    assert sum(sizes) / len(sizes) > 0.6 * min(tokens, sum(sizes))


def test_every_epoch_has_the_same_batches_in_another_order():
    batches = TokenBatches(ragged(50), 150, seed=1)
    first, again = list(batches), list(batches)
    batches.set_epoch(1)
    second = list(batches)
    assert first == again != second
    assert sorted(first) == sorted(second)
    assert list(TokenBatches(ragged(50), 150, seed=1)) == first
    assert list(TokenBatches(ragged(50), 150, seed=2)) != first


def test_a_row_that_fits_into_no_batch_is_named():
    rows = ragged(20)
    longest = max(len(row["input_ids"]) for row in rows)
    with pytest.raises(UserError, match=f"longest row has {longest} tokens, and 20 are to be"):
        TokenBatches(rows, 20, seed=0)


def test_rows_of_like_length_follow_each_other():
    rows = ragged(640)
    sampler = ByLength(rows, 8, seed=0)
    sampler.set_epoch(0)
    order = list(sampler)
    assert sorted(order) == list(range(640))
    lengths = [len(rows[index]["input_ids"]) for index in order]
    spreads = [max(b) - min(b) for s in range(0, 640, 8) if (b := lengths[s : s + 8])]
    assert sum(spreads) / len(spreads) < 5
