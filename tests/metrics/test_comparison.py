"""Comparisons against examples from textbooks, and what has to hold of all of them."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.errors import InsufficientData
from evalkit.metrics import (
    compare_hits,
    compare_statistics,
    holm,
    macro_f1_statistic,
    mean_statistic,
    share,
    share_statistic,
)

CASES = json.loads((Path(__file__).parent / "paired_cases.json").read_text(encoding="utf-8"))

pairs = st.lists(
    st.tuples(st.booleans(), st.booleans(), st.integers(0, 6)), min_size=1, max_size=50
)


def columns(rows):
    return [list(column) for column in zip(*rows, strict=True)]


def hits_of(case):
    first = [True] * (case["both"] + case["first"]) + [False] * (case["second"] + case["neither"])
    second = [True] * case["both"] + [False] * case["first"]
    return first, second + [True] * case["second"] + [False] * case["neither"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_examples_from_textbooks(case):
    compared = compare_hits(*hits_of(case))
    assert compared.difference == pytest.approx(case["difference"], abs=5e-5)
    assert compared.low == pytest.approx(case["low"], abs=1e-4)
    assert compared.high == pytest.approx(case["high"], abs=1e-4)
    # Half a unit of the last digit that is printed; 1/32 lies right on it.
    assert compared.p_value == pytest.approx(case["p_value"], abs=5.001e-5)
    assert (compared.only_first, compared.only_second) == (case["first"], case["second"])
    assert compared.method == "McNemar mid-p"
    assert compared.first == share(hits_of(case)[0])


def test_equal_answers_are_no_certainty():
    compared = compare_hits([True] * 190 + [False] * 10, [True] * 190 + [False] * 10)
    assert (compared.difference, compared.p_value) == (0, 1)
    assert compared.low < 0 < compared.high


def test_one_row_shows_nothing():
    compared = compare_hits([True], [False])
    assert compared.p_value == 0.5  # the mid-p of the most extreme of two outcomes
    assert compared.low < 0 < compared.high <= 1


def test_the_sign_flips_are_all_there_are():
    groups = [0, 0, 0, 1, 1, 2, 3, 3, 4]
    first = [True, True, True, True, True, False, True, False, True]
    second = [False, False, False, False, False, True, True, False, True]
    sums = [3, 2, -1, 0, 0]  # by group; 3 + 2 - 1 = 4
    flipped = [abs(sum(s * d for s, d in zip(signs, sums, strict=True)))
               for signs in product((-1, 1), repeat=5)]  # fmt: skip
    expected = np.mean([1.0 if total > 4 else 0.5 if total == 4 else 0.0 for total in flipped])
    compared = compare_hits(first, second, groups=groups)
    assert compared.p_value == pytest.approx(expected)
    assert compared.method == "McNemar, clustered"
    assert (compared.only_first, compared.only_second, compared.n) == (5, 1, 9)


def test_copies_tell_no_more_than_their_originals():
    first, second = hits_of(CASES[0])
    groups = [row for row in range(len(first)) for _ in range(3)]
    copies = [[hit for hit in hits for _ in range(3)] for hits in (first, second)]
    once, copied = compare_hits(first, second), compare_hits(*copies, groups=groups)
    assert copied.p_value == pytest.approx(once.p_value)
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high), abs=0.002)
    assert compare_hits(*copies).p_value < once.p_value / 5


def test_many_rows_are_quick():
    rng = np.random.default_rng(0)
    first, second = (rng.random(20_000) < 0.8).tolist(), (rng.random(20_000) < 0.8).tolist()
    assert 0 <= compare_hits(first, second, groups=rng.integers(9_000, size=20_000)).p_value <= 1


@settings(deadline=None, max_examples=60)
@given(pairs, st.booleans())
def test_hits_compared_both_ways(rows, grouped):
    first, second, groups = columns(rows)
    groups = groups if grouped else None
    there, back = (
        compare_hits(first, second, groups=groups),
        compare_hits(second, first, groups=groups),
    )
    assert there.difference == -back.difference
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert there.p_value == back.p_value
    assert -1 <= there.low <= there.difference <= there.high <= 1
    assert 0 < there.p_value <= 1
    assert (there.first, there.second) == (back.second, back.first)


@settings(deadline=None, max_examples=60)
@given(pairs, st.randoms())
def test_neither_order_nor_group_numbers_matter(rows, rng):
    names = rng.sample(range(7), 7)
    moved = [(a, b, names[group]) for a, b, group in rng.sample(rows, len(rows))]
    (one, two, groups), (first, second, renamed) = columns(rows), columns(moved)
    here, there = compare_hits(one, two, groups=groups), compare_hits(first, second, groups=renamed)
    assert here.p_value == pytest.approx(there.p_value)
    assert (here.low, here.high) == pytest.approx((there.low, there.high))
    alone = compare_hits(one, two, groups=list(range(len(one))))
    assert alone == compare_hits(one, two)


@settings(deadline=None, max_examples=60)
@given(pairs)
def test_an_interval_of_near_duplicates_is_the_wider(rows):
    first, second, groups = columns(rows)
    plain, clustered = compare_hits(first, second), compare_hits(first, second, groups=groups)
    assert clustered.high - clustered.low >= plain.high - plain.low - 1e-9


def test_no_rows_and_rows_that_do_not_pair():
    with pytest.raises(InsufficientData, match="folder accuracy"):
        compare_hits([], [], asked="folder accuracy")
    with pytest.raises(ValueError, match="shorter"):
        compare_hits([True], [])
    with pytest.raises(ValueError, match="group numbers"):
        compare_hits([True], [True], groups=[1, 2])


TRUTH = ["Work", "Alerts", "Work", "Personal"] * 25
GOOD = [label if row % 10 else "Work" for row, label in enumerate(TRUTH)]
POOR = [label if row % 3 else "Alerts" for row, label in enumerate(TRUTH)]


def compare_macro_f1(first, second, **options):
    statistics = [macro_f1_statistic(TRUTH, said) for said in (first, second)]
    return compare_statistics(*statistics, len(TRUTH), seed=0, **options)


def test_statistics_compared_both_ways():
    there, back = compare_macro_f1(GOOD, POOR), compare_macro_f1(POOR, GOOD)
    assert there.difference == -back.difference > 0
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert there.p_value == pytest.approx(back.p_value)
    assert there.low > 0
    assert there.p_value < 0.05
    assert (there.method, there.n, there.only_first) == ("paired bootstrap", 100, None)
    assert there.first.method == "bootstrap"
    assert there == compare_macro_f1(GOOD, POOR)


@pytest.mark.parametrize("said", [GOOD, TRUTH])
def test_equal_answers_get_no_difference_but_no_certainty(said):
    compared = compare_macro_f1(said, said)
    assert (compared.difference, compared.p_value) == (0, 1)
    assert (compared.low, compared.high) == pytest.approx((-0.0277, 0.0277), abs=1e-3)


def test_a_comparison_of_shares_agrees_with_mcnemars():
    right = [[a == b for a, b in zip(TRUTH, said, strict=True)] for said in (GOOD, POOR)]
    exact = compare_hits(*right)
    drawn = compare_statistics(*map(share_statistic, right), len(TRUTH), seed=0)
    assert drawn.difference == pytest.approx(exact.difference)
    assert (drawn.low, drawn.high) == pytest.approx((exact.low, exact.high), abs=0.01)
    assert drawn.first.low == pytest.approx(share(right[0]).low, abs=0.005)


def test_rows_in_groups_are_drawn_together():
    twice = [row // 2 for row in range(len(TRUTH))]
    plain, clustered = compare_macro_f1(GOOD, POOR), compare_macro_f1(GOOD, POOR, groups=twice)
    assert clustered.method == "paired bootstrap, clustered"
    assert clustered.first.method == "bootstrap, clustered"
    assert clustered.difference == plain.difference
    alone = compare_macro_f1(GOOD, POOR, groups=list(range(100)))
    assert alone == plain
    renamed = compare_macro_f1(GOOD, POOR, groups=[1000 - group for group in twice])
    assert renamed == clustered


def test_the_scale_is_that_of_the_statistic():
    values = [0.0, 4.0, 2.0, 1.0] * 10
    other = [1.0, 3.0, 0.0, 1.0] * 10
    small, large = (
        compare_statistics(
            mean_statistic([v / by for v in values], greatest=4 / by),
            mean_statistic([v / by for v in other], greatest=4 / by),
            40,
            seed=0,
        )
        for by in (4, 1)
    )
    assert large.p_value == pytest.approx(small.p_value)
    assert (large.low, large.high) == pytest.approx((4 * small.low, 4 * small.high))


def test_too_few_rows_for_a_statistic():
    # None is a row outside the denominator, as precision has where a row does not say the value.
    often, once = share_statistic([True] * 100), share_statistic([True] + [None] * 99)
    with pytest.raises(InsufficientData, match="too few rows"):
        compare_statistics(often, once, 100, seed=0)
    with pytest.raises(ValueError, match="not a number"):
        compare_statistics(often, share_statistic([None] * 100), 100, seed=0)


def test_holm_published_example():
    # The documentation of pingouin's multicomp, which checks itself against R's p.adjust.
    adjusted = holm([0.50, 0.003, 0.32, 0.054, 0.0003])
    assert adjusted == pytest.approx([0.64, 0.012, 0.64, 0.162, 0.0015])
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


p_values = st.lists(st.floats(0, 1), max_size=12)


@settings(deadline=None, max_examples=60)
@given(p_values)
def test_holm_lies_between_none_and_bonferroni(values):
    adjusted = holm(values)
    for p, judged in zip(values, adjusted, strict=True):
        assert p <= judged <= min(1, p * len(values)) + 1e-12


@settings(deadline=None, max_examples=50)
@given(p_values, st.randoms())
def test_holm_keeps_the_order(values, rng):
    order = rng.sample(range(len(values)), len(values))
    adjusted = holm(values)
    assert holm([values[place] for place in order]) == [adjusted[place] for place in order]


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan")])
def test_holm_refuses_what_is_no_p_value(wrong):
    with pytest.raises(ValueError, match="p-values"):
        holm([0.5, wrong])
