"""Whether the intervals and tests of evalkit.metrics keep what they promise.

    python benchmarks/simulations.py
    python benchmarks/simulations.py --write docs/statistics.md

Draws systems whose true numbers are known, and counts how often the 95% intervals hold them and
how often the tests find differences that are not there, or find those that are. Seeded, about a
minute and a half. `--write` replaces the tables between the marks in a document.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from scipy.stats import binom

from evalkit import metrics
from evalkit.records import Comparison, Estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]

BEGIN, END = "<!-- begin simulations -->", "<!-- end simulations -->"
LABELS = ("a", "b", "c", "d")
EVEN, UNEVEN = (0.25, 0.25, 0.25, 0.25), (0.55, 0.30, 0.10, 0.05)
RESAMPLES = 300
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
                table.add(
                    str(n), f"{share:.0%}", f"{likeness:.0%}", plain / trials, clustered / trials
                )
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


def ordinal_coverage(trials: int) -> Table:
    """Coverage of the intervals of the numbers for ordered values."""
    table = Table(
        "Three ordered levels, most mistakes one level off: coverage of the 95% interval",
        "rows",
        "accuracy",
        "mean absolute error",
        "quadratic kappa",
    )
    rng = np.random.default_rng(10)
    levels = (0, 1, 2)
    for accuracy in (0.7, 0.9, 0.98):
        wrong = 1 - accuracy
        # Rows: truth. The middle level is mistaken for either of its neighbours.
        said_by_truth = np.array(
            [
                [accuracy, 0.8 * wrong, 0.2 * wrong],
                [0.5 * wrong, accuracy, 0.5 * wrong],
                [0.2 * wrong, 0.8 * wrong, accuracy],
            ]
        )
        joint = np.array([0.5, 0.3, 0.2])[:, None] * said_by_truth
        apart = np.abs(np.subtract.outer(levels, levels))
        chance = np.outer(joint.sum(axis=1), joint.sum(axis=0))
        error = float((joint * apart).sum())
        kappa = float(1 - (joint * apart**2).sum() / (chance * apart**2).sum())
        for n in (50, 200, 500):
            found = np.zeros(2)
            for trial in range(trials):
                drawn = rng.choice(9, size=n, p=joint.ravel())
                columns = (drawn // 3).tolist(), (drawn % 3).tolist()
                for place, (factory, true) in enumerate(
                    (
                        (metrics.mean_absolute_error_statistic, error),
                        (metrics.quadratic_kappa_statistic, kappa),
                    )
                ):
                    statistic = factory(*columns, levels)
                    estimate = metrics.bootstrap(statistic, n, seed=trial, resamples=RESAMPLES)
                    found[place] += holds(estimate, true)
            table.add(str(n), f"{accuracy:.0%}", *(found / trials))
    return table


def comparisons_alike(trials: int) -> Table:
    """How often the tests find a difference between systems that are equally good."""
    table = Table(
        "Two equally good systems on the same rows: how often p is below 5%",
        "rows",
        "accuracy",
        "McNemar mid-p",
        "McNemar exact",
        "paired bootstrap of macro-F1, even values",
        "uneven values",
    )
    rng = np.random.default_rng(3)
    for n in (50, 200, 500):
        for accuracy in (0.8, 0.95, 0.99):
            found = np.zeros(4)
            for trial in range(trials):
                for place, mix in ((2, EVEN), (3, UNEVEN)):
                    truth, (one, two) = draw_answers(rng, n, mix, [accuracy, accuracy])
                    found[place] += compare_macro_f1(truth, one, two, trial).p_value < 0.05
                    if mix is EVEN:
                        hits = [
                            [t == s for t, s in zip(truth, said, strict=True)]
                            for said in (one, two)
                        ]
                        compared = metrics.compare_hits(*hits)
                        found[0] += compared.p_value < 0.05
                        found[1] += exact_mcnemar(compared) < 0.05
            table.add(str(n), f"{accuracy:.0%}", *(found / trials))
    return table


def exact_mcnemar(compared: Comparison) -> float:
    """The p-value that the mid-p replaces."""
    fewer, more = sorted((compared.only_first or 0, compared.only_second or 0))
    return float(min(1, 2 * binom.cdf(fewer, fewer + more, 0.5)))


def compare_macro_f1(
    truth: Sequence[str], first: Sequence[str], second: Sequence[str], seed: int
) -> Comparison:
    """Paired bootstrap with the few resamples there is time for."""
    return metrics.compare_statistics(
        metrics.macro_f1_statistic(truth, first),
        metrics.macro_f1_statistic(truth, second),
        len(truth),
        seed=seed,
        resamples=RESAMPLES,
    )


def comparisons_apart(trials: int) -> Table:
    """Coverage of the difference's interval, and power, between a better and a worse system."""
    table = Table(
        "A system right in 95% and one right in 88%: the difference",
        "rows",
        "values",
        "Newcombe's interval holds it",
        "McNemar mid-p finds it",
        "bootstrap interval of macro-F1 holds it",
        "finds it",
    )
    rng = np.random.default_rng(4)
    for mix in (EVEN, UNEVEN):
        true = true_macro_f1(mix, 0.95) - true_macro_f1(mix, 0.88)
        for n in (50, 200, 500):
            found = np.zeros(4)
            for trial in range(trials):
                truth, answers = draw_answers(rng, n, mix, [0.95, 0.88])
                hits = [[t == s for t, s in zip(truth, said, strict=True)] for said in answers]
                compared = metrics.compare_hits(*hits)
                found[0] += compared.low <= 0.07 <= compared.high
                found[1] += compared.p_value < 0.05
                compared = compare_macro_f1(truth, answers[0], answers[1], trial)
                found[2] += compared.low <= true <= compared.high
                found[3] += compared.p_value < 0.05
            table.add(str(n), "even" if mix is EVEN else "uneven", *(found / trials))
    return table


def comparisons_clustered(trials: int) -> Table:
    """A/A comparisons on data with near-duplicates that always do as their group does."""
    table = Table(
        "Two equally good systems, near-duplicates always alike: how often p is below 5%",
        "rows",
        "accuracy",
        "rows taken as independent",
        "McNemar, clustered",
        "interval of the difference, clustered, holds 0",
    )
    rng = np.random.default_rng(5)
    for n in (100, 200, 500):
        for share in (0.8, 0.95):
            found = np.zeros(3)
            for _ in range(trials):
                groups = draw_groups(rng, n)
                one, two = (draw_grouped(rng, share, groups, 1.0).tolist() for _ in range(2))
                found[0] += metrics.compare_hits(one, two).p_value < 0.05
                compared = metrics.compare_hits(one, two, groups=groups.tolist())
                found[1] += compared.p_value < 0.05
                found[2] += compared.low <= 0 <= compared.high
            table.add(str(n), f"{share:.0%}", *(found / trials))
    return table


def promised_power(trials: int) -> Table:
    """Whether drops are noticed as often as detectable_drop and its paired sister promise."""
    table = Table(
        "Detectable drop: promised to be noticed in 80%",
        "rows",
        "threshold",
        "drop",
        "noticed",
        "false alarms at the threshold",
        "strict mode fails it",
    )
    rng = np.random.default_rng(6)
    for n in (50, 200, 500):
        for value in (0.8, 0.95):
            drop = metrics.detectable_drop(n, value)
            assert drop is not None
            fallen, level = (rng.binomial(n, p, size=trials) for p in (value - drop, value))
            upper = np.array([metrics.proportion(k, n).high for k in range(n + 1)])
            table.add(
                str(n),
                f"{value:.0%}",
                drop,
                float((binom.cdf(fallen, n, value) <= 0.05).mean()),
                float((binom.cdf(level, n, value) <= 0.05).mean()),
                float((upper[fallen] < value).mean()),
            )
    return table


def promised_paired_power(trials: int) -> Table:
    """Whether McNemar finds the differences that paired_detectable_difference names."""
    table = Table(
        "Detectable difference of two systems: promised to be found in 80%",
        "rows",
        "rows on which one alone is right",
        "difference",
        "found",
    )
    rng = np.random.default_rng(7)
    for n in (100, 200, 500):
        for discordant in (0.1, 0.2):
            difference = metrics.paired_detectable_difference(n, discordant)
            assert difference is not None
            first = (discordant + difference) / 2
            drawn = rng.multinomial(n, [first, discordant - first, 1 - discordant], size=trials)
            found = 0
            for one, two, rest in drawn.tolist():
                hits = [True] * one + [False] * two + [True] * rest
                other = [False] * one + [True] * two + [True] * rest
                found += metrics.compare_hits(hits, other).p_value < 0.05
            table.add(str(n), f"{discordant:.0%}", difference, found / trials)
    return table


def families(trials: int) -> Table:
    """False alarms among ten regression gates, and false passes of ten gates at once."""
    table = Table(
        "Ten gates, 200 rows: how often at least one is wrong",
        "question",
        "each at 5%",
        "with Holm",
    )
    rng = np.random.default_rng(8)
    plain = adjusted = 0
    for _ in range(trials):
        p_values = []
        for _ in range(10):
            one = int(rng.binomial(20, 0.5))
            two = 20 - one
            hits = [True] * one + [False] * two + [True] * 180
            other = [False] * one + [True] * two + [True] * 180
            p_values.append(metrics.compare_hits(hits, other).p_value)
        plain += min(p_values) < 0.05
        adjusted += min(metrics.holm(p_values)) < 0.05
    table.add("no system is worse: is a regression found?", plain / trials, adjusted / trials)
    lower = np.array([metrics.proportion(k, 200).low for k in range(201)])
    shares = np.array([0.8] + [0.95] * 9)
    passed = (lower[rng.binomial(200, shares, size=(100_000, 10))] >= 0.8).all(axis=1)
    table.add(
        "one gate exactly at its threshold, nine above: do all pass in strict mode?",
        float(passed.mean()),
        "not needed",
    )
    return table


def calibration_bias(trials: int) -> Table:
    """The calibration error of a system whose confidence is perfect."""
    table = Table(
        "Calibration error of a system with perfect confidence (true value 0)",
        "rows",
        "mean with 10 bins",
        "with 15 bins",
    )
    rng = np.random.default_rng(9)
    for n in (100, 200, 500, 2000):
        found = np.zeros(2)
        for _ in range(trials):
            confidences = rng.beta(8, 2, size=n)
            correct = (rng.random(n) < confidences).tolist()
            for place, bins in enumerate((10, 15)):
                found[place] += sum(
                    one.accuracy.n * abs(one.accuracy.value - one.mean_confidence) / n
                    for one in metrics.reliability_curve(confidences.tolist(), correct, bins=bins)
                )
        table.add(str(n), *(found / trials))
    return table


def main() -> None:
    """Run the simulations; print them, or write them into a document."""
    parser = argparse.ArgumentParser(description="Do intervals and tests keep what they promise?")
    parser.add_argument("--trials", type=int, default=400, help="per line of a table")
    parser.add_argument("--write", type=Path, help="document to put the tables into")
    options = parser.parse_args()
    trials = options.trials
    tables = [
        wilson_coverage(),
        clustered_coverage(trials * 2),
        macro_f1_coverage(trials),
        ordinal_coverage(trials),
        comparisons_alike(trials),
        comparisons_apart(trials),
        comparisons_clustered(trials * 2),
        promised_power(trials * 50),
        promised_paired_power(trials * 5),
        families(trials * 5),
        calibration_bias(trials // 2),
    ]
    text = "\n\n".join("\n".join(table.lines) for table in tables)
    if options.write:
        put_between_marks(options.write, text)
    else:
        Console(highlight=False, markup=False).print(text, soft_wrap=True)


def put_between_marks(document: Path, text: str) -> None:
    """Replace what stands between the marks of a document."""
    before, _, rest = document.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"{document} has no {BEGIN} ... {END}")
    document.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
