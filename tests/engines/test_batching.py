"""Batches fit, and are halved where they do not."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evalkit.engines.batching import BatchBudget, equal_ones, in_batches
from evalkit.errors import UserError

OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: not enough memory: "
        "you tried to allocate 800000000000 bytes."
    ),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
    MemoryError(),
]


@given(
    st.lists(st.integers(1, 50), max_size=30),
    st.integers(1, 8),
    st.integers(1, 200),
    st.integers(1, 8),
)
def test_every_row_once_and_no_batch_too_large(
    widths: list[int], rows: int, tokens: int, bearable: int
):
    budget = BatchBudget(rows, tokens)
    tried: list[int] = []

    def run(batch: list[int]) -> list[int]:
        tried.append(len(batch))
        assert len(batch) <= rows
        assert len(batch) == 1 or len(batch) * max(widths[i] for i in batch) <= budget.tokens
        if len(batch) > bearable:
            raise MemoryError
        return [widths[i] for i in batch]

    done = list(in_batches(widths, budget, run))
    assert sorted(i for batch, _ in done for i in batch) == list(range(len(widths)))
    assert all(result == [widths[i] for i in batch] for batch, result in done)
    order = [widths[i] for batch, _ in done for i in batch]
    assert order == sorted(order, reverse=True)
    assert budget.rows == rows
    if all(size <= bearable for size in tried):
        assert budget.tokens == tokens


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda e: type(e).__name__)
def test_what_did_not_fit_is_halved_and_remembered(error: Exception):
    budget = BatchBudget(16, 10_000)
    tried: list[int] = []

    def run(batch: list[int]) -> int:
        tried.append(len(batch))
        if len(batch) > 5:
            raise error
        return 0

    assert len(list(in_batches([10] * 20, budget, run))) == 5
    assert tried == [16, 8, 4, 4, 4, 4, 4]
    tried.clear()
    list(in_batches([10] * 8, budget, run))
    assert tried == [4, 4]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda e: type(e).__name__)
def test_a_row_that_does_not_fit_alone_is_a_user_error(error: Exception):
    def run(batch: list[int]) -> int:
        raise error

    with pytest.raises(UserError, match=r"single row of 1,234 tokens\. Shorten") as caught:
        list(in_batches([1234, 7], BatchBudget(4, 10_000), run))
    assert len(str(caught.value).splitlines()) == 1


def test_other_errors_are_not_taken_for_memory():
    def run(batch: list[int]) -> int:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        list(in_batches([3], BatchBudget(4, 100), run))


def test_a_real_allocation_that_fails_is_recognised():
    def run(batch: list[int]) -> int:
        return len(torch.empty(2**62 if len(batch) > 1 else 1, dtype=torch.int8))

    assert [batch for batch, _ in in_batches([9, 8], BatchBudget(4, 100), run)] == [[0], [1]]


@given(st.lists(st.integers(0, 4)))
def test_equal_ones_are_together(keys: list[int]):
    groups = equal_ones(keys)
    assert sorted(i for group in groups for i in group) == list(range(len(keys)))
    assert all(len({keys[i] for i in group}) == 1 for group in groups)
    assert len(groups) == len(set(keys))
