"""Bootstrap intervals for numbers that are not plain proportions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from evalkit.errors import InsufficientData
from evalkit.records import Estimate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

RESAMPLES = 2_000
_CELLS = 1_000_000
"""Weights held at once, about 8 MB; a large n is resampled block by block."""


def bootstrap(
    statistic: Callable[[Floats], Floats],
    n: int,
    *,
    seed: int | np.random.Generator,
    resamples: int = RESAMPLES,
    asked: str = "a statistic",
) -> Estimate:
    """Return a statistic of n rows with its 95% percentile bootstrap interval.

    Args:
        statistic: takes weights (resamples, n), how often each row stands in each resample,
            and returns (resamples,) values. All-ones weights give the statistic itself.
        n: number of rows.
        seed: the same seed gives the same interval.
        resamples: how often to draw n rows with replacement.
        asked: names the number in errors.

    The interval is widened to hold the value where the percentiles miss it, as they can for
    biased statistics of few rows. A statistic that no resample changes (all right, all wrong)
    gets an interval of no width: judge the accuracy's Wilson interval beside it.

    Raises:
        InsufficientData: n is 0.
        ValueError: the statistic is not a number on some resample.

    """
    if n == 0:
        raise InsufficientData(f"{asked}: there is no row to compute it on")
    import numpy as np

    rng = np.random.default_rng(seed)
    value = float(statistic(np.ones((1, n)))[0])
    block = max(1, _CELLS // n)
    sizes = [min(block, resamples - start) for start in range(0, resamples, block)]
    drawn = np.concatenate([statistic(_weights(rng, size, n)) for size in sizes])
    low, high = np.quantile(drawn, [0.025, 0.975])
    if not np.isfinite([value, low, high]).all():
        raise ValueError(f"{asked}: not a number on some resample")
    return Estimate(value, n, min(float(low), value), max(float(high), value), "bootstrap")


def _weights(rng: np.random.Generator, resamples: int, n: int) -> Floats:
    """Draw n rows with replacement, `resamples` times; return counts (resamples, n)."""
    import numpy as np

    rows = rng.integers(n, size=(resamples, n))
    rows += np.arange(resamples)[:, None] * n
    counts = np.bincount(rows.ravel(), minlength=resamples * n)
    return counts.reshape(resamples, n).astype(np.float64)
