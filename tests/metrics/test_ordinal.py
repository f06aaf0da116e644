"""Ordinal fields: by hand and against scikit-learn."""

import random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from evalkit.errors import InsufficientData
from evalkit.metrics import (
    mean_absolute_error,
    mean_absolute_error_statistic,
    proportion,
    quadratic_kappa,
    quadratic_kappa_statistic,
)
from evalkit.records import Missing, OutOfEnum

LEVELS = ("low", "medium", "high")
FAILURES = (None, Missing(), OutOfEnum("urgent"))
SCALE = (1, 2, 3, 4, 5)

rows = st.lists(st.tuples(st.sampled_from(SCALE), st.sampled_from(SCALE)), min_size=2, max_size=40)
broken_rows = st.lists(
    st.tuples(st.sampled_from(SCALE), st.sampled_from(SCALE + FAILURES)), min_size=1, max_size=40
)


def unzip(pairs):
    truth, said = zip(*pairs, strict=True)
    return truth, said


def test_mean_absolute_error_by_hand():
    truth = ("low", "low", "high", "medium", "high")
    said = ("low", "high", "medium", None, OutOfEnum("urgent"))
    estimate = mean_absolute_error(truth, said, LEVELS)
    assert estimate.value == (0 + 2 + 1 + 1 + 2) / 5
    assert (estimate.n, estimate.method) == (5, "bootstrap")
    assert 0 <= estimate.low < estimate.value < estimate.high <= 2


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize(("was", "farthest"), [(1, 5), (2, 5), (3, 5), (4, 1), (5, 1)])
def test_an_unreadable_answer_is_the_farthest_level(failure, was, farthest):
    truth, said = (1, 3, 4, was), (1, 4, 4, failure)
    for metric in (mean_absolute_error, quadratic_kappa):
        assert metric(truth, said, SCALE) == metric(truth, (1, 4, 4, farthest), SCALE)


@settings(deadline=None, max_examples=50)
@given(rows)
def test_readable_answers_equal_scikit_learns(pairs):
    truth, said = unzip(pairs)
    error = mean_absolute_error(truth, said, SCALE).value
    assert error == pytest.approx(sklearn_metrics.mean_absolute_error(truth, said))
    assume(len({*truth, *said}) > 1)
    expected = sklearn_metrics.cohen_kappa_score(
        truth, said, weights="quadratic", labels=list(SCALE)
    )
    ones = np.ones((1, len(truth)))
    assert quadratic_kappa_statistic(truth, said, SCALE)(ones)[0] == pytest.approx(expected)


@settings(deadline=None, max_examples=50)
@given(broken_rows, st.randoms())
def test_the_order_of_rows_does_not_matter(pairs, rng: random.Random):
    groups = [rng.randrange(6) for _ in pairs]
    order = rng.sample(range(len(pairs)), len(pairs))
    moved = unzip([pairs[row] for row in order])
    one = mean_absolute_error(*unzip(pairs), SCALE, groups=groups)
    assert one == mean_absolute_error(*moved, SCALE, groups=[groups[row] for row in order])
    assert 0 <= one.low <= one.value <= one.high <= 4


@settings(deadline=None, max_examples=60)
@given(broken_rows, st.sampled_from(FAILURES), st.data())
def test_leaving_an_answer_out_never_helps(pairs, failure, data):
    truth, said = unzip(pairs)
    broken = list(said)
    broken[data.draw(st.integers(0, len(said) - 1))] = failure
    ones = np.ones((1, len(truth)))
    before, after = (
        mean_absolute_error_statistic(truth, s, SCALE)(ones)[0] for s in (said, broken)
    )
    assert after >= before


def test_perfect_answers_are_not_certain():
    truth = SCALE * 20
    error, kappa = mean_absolute_error(truth, truth, SCALE), quadratic_kappa(truth, truth, SCALE)
    assert (error.value, error.low) == (0, 0)
    assert error.high == pytest.approx(4 * proportion(0, 100).high)
    assert (kappa.value, kappa.high) == (1, 1)
    # The mean squared distance by chance is 4, of at most 16: kappa could fall to -3.
    assert kappa.low == pytest.approx(1 - 4 * (1 - proportion(100, 100).low))


def test_kappa_is_0_by_chance_and_less_below_it():
    assert quadratic_kappa((1, 1, 5, 5) * 20, (1, 5, 1, 5) * 20, SCALE).value == pytest.approx(0)
    opposite = quadratic_kappa((1, 5) * 40, (5, 1) * 40, SCALE)
    assert opposite.value == pytest.approx(-1)
    assert opposite.low <= -1 < opposite.high


def test_kappa_needs_two_levels():
    with pytest.raises(InsufficientData, match="two levels"):
        quadratic_kappa((2, 2, 2), (2, 2, 2), SCALE)
    with pytest.raises(InsufficientData, match="two levels"):
        quadratic_kappa((), (), SCALE)
    with pytest.raises(InsufficientData, match="too few rows"):
        quadratic_kappa((1,) + (2,) * 9, (2,) * 10, SCALE)
    with pytest.raises(InsufficientData, match="mean absolute error"):
        mean_absolute_error((), (), SCALE)


@pytest.mark.parametrize("metric", [mean_absolute_error, quadratic_kappa])
@pytest.mark.parametrize(("truth", "said"), [((9,), (1,)), ((1,), (9,))])
def test_levels_that_are_not_on_the_scale(metric, truth, said):
    with pytest.raises(ValueError, match="9 is not among the values"):
        metric(truth, said, SCALE)
