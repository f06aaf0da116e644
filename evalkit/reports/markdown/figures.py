"""Numbers in a report: already Markdown, as they hold nothing of anybody's text."""

from __future__ import annotations

from evalkit.evaluation import Contest
from evalkit.gates import ALPHA, Policy, Verdict
from evalkit.records import Estimate
from evalkit.reports import numbers
from evalkit.reports.markdown.text import Markdown
from evalkit.reports.markdown.words import Words

NONE = Markdown("–")
"""Of a number that there is none of."""


def count(value: int) -> Markdown:
    """A number of cases."""
    return Markdown(f"{value:,}")


def figure(estimate: Estimate | None, unit: str = "%") -> Markdown:
    """The measured value."""
    return NONE if estimate is None else Markdown(numbers.number(estimate.value, unit))


def points(difference: float, unit: str = "%") -> Markdown:
    """A difference with its sign."""
    return Markdown(numbers.points(difference, unit))


def difference(words: Words, found: float, unit: str = "%") -> Markdown:
    """A difference in a sentence, with its unit."""
    shown = points(found, unit)
    return words("form.points", value=shown) if unit == "%" else shown


def span(words: Words, low: float, high: float, unit: str = "%") -> Markdown:
    """An interval of a value, in percent or as it stands, without a unit."""
    one, other = (f"{100 * x:.1f}" if unit == "%" else f"{x:.2f}" for x in (low, high))
    return words("form.range", low=Markdown(one), high=Markdown(other))


def signed_span(words: Words, low: float, high: float, unit: str = "%") -> Markdown:
    """An interval of a difference."""
    return words("form.range", low=points(low, unit), high=points(high, unit))


def estimate_span(words: Words, estimate: Estimate, unit: str = "%") -> Markdown:
    """The 95% interval of a measured value."""
    if estimate.method == "count":
        return words("form.counted")
    return span(words, estimate.low, estimate.high, unit)


def with_span(words: Words, estimate: Estimate | None, unit: str = "%") -> Markdown:
    """A value with its interval."""
    if estimate is None:
        return NONE
    return Markdown(f"{figure(estimate, unit)} ({estimate_span(words, estimate, unit)})")


def verdict_value(verdict: Verdict) -> Markdown:
    """What a gate judged."""
    return Markdown(numbers.value(verdict))


def verdict_span(words: Words, verdict: Verdict) -> Markdown:
    """The interval of what a gate judged."""
    estimate, unit = verdict.estimate, verdict.unit
    if verdict.contest is not None:
        return signed_span(words, estimate.low, estimate.high, unit)
    return estimate_span(words, estimate, unit)


def bound(policy: Policy, unit: str = "%") -> Markdown:
    """What a gate needs."""
    shown = numbers.needed(policy, unit)
    if policy.max_value == 0:
        return Markdown(f"= {shown}")
    return Markdown(shown.replace(">=", "≥").replace("<=", "≤").replace(">", "\\>"))


def shortfall(verdict: Verdict) -> float:
    """How far a number lies on the wrong side of its bound."""
    gap = verdict.estimate.value - verdict.policy.threshold
    return gap if verdict.policy.max_value is not None else -gap


def p_value(p: float) -> Markdown:
    """A p-value; the heading says what it is."""
    shown = numbers.p_value(p).removeprefix("p ").removeprefix("= ")
    return Markdown(shown.replace("<", "\\<"))


def p_in_words(p: float) -> Markdown:
    """A p-value in a sentence: `p = 0.031`."""
    return Markdown(numbers.p_value(p).replace("<", "\\<"))


def is_shown(contest: Contest) -> bool:
    """Whether the test shows a difference, taken alone."""
    return contest.comparison.p_value < ALPHA
