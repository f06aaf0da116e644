"""Bootstrap intervals for numbers that are not plain proportions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from evalkit.errors import InsufficientData
from evalkit.metrics.grouping import group_members, typical_size
from evalkit.metrics.proportions import wilson
from evalkit.records import Estimate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Statistic: TypeAlias = "Callable[[Floats], Floats]"
"""Takes weights (resamples, n), how often each row is in each resample, and returns
(resamples,) values, nan where there is none. All-ones weights give the statistic itself."""


@dataclass(frozen=True)
class BoundedStatistic:
    """A statistic that knows between which bounds it lies."""

    of: Statistic
    least: float = 0.0
    """The least value it can have."""
    greatest: float = 1.0
    rows: float | None = None
    """How many independent rows a plain share would need to be as certain as this is where it
    has its greatest value; all of them by default."""

    def __call__(self, weights: Floats) -> Floats:
        """Return the values of resamples."""
        return self.of(weights)

    @property
    def scale(self) -> float:
        """How far apart the bounds are."""
        return self.greatest - self.least


RESAMPLES = 2_000
MOST_WITHOUT_VALUE = 0.05
"""Resamples without a value are left out, up to this share of them."""
_CELLS = 1_000_000
"""Weights held at once, about 8 MB; a large n is resampled block by block."""


def bootstrap(
    statistic: Statistic,
    n: int,
    *,
    seed: int | np.random.Generator,
    resamples: int = RESAMPLES,
    asked: str = "a statistic",
    groups: Sequence[int] | None = None,
) -> Estimate:
    """Return a statistic of n rows with its 95% bootstrap interval.

    Args:
        statistic: see `Statistic`; a `BoundedStatistic` gets the better interval.
        n: number of rows.
        seed: the same seed gives the same interval.
        resamples: how often to draw n rows with replacement.
        asked: names the number in errors.
        groups: a number per row. Where some rows share one, whole groups are drawn, as many as
            there are, and the method is "bootstrap, clustered".

    The percentiles of few resampled rows are too narrow near a bound, where most resamples look
    alike, and have no width at it. So a `BoundedStatistic` takes from its resamples the
    variance alone. It gets the Wilson interval (on its own scale) of a share of as many rows as
    would have that variance: with the value v and the variance V scaled to [0, 1],
    (v(1 - v) + 2/m) / (V + 2/m²) rows. Without the 2s that is the effective sample size of
    surveys; they count in two rows more, wholly off the value, as `effective_rows` does with
    groups. m is the number of rows behind the statistic (over the typical group size), so that
    a perfect score is as certain as m of m. A mean of hits gets its plain Wilson interval.

    Any other statistic gets its percentiles, widened to hold the value where they miss it, as
    they can for biased statistics of few rows.

    Raises:
        InsufficientData: n is 0, or more than 5% of the resamples have no value.
        ValueError: the statistic itself is not a number, or groups are not one per row.
    """
    values, drawn = draw((statistic,), n, groups, seed=seed, resamples=resamples, asked=asked)
    return describe_draws(statistic, values[0], drawn[0], n, groups, asked=asked)


def share_statistic(hits: Sequence[bool | None]) -> BoundedStatistic:
    """Return the share of hits among the rows that are not None, as a statistic.

    It is nan where all rows are None.
    """
    import numpy as np

    counted = np.array([hit is not None for hit in hits], dtype=np.float64)
    hit = np.array([bool(hit) for hit in hits], dtype=np.float64)

    def of(weights: Floats) -> Floats:
        rows = weights @ counted
        shares: Floats = np.divide(
            weights @ hit, rows, out=np.full_like(rows, np.nan), where=rows > 0
        )
        return shares

    return BoundedStatistic(of, rows=float(counted.sum()) or None)


def mean_statistic(
    values: Sequence[float], *, least: float = 0.0, greatest: float = 1.0
) -> BoundedStatistic:
    """Return the mean of rows' values, which lie between bounds, as a statistic."""
    import numpy as np

    column = np.array(values, dtype=np.float64)
    return BoundedStatistic(
        lambda weights: weights @ column / weights.sum(axis=1), least=least, greatest=greatest
    )


def draw(
    statistics: Sequence[Statistic],
    n: int,
    groups: Sequence[int] | None,
    *,
    seed: int | np.random.Generator,
    resamples: int,
    asked: str,
) -> tuple[list[float], Floats]:
    """Return statistics of n rows, and of the same resamples of them (statistics, resamples).

    Raises as `bootstrap` does, except that values that resamples do not have stay in as nan.
    """
    if n == 0:
        raise InsufficientData(f"{asked}: there is no row to compute it on")
    import numpy as np

    members = group_members(groups, n)
    place = np.arange(n)
    for position, rows in enumerate(members or ()):
        place[rows] = position
    drawable = len(members) if members else n

    values = [float(statistic(np.ones((1, n)))[0]) for statistic in statistics]
    if not np.isfinite(values).all():
        raise ValueError(f"{asked}: not a number")
    drawn = []
    for weights in _blocks(seed, resamples, max(1, _CELLS // n), drawable):
        weights = weights[:, place] if members else weights
        drawn.append(np.stack([statistic(weights) for statistic in statistics]))
    return values, np.concatenate(drawn, axis=1)


def describe_draws(
    statistic: Statistic,
    value: float,
    drawn: Floats,
    n: int,
    groups: Sequence[int] | None,
    *,
    asked: str,
) -> Estimate:
    """Return a statistic with the interval that its resamples (resamples,) give it.

    See `bootstrap`.
    """
    import numpy as np

    drawn = with_value(drawn, asked)
    members = group_members(groups, n)
    if isinstance(statistic, BoundedStatistic):
        rows = max((statistic.rows or n) / (typical_size(members) if members else 1), 1.0)
        share = min(max((value - statistic.least) / statistic.scale, 0.0), 1.0)
        variance = float(drawn.var()) / statistic.scale**2
        effective = (share * (1 - share) + 2 / rows) / (variance + 2 / rows**2)
        ends = wilson(share, max(effective, 1.0))
        low, high = (statistic.least + statistic.scale * end for end in ends)
    else:
        low, high = (float(end) for end in np.quantile(drawn, [0.025, 0.975]))
    method = "bootstrap, clustered" if members else "bootstrap"
    clusters = len(members) if members else None
    return Estimate(value, n, min(low, value), max(high, value), method, clusters=clusters)


def with_value(drawn: Floats, asked: str) -> Floats:
    """Return the resamples in which a statistic is a number.

    Raises `InsufficientData` where more than 5% are not.
    """
    import numpy as np

    finite: Floats = drawn[np.isfinite(drawn)]
    if len(finite) < (1 - MOST_WITHOUT_VALUE) * len(drawn):
        raise InsufficientData(
            f"{asked}: not a number on {len(drawn) - len(finite)} of {len(drawn)} resamples; "
            "there are too few rows"
        )
    return finite


def _blocks(
    seed: int | np.random.Generator, resamples: int, block: int, n: int
) -> Iterator[Floats]:
    """Draw n rows with replacement, `resamples` times; yield counts (at most `block`, n)."""
    import numpy as np

    if resamples <= block and isinstance(seed, int):
        yield _weights_of(seed, resamples, n)
        return
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, block):
        yield _weights(rng, min(block, resamples - start), n)


@lru_cache(maxsize=4)
def _weights_of(seed: int, resamples: int, n: int) -> Floats:
    """The same for every metric of the same rows: drawing takes longer than most of them."""
    import numpy as np

    weights = _weights(np.random.default_rng(seed), resamples, n)
    weights.flags.writeable = False
    return weights


def _weights(rng: np.random.Generator, resamples: int, n: int) -> Floats:
    """Draw n rows with replacement, `resamples` times; return counts (resamples, n)."""
    import numpy as np

    rows = rng.integers(n, size=(resamples, n))
    rows += np.arange(resamples)[:, None] * n
    counts = np.bincount(rows.ravel(), minlength=resamples * n)
    return counts.reshape(resamples, n).astype(np.float64)
