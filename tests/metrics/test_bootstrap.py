"""The bootstrap: repeatable, close to theory, quick."""

import numpy as np
import pytest

from evalkit.errors import InsufficientData
from evalkit.metrics import BoundedStatistic, bootstrap, mean_statistic, proportion, share_statistic


def mean_of(sample):
    return lambda weights: weights @ sample / weights.sum(axis=1)


SAMPLE = (np.arange(400) % 4 == 0).astype(float)


def test_the_same_seed_gives_the_same_interval():
    first, again, other = (bootstrap(mean_of(SAMPLE), 400, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert (first.low, first.high) != (other.low, other.high)


def test_a_generator_may_be_passed():
    made = bootstrap(mean_of(SAMPLE), 400, seed=np.random.default_rng(1))
    assert made == bootstrap(mean_of(SAMPLE), 400, seed=1)


def test_a_mean_gets_about_its_wilson_interval():
    estimate, wilson = bootstrap(mean_of(SAMPLE), 400, seed=0), proportion(100, 400)
    assert estimate.value == 0.25
    assert estimate.low == pytest.approx(wilson.low, abs=0.004)
    assert estimate.high == pytest.approx(wilson.high, abs=0.004)
    assert (estimate.n, estimate.method, estimate.successes) == (400, "bootstrap", None)


def test_every_resample_draws_n_rows():
    totals = []

    def watch(weights):
        totals.extend(weights.sum(axis=1))
        return weights[:, 0]

    bootstrap(watch, 7, seed=0, resamples=50)
    assert totals == [7] * 51  # the rows themselves, and 50 resamples


def test_many_rows_are_resampled_block_by_block():
    shapes = []

    def watch(weights):
        shapes.append(weights.shape)
        return weights[:, 0]

    bootstrap(watch, 30_000, seed=0, resamples=70)
    assert sum(rows for rows, _ in shapes) == 71
    assert max(rows for rows, _ in shapes) < 70


def test_the_interval_holds_a_value_that_the_percentiles_miss():
    # A resample has fewer distinct rows than the sample: every percentile lies below the value.
    estimate = bootstrap(lambda weights: (weights > 0).mean(axis=1), 50, seed=0)
    assert estimate.value == estimate.high == 1.0


def test_no_rows_is_no_number():
    with pytest.raises(InsufficientData, match="macro-F1"):
        bootstrap(mean_of(SAMPLE), 0, seed=0, asked="macro-F1")


def test_not_a_number_is_refused():
    with pytest.raises(ValueError, match="not a number"):
        bootstrap(lambda weights: np.full(len(weights), np.nan), 3, seed=0)


def only_with_row(row):
    return lambda weights: np.where(weights[:, row] > 0, weights[:, 0], np.nan)


def test_a_statistic_that_many_resamples_lack_has_too_few_rows():
    # A row is left out of a resample with probability 1/e.
    with pytest.raises(InsufficientData, match=r"odds: not a number on 7\d\d of 2000 resamples"):
        bootstrap(only_with_row(3), 30, seed=0, asked="odds")


def test_a_statistic_that_a_few_resamples_lack_goes_without_them():
    # Each of four rows is left out of some resamples, all four of them in 1.6%.
    hits = [None] * 36 + [True, False, True, True]
    assert bootstrap(share_statistic(hits), 40, seed=0).value == 0.75


@pytest.mark.parametrize("right", [0, 1, 7, 50, 100])
def test_a_bounded_mean_of_hits_gets_its_wilson_interval(right):
    hits = [1.0] * right + [0.0] * (100 - right)
    estimate = bootstrap(mean_statistic(hits), 100, seed=0, resamples=20_000)
    wilson = proportion(right, 100)
    assert estimate.low == pytest.approx(wilson.low, abs=0.002)
    assert estimate.high == pytest.approx(wilson.high, abs=0.002)


def test_a_perfect_score_is_not_certain():
    perfect = BoundedStatistic(lambda weights: np.ones(len(weights)), rows=30)
    estimate = bootstrap(perfect, 100, seed=0)
    assert (estimate.low, estimate.high) == pytest.approx((proportion(30, 30).low, 1))
    grouped = bootstrap(perfect, 100, seed=0, groups=[row // 2 for row in range(100)])
    assert grouped.low == pytest.approx(proportion(15, 15).low)


def test_bounds_scale_the_interval():
    shares = bootstrap(mean_statistic([0.0, 0.5, 1.0, 1.0]), 4, seed=0)
    levels = bootstrap(mean_statistic([0.0, 2.0, 4.0, 4.0], greatest=4), 4, seed=0)
    assert (levels.low, levels.high) == pytest.approx((4 * shares.low, 4 * shares.high))


def test_whole_groups_are_drawn():
    counts = []

    def watch(weights):
        counts.extend(weights[1:].tolist())
        return weights[:, 0]

    estimate = bootstrap(watch, 5, seed=0, resamples=50, groups=[3, 1, 3, 1, 1])
    assert estimate.method == "bootstrap, clustered"
    assert all(row[0] == row[2] and row[1] == row[3] == row[4] for row in counts)
    assert {row[0] + row[1] for row in counts} == {2}


def test_groups_of_one_row_are_no_groups():
    alone = bootstrap(mean_of(SAMPLE), 400, seed=0, groups=range(400, 0, -1))
    assert alone == bootstrap(mean_of(SAMPLE), 400, seed=0)


def test_copies_tell_no_more_than_their_originals():
    groups = [row for row in range(400) for _ in range(4)]
    copied = bootstrap(mean_statistic(np.repeat(SAMPLE, 4)), 1600, seed=0, groups=groups)
    wilson = proportion(100, 400)
    assert copied.low == pytest.approx(wilson.low, abs=0.004)
    assert copied.high == pytest.approx(wilson.high, abs=0.004)
