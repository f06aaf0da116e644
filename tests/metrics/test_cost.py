"""Quantiles of time by their definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.errors import InsufficientData
from evalkit.metrics import quantiles

times = st.lists(st.floats(0, 1e6), min_size=1, max_size=60)


def test_by_hand():
    assert quantiles([3.0, 1.0, 2.0, 4.0]) == [2.0, 4.0]
    assert quantiles([float(row) for row in range(1, 101)], (0.07, 0.5, 0.95, 1)) == [
        7,
        50,
        95,
        100,
    ]
    assert quantiles([5.0], (1e-12, 0.5)) == [5.0, 5.0]


@settings(deadline=None, max_examples=60)
@given(times, st.sampled_from([0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 1.0]))
def test_equals_numpys_inverted_distribution(seconds, share):
    assert quantiles(seconds, [share]) == [np.quantile(seconds, share, method="inverted_cdf")]


def test_what_cannot_be_asked():
    with pytest.raises(InsufficientData):
        quantiles([])
    with pytest.raises(ValueError, match="not a number"):
        quantiles([1.0, float("nan")])
    for wrong in (0, 1.5, float("nan")):
        with pytest.raises(ValueError, match="quantile"):
            quantiles([1.0], [wrong])
