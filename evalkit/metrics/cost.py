"""How long answers take."""

from __future__ import annotations

import math
from collections.abc import Sequence

from evalkit.errors import InsufficientData


def quantiles(seconds: Sequence[float], at: Sequence[float] = (0.5, 0.95)) -> list[float]:
    """Return the times that certain shares of rows stay within, in seconds.

    By nearest rank: the least time measured that at least that share of rows does not exceed
    (the inverse of the empirical distribution, definition 1 of Hyndman and Fan, The American
    Statistician 50, 361-365, 1996). So each is the time of a row, the median of two rows is the
    lesser, and 1 gives the longest.

    Args:
        seconds: one per row.
        at: shares above 0 and up to 1.

    Raises:
        InsufficientData: there are no rows.
        ValueError: a share is out of range, or a time is not a number.
    """
    if not seconds:
        raise InsufficientData("quantiles of time: there is no row")
    if any(math.isnan(second) for second in seconds):
        raise ValueError("quantiles of time: a time is not a number")
    rising = sorted(seconds)
    found = []
    for share in at:
        if not 0 < share <= 1:
            raise ValueError(f"a quantile has to lie above 0 and up to 1: {share}")
        # Rounding first, so that 0.07 of 100 rows is 7 in spite of binary fractions.
        rank = math.ceil(round(share * len(rising), 9))
        found.append(rising[max(rank, 1) - 1])
    return found
