"""Proportions against published Wilson intervals."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import InsufficientData
from evalkit.metrics import proportion

CASES = json.loads((Path(__file__).parent / "wilson_cases.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_wilson_interval(case):
    estimate = proportion(case["successes"], case["n"])
    assert round(estimate.low, 4) == case["low"]
    assert round(estimate.high, 4) == case["high"]
    assert estimate.value == case["successes"] / case["n"]
    assert (estimate.n, estimate.successes) == (case["n"], case["successes"])
    assert estimate.method == "wilson"


def test_no_rows_is_no_number():
    with pytest.raises(InsufficientData, match="parse failure rate"):
        proportion(0, 0, asked="parse failure rate")


@pytest.mark.parametrize(("successes", "n"), [(2, 1), (-1, 5), (0, -1)])
def test_impossible_counts(successes, n):
    with pytest.raises(ValueError, match="not a proportion"):
        proportion(successes, n)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_interval_holds_the_value_and_lies_in_0_to_1(counts):
    estimate = proportion(*counts)
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


@given(st.integers(0, 50))
def test_interval_narrows_with_more_rows(successes):
    few, many = proportion(successes, 50), proportion(successes * 10, 500)
    assert many.high - many.low < few.high - few.low
