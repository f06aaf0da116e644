"""Shares of a count, with Wilson intervals."""

from __future__ import annotations

from evalkit.errors import InsufficientData
from evalkit.records import Estimate


def proportion(successes: int, n: int, *, asked: str = "a proportion") -> Estimate:
    """Return successes / n with its 95% Wilson interval.

    `asked` names the number in the error's message. Raises `InsufficientData` where n is 0,
    and `ValueError` where the counts are impossible.
    """
    if n == 0:
        raise InsufficientData(f"{asked}: there is no row to count it on")
    if not 0 <= successes <= n:
        raise ValueError(f"{asked}: {successes} of {n} is not a proportion")
    # scipy.stats takes about a second to import, and collecting a suite needs no numbers.
    from scipy.stats import binomtest

    low, high = binomtest(successes, n).proportion_ci(confidence_level=0.95, method="wilson")
    return Estimate(successes / n, n, float(low), float(high), "wilson", successes)
