"""Proportions against published Wilson intervals."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.errors import InsufficientData
from evalkit.metrics import effective_rows, proportion, share

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


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_interval_holds_the_value_and_lies_in_0_to_1(counts):
    estimate = proportion(*counts)
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 50))
def test_interval_narrows_with_more_rows(successes):
    few, many = proportion(successes, 50), proportion(successes * 10, 500)
    assert many.high - many.low < few.high - few.low


rows = st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=1, max_size=60)


def unzip(pairs):
    hits, groups = zip(*pairs, strict=True)
    return list(hits), list(groups)


def test_rows_on_their_own_get_the_plain_interval():
    hits = [True, True, False]
    assert share(hits) == share(hits, groups=[4, 2, 9]) == proportion(2, 3)


@pytest.mark.parametrize("right", [0, 1, 80, 99, 100])
def test_copies_tell_no_more_than_their_originals(right):
    originals = [True] * right + [False] * (100 - right)
    groups = [row for row in range(100) for _ in range(3)]
    copied = share([hit for hit in originals for _ in range(3)], groups=groups)
    once = share(originals)
    assert (copied.value, copied.n, copied.method) == (once.value, 300, "wilson, clustered")
    assert copied.low == pytest.approx(once.low, abs=0.002)
    assert copied.high == pytest.approx(once.high, abs=0.002)


def test_perfect_rows_count_by_their_groups():
    # Groups of 1, 1 and 4 that always agree are worth 6²/(1 + 1 + 16) rows, less for being few.
    assert 1 <= effective_rows([True] * 6, [0, 1, 2, 2, 2, 2]) < 2
    perfect = share([True] * 200, groups=[row // 2 for row in range(200)])
    assert perfect.high == 1
    assert perfect.low == pytest.approx(proportion(100, 100).low, abs=0.001)


def test_one_mistake_more_never_raises_the_lower_end():
    groups = [row // 4 for row in range(200)]
    lows = [share([row >= wrong for row in range(200)], groups=groups).low for wrong in range(40)]
    assert lows == sorted(lows, reverse=True)


def test_a_single_group_is_one_row():
    assert effective_rows([True, True, False], [0, 0, 0]) == 1


def test_effective_rows_without_rows():
    with pytest.raises(InsufficientData, match="effective rows"):
        effective_rows([], [])


@settings(deadline=None, max_examples=60)
@given(rows)
def test_a_clustered_interval_holds_the_plain_one(pairs):
    hits, groups = unzip(pairs)
    plain, clustered = share(hits), share(hits, groups=groups)
    assert 0 <= clustered.low <= plain.low <= plain.value <= plain.high <= clustered.high <= 1
    assert 1 <= effective_rows(hits, groups) <= len(hits)


@settings(deadline=None, max_examples=60)
@given(rows, st.randoms())
def test_neither_order_nor_group_numbers_matter(pairs, rng: random.Random):
    names = rng.sample(range(9), 9)
    shuffled = [(hit, names[group]) for hit, group in rng.sample(pairs, len(pairs))]
    first, again = (share(h, groups=g) for h, g in map(unzip, (pairs, shuffled)))
    assert (first.value, first.method) == (again.value, again.method)
    assert (first.low, first.high) == pytest.approx((again.low, again.high))


@settings(deadline=None, max_examples=60)
@given(rows)
def test_misses_mirror_hits(pairs):
    hits, groups = unzip(pairs)
    right, wrong = share(hits, groups=groups), share([not hit for hit in hits], groups=groups)
    assert (right.low, right.high) == pytest.approx((1 - wrong.high, 1 - wrong.low))
