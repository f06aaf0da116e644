from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evalkit.engines.side_by_side import MOST_LANES, in_equal_parts, lanes, side_by_side

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def six_threads() -> Iterator[None]:
    torch.set_num_threads(6)
    yield
    torch.set_num_threads(1)


def test_as_many_lanes_as_there_are_cores_but_not_too_many():
    assert lanes(CPU) == MOST_LANES
    torch.set_num_threads(3)
    assert lanes(CPU) == 3
    torch.set_num_threads(1)
    assert lanes(CPU) == 1
    assert lanes(torch.device("meta")) == 1


@given(st.lists(st.integers(1, 50), min_size=1), st.integers(1, 6))
def test_parts_are_of_about_equal_size(sizes: list[int], at_a_time: int):
    parts = [sizes[part] for part in in_equal_parts(sizes, at_a_time)]
    assert [size for part in parts for size in part] == sizes
    assert all(parts)
    assert len(parts) <= at_a_time
    assert all(sum(part) <= sum(sizes) / at_a_time + max(sizes) for part in parts)


def test_results_come_in_the_order_of_the_parts():
    def late(number: int) -> int:
        time.sleep(0.02 * (5 - number))
        return number

    assert side_by_side([partial(late, n) for n in range(5)], 3) == [0, 1, 2, 3, 4]


def test_parts_are_computed_at_the_same_time():
    meeting = threading.Barrier(3, timeout=30)
    assert sorted(side_by_side([meeting.wait] * 3, 3)) == [0, 1, 2]


@pytest.mark.parametrize(("count", "at_a_time"), [(1, 3), (4, 1)])
def test_one_part_or_one_lane_stays_here_with_all_cores(count: int, at_a_time: int):
    def where() -> tuple[int, int]:
        return threading.get_ident(), torch.get_num_threads()

    assert side_by_side([where] * count, at_a_time) == [(threading.get_ident(), 6)] * count


def test_each_lane_has_its_share_of_the_cores_and_nothing_else_changes():
    assert side_by_side([torch.get_num_threads] * 8, 3) == [2] * 8
    assert torch.get_num_threads() == 6
    found: list[int] = []
    new = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    new.start()
    new.join()
    assert found == [6]


@pytest.mark.parametrize("on", [True, False])
def test_parts_are_in_the_callers_mode(on: bool):
    with torch.inference_mode(on):
        assert side_by_side([torch.is_inference_mode_enabled] * 4, 2) == [on] * 4


def test_the_first_error_is_raised_when_all_parts_have_ended():
    ended: list[int] = []

    def part(number: int) -> None:
        time.sleep(0.03 * number)
        ended.append(number)
        if number in (1, 2):
            raise ValueError(str(number))

    with pytest.raises(ValueError, match="1"):
        side_by_side([partial(part, n) for n in range(4)], 2)
    assert sorted(ended) == [0, 1, 2, 3]
