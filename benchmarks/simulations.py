"""Whether the intervals and tests of evalkit.metrics keep what they promise.

    python benchmarks/simulations.py
    python benchmarks/simulations.py --write docs/statistics.md

Draws systems whose true numbers are known, and counts how often the 95% intervals hold them and
how often the tests find differences that are not there, or find those that are. Seeded, about a
minute and a half. `--write` replaces the tables between the marks in a document.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from scipy.stats import binom

from evalkit import metrics
from evalkit.metrics.bootstrap import draw
from evalkit.records import Estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]

BEGIN, END = "<!-- begin simulations -->", "<!-- end simulations -->"
LABELS = ("a", "b", "c", "d")
EVEN, UNEVEN = (0.25, 0.25, 0.25, 0.25), (0.55, 0.30, 0.10, 0.05)
RESAMPLES = 400
"""Fewer than evalkit's own, to have the time for more trials."""


class Table:
    """A table of percentages in Markdown, with a remark."""

    def __init__(self, title: str, *columns: str) -> None:
        self.lines = [
            f"**{title}**",
            "",
            "| " + " | ".join(columns) + " |",
            "|" + "---|" * len(columns),
        ]

    def add(self, *cells: str | float) -> None:
        """Add a row; numbers are shares."""
        self.lines.append(
            "| " + " | ".join(c if isinstance(c, str) else f"{c:.1%}" for c in cells) + " |"
        )


def holds(estimate: Estimate, true: float) -> bool:
    """Whether the interval holds the true number."""
    return estimate.low <= true <= estimate.high


def wilson_coverage() -> Table:
    """Coverage of the Wilson interval, exactly, by summing over all outcomes."""
    shares = (0.5, 0.8, 0.95, 0.99)
    table = Table("Wilson: how often the 95% interval holds the true share (exact)", "n")
    table = Table(
        "Wilson: how often the 95% interval holds the true share (exact)",
        "rows",
        *(f"{p:.0%}" for p in shares),
    )
    for n in (50, 200, 500):
        intervals = [metrics.proportion(k, n) for k in range(n + 1)]
        chances = [
            sum(binom.pmf(k, n, p) for k in range(n + 1) if holds(intervals[k], p)) for p in shares
        ]
        table.add(str(n), *(float(chance) for chance in chances))
    return table


def draw_groups(rng: np.random.Generator, n: int) -> Ints:
    """Group numbers of n rows: half alone, the others in groups of 2 to 8."""
    sizes = np.concatenate([np.ones(n // 2, dtype=np.int64), rng.integers(2, 9, size=n)])
    return np.repeat(np.arange(len(sizes)), sizes)[:n]


def draw_grouped(
    rng: np.random.Generator, chance: float | Ints, groups: Ints, likeness: float
) -> Bools:
    """Hits by chance; with probability `likeness` a row does as the first of its group does."""
    n = len(groups)
    shared = rng.random(groups.max() + 1)[groups]
    own = rng.random(n)
    found: Bools = np.where(rng.random(n) < likeness, shared, own) < chance
    return found


def clustered_coverage(trials: int) -> Table:
    """Coverage on data with near-duplicates, with and without their groups."""
    table = Table(
        "Near-duplicates: coverage of the share's 95% interval",
        "rows",
        "share",
        "rows that follow their group",
        "rows taken as independent",
        "clustered",
    )
    rng = np.random.default_rng(1)
    for n in (100, 200, 500):
        for share in (0.8, 0.95, 0.99):
            for likeness in (1.0, 0.5):
                plain = clustered = 0
                for _ in range(trials):
                    groups = draw_groups(rng, n)
                    hits = draw_grouped(rng, share, groups, likeness).tolist()
                    plain += holds(metrics.share(hits), share)
                    clustered += holds(metrics.share(hits, groups=groups.tolist()), share)
                table.add(str(n), f"{share:.0%}", f"{likeness:.0%}", plain / trials, clustered / trials)
    return table


def draw_answers(
    rng: np.random.Generator, n: int, mix: Sequence[float], accuracies: Sequence[float]
) -> tuple[list[str], list[list[str]]]:
    """Truths, and the answers of systems that tend to be wrong on the same rows."""
    truth = rng.choice(4, size=n, p=mix)
    hard, slip = rng.random(n), rng.integers(1, 4, size=n)
    answers = []
    for accuracy in accuracies:
        alike = rng.random(n) < 0.7
        wrong = np.where(alike, hard, rng.random(n)) > accuracy
        off = np.where(alike, slip, rng.integers(1, 4, size=n))
        answers.append(np.where(wrong, (truth + off) % 4, truth))
    return [LABELS[t] for t in truth], [[LABELS[a] for a in row] for row in answers]


def true_macro_f1(mix: Sequence[float], accuracy: float) -> float:
    """Macro-F1 of a system that is right so often and else picks any other value."""
    said = [p * accuracy + (1 - p) * (1 - accuracy) / 3 for p in mix]
    return float(np.mean([2 * p * accuracy / (p + s) for p, s in zip(mix, said, strict=True)]))


def macro_f1_coverage(trials: int) -> Table:
    """Coverage of macro-F1's interval, and of the plain percentiles it replaces."""
    table = Table(
        "Macro-F1 over four values: coverage of the 95% interval",
        "rows",
        "values",
        "accuracy",
        "plain percentiles",
        "evalkit's",
    )
    rng = np.random.default_rng(2)
    for mix in (EVEN, UNEVEN):
        for accuracy in (0.8, 0.95, 0.99):
            true = true_macro_f1(mix, accuracy)
            for n in (50, 200, 500):
                plain = ours = 0
                for trial in range(trials):
                    truth, (said,) = draw_answers(rng, n, mix, [accuracy])
                    statistic = metrics.macro_f1_statistic(truth, said)
                    estimates = [
                        metrics.bootstrap(one, n, seed=trial, resamples=RESAMPLES)
                        for one in (statistic.of, statistic)
                    ]
                    plain += holds(estimates[0], true)
                    ours += holds(estimates[1], true)
                name = "even" if mix is EVEN else "uneven"
                table.add(str(n), name, f"{accuracy:.0%}", plain / trials, ours / trials)
    return table
