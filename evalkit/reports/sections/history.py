"""Runs on disk as a list: what each is of, whether it may ship, its headline numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from evalkit.reports.history import RunSummary
from evalkit.reports.view import (
    Blocks,
    Code,
    Column,
    Data,
    Paragraph,
    bullets,
    figure,
    phrase,
    short_verdict,
    shortened,
    table,
)

MOST_NUMBERS = 4
"""Of the headline, as many as fit beside a run."""
_NAMED = 3
"""Runs that are named where not all need be."""


def history_blocks(summaries: Sequence[RunSummary]) -> Blocks:
    """A table for each task, then why there is no verdict or no reading of some runs."""
    blocks: Blocks = []
    summaries = [run for run in summaries if not run.is_yardstick]
    readable = [run for run in summaries if not run.why_unreadable]
    names = [run.name for run in summaries]
    for task in dict.fromkeys(run.task for run in readable):
        blocks += _of_task(task, [run for run in readable if run.task == task], names)
    return [*blocks, *bullets(_reasons(summaries))]


def _of_task(task: str, runs: Sequence[RunSummary], names: Sequence[str]) -> Blocks:
    headline = runs[-1].headline[:MOST_NUMBERS]
    heads = [
        Column(phrase("col.run"), is_text=True),
        Column(phrase("col.system"), is_text=True, folds=True),
        Column(phrase("col.rows"), drop=9),
        Column(phrase("col.outcome"), is_text=True),
    ]
    for place, name in enumerate(headline, start=1):
        short = name.removesuffix(" fields right").removesuffix(" accuracy")
        heads.append(Column(Data(short, 24), drop=place))
    rows = [
        [
            Data(enough_of(run.name, names), 60),
            Data(run.system, 40),
            run.rows,
            short_verdict(run.may_ship),
            *(figure(run.measured.get(name)) for name in headline),
        ]
        for run in runs
    ]
    return [Paragraph(phrase("history.of_task", task=task)), *table(heads, rows, 1)]


def _reasons(summaries: Sequence[RunSummary]) -> Iterator[object]:
    """By which criteria some were judged, why some have no verdict or cannot be read."""
    if others := [run.name for run in summaries if run.by_others]:
        yield phrase("history.by_others", runs=shortened([*map(Code, others)], _NAMED))
    open_ones = [run for run in summaries if run.may_ship is None and not run.why_unreadable]
    for why, n in Counter(run.verdict for run in open_ones).items():
        yield phrase("history.why", why=Data(why, 300), n=n)
    for run in summaries:
        if run.why_unreadable:
            yield phrase(
                "history.unreadable", run=Data(run.name, 60), why=Data(run.why_unreadable, 300)
            )


def enough_of(name: str, others: Sequence[str]) -> str:
    """The start of a run's name that no other begins with, which `evalkit show` takes too.

    >>> enough_of("20260101T000000Z-mine", ["20260101T000000Z-mine", "20260101T000000Z-main"])
    '20260101T000000Z-mi'
    """
    least = len(name.partition("-")[0])
    for end in range(least, len(name)):
        if sum(other.startswith(name[:end]) for other in others) == 1:
            return name[:end]
    return name
