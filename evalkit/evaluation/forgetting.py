"""What an adapter cost the model beside its task: probes lost, and distance from the base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evalkit import metrics
from evalkit.errors import InsufficientData
from evalkit.evaluation.evaluation import Measurement
from evalkit.evaluation.metric import Metric
from evalkit.records import Estimate

SEED = 0
"""Of the bootstrap."""


def passed_less(base: Sequence[bool], tuned: Sequence[bool], asked: str) -> Estimate:
    """The share of probes that the base passes less the share passed with the adapter.

    The two are paired probe by probe, and the interval is that of a paired difference (see
    `metrics.compare_hits`). What is negative was gained.

    Raises:
        InsufficientData: there is no probe.
    """
    found = metrics.compare_hits(base, tuned, asked=asked)
    return Estimate(found.difference, found.n, found.low, found.high, "paired, Newcombe")


def mean_divergence(texts: Sequence[Mapping[str, Any]]) -> Measurement:
    """Mean KL(base || tuned) of a token, over all tokens of all texts, in nats.

    Its interval is a bootstrap of whole texts.

    Args:
        texts: of each text `kl`, the mean over its tokens, and `tokens`, their number.

    Raises:
        InsufficientData: there is no token.
    """
    import numpy as np

    asked = "KL(base || tuned) per token"
    tokens = np.array([text["tokens"] for text in texts], dtype=np.float64)
    if not tokens.sum():
        raise InsufficientData(f"{asked}: there is no text with a token")
    sums = tokens * np.array([text["kl"] for text in texts], dtype=np.float64)
    estimate = metrics.bootstrap(
        lambda weights: (weights @ sums) / (weights @ tokens), len(texts), seed=SEED, asked=asked
    )
    metric = Metric("divergence", asked, lambda rows: estimate, lower_is_better=True, unit="")
    return Measurement(estimate, metric=metric)
