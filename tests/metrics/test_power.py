"""Power: against simulation, published sizes, and the intervals themselves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from evalkit.errors import InsufficientData
from evalkit.metrics import (
    cases_to_settle,
    detectable_drop,
    effective_rows,
    independent_rows,
    paired_detectable_difference,
    proportion,
    share,
)
from evalkit.metrics.proportions import wilson
from evalkit.records import Estimate

shares = st.floats(0.01, 0.99)


@pytest.mark.parametrize(("n", "value"), [(30, 0.6), (100, 0.8), (200, 0.9), (500, 0.99)])
def test_a_drop_is_noticed_as_often_as_promised(n, value):
    drop = detectable_drop(n, value)
    counts = np.random.default_rng(0).binomial(n, value - drop, size=20_000)
    rejects = [binomtest(k, n, value, alternative="less").pvalue <= 0.05 for k in range(n + 1)]
    assert np.mean(np.array(rejects)[counts]) == pytest.approx(0.8, abs=0.01)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 400), shares, st.floats(0.5, 0.95), st.floats(0.01, 0.2))
def test_a_drop_has_the_power_and_no_smaller_one_has(n, value, power, alpha):
    drop = detectable_drop(n, value, power=power, alpha=alpha)
    rejected = np.flatnonzero(binom.cdf(np.arange(n + 1), n, value) <= alpha)
    if not len(rejected):
        assert drop is None
    else:
        assert binom.cdf(rejected.max(), n, value - drop) == pytest.approx(power)


@settings(deadline=None, max_examples=60)
@given(st.integers(20, 2000), shares)
def test_a_rarer_miss_asks_for_a_larger_drop(n, value):
    often, rarely = (detectable_drop(n, value, power=power) for power in (0.8, 0.9))
    assert often is None or 0 < often < rarely <= value


def test_a_perfect_threshold_notices_the_first_miss():
    # One miss of 100 rejects 100%; it is seen in 80% where 0.2 = (1 - drop)^100.
    assert detectable_drop(100, 1.0) == pytest.approx(1 - 0.2**0.01)


@pytest.mark.parametrize(("n", "value"), [(4, 0.5), (100, 0.0), (1, 0.9)])
def test_too_few_cases_notice_no_drop_at_all(n, value):
    assert detectable_drop(n, value) is None


@pytest.mark.parametrize(("value", "threshold"), [(0.83, 0.8), (0.76, 0.8), (1, 0.99), (0, 0.01)])
def test_the_interval_settles_at_that_number_of_cases(value, threshold):
    n = cases_to_settle(value, threshold, n_now=10, power=0.5)
    low, high = wilson(value, n)
    assert not low <= threshold <= high
    low, high = wilson(value, n - 1)
    assert low <= threshold <= high


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), shares)
def test_what_is_settled_stays_so(counts, threshold):
    estimate = proportion(*counts)
    needed = cases_to_settle(estimate.value, threshold, n_now=estimate.n, power=0.5)
    settled = not estimate.low <= threshold <= estimate.high
    assert (needed == estimate.n) == settled or needed is None


@pytest.mark.parametrize(("value", "threshold"), [(0.83, 0.8), (0.76, 0.8), (0.45, 0.5)])
@pytest.mark.parametrize("power", [0.5, 0.8])
def test_a_new_sample_of_that_many_settles_it_that_often(value, threshold, power):
    n = cases_to_settle(value, threshold, n_now=10, power=power)
    hits = np.arange(n + 1)
    ends = [wilson(hit / n, n) for hit in hits]
    settles = [not low <= threshold <= high for low, high in ends]
    assert binom.pmf(hits, n, value)[settles].sum() == pytest.approx(power, abs=0.03)


def test_no_number_of_cases_settles_a_value_on_its_threshold():
    assert cases_to_settle(0.8, 0.8, n_now=100) is None
    assert cases_to_settle(0.1 + 0.2, 0.3, n_now=100) is None
    assert cases_to_settle(0.8001, 0.8, n_now=100) is None  # more than a million
    assert cases_to_settle(0.01, 0.0, n_now=100) == 100


@pytest.mark.parametrize(("n", "discordant", "difference"), [(155, 0.45, 0.15), (23, 0.5, 0.4)])
def test_published_sample_sizes(n, discordant, difference):
    # Pairs that calculators built on Connor's formula ask for, two-sided at 5% with 80% power.
    found = paired_detectable_difference(n, discordant)
    assert found <= difference < paired_detectable_difference(n - 1, discordant)


@settings(deadline=None, max_examples=60)
@given(st.integers(10, 5000), st.floats(0.01, 1))
def test_more_rows_find_smaller_differences(n, discordant):
    few, many = (paired_detectable_difference(rows, discordant) for rows in (n, 2 * n))
    assert few is None or 0 < many < few <= discordant


def test_too_few_rows_find_no_difference_at_all():
    assert paired_detectable_difference(10, 0.1) is None
    assert paired_detectable_difference(1, 1.0) is None
    assert paired_detectable_difference(100, 0.0) is None


def test_what_cannot_be_asked():
    with pytest.raises(InsufficientData):
        detectable_drop(0, 0.5)
    with pytest.raises(InsufficientData):
        paired_detectable_difference(0, 0.5)
    for call in (
        lambda: detectable_drop(10, 1.2),
        lambda: detectable_drop(10, 0.5, power=1.0),
        lambda: paired_detectable_difference(10, -0.1),
        lambda: paired_detectable_difference(10, 0.1, alpha=0),
        lambda: cases_to_settle(float("nan"), 0.5, n_now=1),
        lambda: cases_to_settle(0.5, 1.5, n_now=1),
        lambda: cases_to_settle(0.5, 0.6, n_now=-1),
    ):
        with pytest.raises(ValueError, match=r"share|power|count"):
            call()


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_independent_rows_are_all_of_them(counts):
    assert independent_rows(proportion(*counts)) == counts[1]


def test_near_duplicates_are_fewer_rows():
    hits = [row // 3 % 5 > 0 for row in range(210)]
    groups = [row // 3 for row in range(210)]
    expected = effective_rows(hits, groups)
    assert independent_rows(share(hits, groups=groups)) == int(expected) == 67


def test_only_shares_are_worth_rows():
    with pytest.raises(ValueError, match="not a share"):
        independent_rows(Estimate(1.5, 10, 1.2, 1.8, "bootstrap"))
