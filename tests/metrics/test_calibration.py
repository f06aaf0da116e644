"""Calibration: by hand and against scikit-learn."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from evalkit.errors import InsufficientData
from evalkit.metrics import (
    accuracy_at_coverage,
    brier,
    expected_calibration_error,
    proportion,
    reliability_curve,
)

answers = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


def unzip(pairs):
    confidences, correct = zip(*pairs, strict=True)
    return list(confidences), list(correct)


def test_calibration_error_by_hand():
    # In [0.6, 0.7): confidence 0.65 and accuracy 0.5; in the last bin: 0.975 and 1.
    confidences, correct = [0.6, 0.7 - 1e-9, 0.95, 1.0], [True, False, True, True]
    estimate = expected_calibration_error(confidences, correct)
    assert estimate.value == pytest.approx((2 * 0.15 + 2 * 0.025) / 4)
    assert (estimate.n, estimate.method) == (4, "bootstrap")
    one_bin = expected_calibration_error(confidences, correct, bins=1)
    assert one_bin.value == pytest.approx(abs(sum(confidences) / 4 - 0.75))


@settings(deadline=None, max_examples=50)
@given(answers)
def test_brier_equals_scikit_learns(pairs):
    confidences, correct = unzip(pairs)
    expected = brier_score_loss(correct, confidences, pos_label=True)
    assert brier(confidences, correct).value == pytest.approx(expected)


@settings(deadline=None, max_examples=50)
@given(answers)
def test_the_curve_equals_scikit_learns(pairs):
    # scikit-learn's bins are closed above; away from the edges the two agree.
    confidences, correct = unzip([(0.001 + 0.998 * c, hit) for c, hit in pairs])
    inside = [c for c in confidences if abs(10 * c - round(10 * c)) > 1e-6]
    if len(inside) < len(confidences):
        return
    accuracies, means = calibration_curve(correct, confidences, n_bins=10)
    curve = reliability_curve(confidences, correct)
    assert [one.accuracy.value for one in curve] == pytest.approx(list(accuracies))
    assert [one.mean_confidence for one in curve] == pytest.approx(list(means))


@settings(deadline=None, max_examples=50)
@given(answers, st.integers(1, 15))
def test_the_curve_sums_up_to_the_error(pairs, bins):
    confidences, correct = unzip(pairs)
    curve = reliability_curve(confidences, correct, bins=bins)
    assert sum(one.accuracy.n for one in curve) == len(pairs)
    assert all(one.low <= one.mean_confidence <= one.high + 1e-12 for one in curve)
    error = sum(one.accuracy.n * abs(one.accuracy.value - one.mean_confidence) for one in curve)
    estimate = expected_calibration_error(confidences, correct, bins=bins)
    assert estimate.value == pytest.approx(error / len(pairs))
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


@settings(deadline=None, max_examples=30)
@given(answers, st.randoms())
def test_the_order_of_rows_does_not_matter(pairs, rng):
    groups = [rng.randrange(6) for _ in pairs]
    order = rng.sample(range(len(pairs)), len(pairs))
    moved, regrouped = unzip([pairs[row] for row in order]), [groups[row] for row in order]
    for metric in (brier, expected_calibration_error):
        assert metric(*unzip(pairs), groups=groups) == metric(*moved, groups=regrouped)


def test_accuracy_on_the_most_confident():
    confidences = [0.9, 0.5, 0.8, 0.7, 0.6]
    correct = [True, False, True, True, False]
    half, most, all_ = accuracy_at_coverage(confidences, correct, [0.5, 0.8, 1])
    assert (half.threshold, half.coverage, half.asked) == (0.7, 0.6, 0.5)
    assert half.accuracy == proportion(3, 3)
    assert (most.threshold, most.accuracy) == (0.6, proportion(3, 4))
    assert (all_.coverage, all_.accuracy) == (1, proportion(3, 5))


def test_rows_of_one_confidence_stay_together():
    confidences, correct = [0.9, 0.8, 0.8, 0.8, 0.1], [True, True, False, True, False]
    (point,) = accuracy_at_coverage(confidences, correct, [0.4])
    assert (point.coverage, point.accuracy) == (0.8, proportion(3, 4))
    (reordered,) = accuracy_at_coverage(confidences[::-1], correct[::-1], [0.4])
    assert reordered == point


def test_a_share_of_rows_is_not_rounded_up_by_binary_fractions():
    confidences = [row / 100 for row in range(100)]
    (point,) = accuracy_at_coverage(confidences, [True] * 100, [0.07])
    assert point.accuracy.n == 7
    (least,) = accuracy_at_coverage(confidences, [True] * 100, [1e-12])
    assert least.accuracy.n == 1


def test_near_duplicates_are_grouped():
    confidences, correct, groups = [0.95] * 6, [True] * 6, [0, 0, 1, 1, 2, 2]
    assert brier(confidences, correct, groups=groups).method == "bootstrap, clustered"
    (one,) = reliability_curve(confidences, correct, groups=groups)
    (point,) = accuracy_at_coverage(confidences, correct, [0.5], groups=groups)
    assert one.accuracy == point.accuracy
    assert one.accuracy.method == "wilson, clustered"


METRICS = [
    expected_calibration_error,
    brier,
    reliability_curve,
    lambda confidences, correct: accuracy_at_coverage(confidences, correct, [0.5]),
]


@pytest.mark.parametrize("metric", METRICS)
def test_what_cannot_be_measured(metric):
    with pytest.raises(InsufficientData):
        metric([], [])
    for wrong in (1.01, -0.01, float("nan")):
        with pytest.raises(ValueError, match="not a probability"):
            metric([0.5, wrong], [True, True])
    with pytest.raises(ValueError, match="2 confidences for 1 answers"):
        metric([0.5, 0.5], [True])


def test_bins_and_coverages_have_to_make_sense():
    with pytest.raises(ValueError, match="bins"):
        reliability_curve([0.5], [True], bins=0)
    for wrong in (0, 1.1, float("nan")):
        with pytest.raises(ValueError, match="coverage"):
            accuracy_at_coverage([0.5], [True], [wrong])
