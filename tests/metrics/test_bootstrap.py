"""The bootstrap: repeatable, close to theory, quick."""

import numpy as np
import pytest

from evalkit.errors import InsufficientData
from evalkit.metrics import bootstrap, proportion


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
