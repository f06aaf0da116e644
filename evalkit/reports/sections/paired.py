"""Paired tests as tables: those among the gates, and those against another run."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.errors import UserError
from evalkit.evaluation import Contest
from evalkit.reports.comparison import IDENTITY, contests
from evalkit.reports.judged import JudgedRun
from evalkit.reports.related import is_base_of
from evalkit.reports.sections.gates import short_verdict
from evalkit.reports.view import (
    Blocks,
    Cell,
    Clause,
    Heading,
    Paragraph,
    PValue,
    bullets,
    columns,
    contest_span,
    difference_of,
    figure,
    is_shown,
    listed,
    metric_name,
    phrase,
    table,
)
from evalkit.tasks import Field

_KEYS = (*(key for key, _ in IDENTITY), "data")
"""What identifies a run; each has its phrase `diff.…`."""


def comparison_section(run: JudgedRun, others: Sequence[JudgedRun]) -> Blocks:
    """The comparisons that gates judged, and those with other runs."""
    blocks: Blocks = []
    judged = [] if run.release is None else [v.contest for v in run.release.verdicts]
    held = [contest for contest in judged if contest is not None]
    if held:
        blocks += [Heading(3, phrase("tests_in_gates")), *_held_table(held, run)]
    for other in others:
        blocks += [Heading(3, _relation(run, other)), *pair_blocks(run, other)]
    if not others:
        blocks.append(Paragraph(phrase("no_others")))
    if held or others:
        blocks.append(Paragraph(phrase("test_note")))
    return blocks


def pair_blocks(run: JudgedRun, other: JudgedRun) -> Blocks:
    """What identifies the other run, and every usual number and recall of the two."""
    differ = [phrase(f"diff.{key}") for key in differing([run, other])]
    line = phrase(
        "pair_run",
        run=other.name,
        verdict=short_verdict(other),
        differences=listed(differ) if differ else phrase("nothing"),
    )
    blocks = bullets([line])
    try:
        found = contests(run.evaluation, other.evaluation)
    except UserError as error:
        return [*blocks, Paragraph(phrase("untestable", other=other.system, why=str(error)))]
    fields = run.evaluation.task.fields
    headings = ("metric", "this", "other", "difference", "interval", "p", "reading")
    rows = [_row(contest, fields) for contest in found]
    return [*blocks, *table(columns(*headings), rows, last=1)]


def differing(runs: Sequence[JudgedRun]) -> list[str]:
    """The keys of what identifies runs that are not the same in all of them."""
    found = [run.evaluation.record.identity() for run in runs]
    return [key for key in _KEYS if any(one.get(key) != found[0].get(key) for one in found)]


def _relation(run: JudgedRun, other: JudgedRun) -> Cell:
    key = "against_other"
    if other.system == run.system and other.started < run.started:
        key = "against_earlier"
    elif is_base_of(other.evaluation.record, run.evaluation.record):
        return phrase("against_base", system=other.system)
    return phrase(key, system=other.system, date=shown_date(other))


def shown_date(run: JudgedRun) -> Cell:
    """When a run began."""
    return f"{run.started:%Y-%m-%d %H:%M}"


def _held_table(held: Sequence[Contest], run: JudgedRun) -> Blocks:
    fields = run.evaluation.task.fields
    headings = (
        "first",
        "second",
        "metric",
        "value",
        "difference",
        "interval",
        "p",
        "won_lost",
        "n",
    )
    rows = []
    for contest in held:
        found, unit = contest.comparison, contest.metric.unit
        pair = phrase("pair", first=figure(found.first, unit), second=figure(found.second, unit))
        rows.append(
            [
                *_sides(contest, run),
                metric_name(contest.metric, fields),
                pair,
                difference_of(contest),
                contest_span(contest),
                PValue(found.p_value),
                _won_lost(contest),
                found.n,
            ]
        )
    return table(columns(*headings), rows, 3)


def _sides(contest: Contest, run: JudgedRun) -> list[Cell]:
    """Two systems, or what the same system was asked in two ways."""
    names = (contest.first, contest.second)
    if contest.first == run.system:
        return list(names)
    return [Clause(name) for name in names]


def _won_lost(contest: Contest) -> Cell:
    found = contest.comparison
    if found.only_first is None or found.only_second is None:
        return None
    won, lost = found.only_first, found.only_second
    if contest.metric.lower_is_better:
        won, lost = lost, won
    return f"{won:,} / {lost:,}"


def _row(contest: Contest, fields: dict[str, Field]) -> list[Cell]:
    found, unit = contest.comparison, contest.metric.unit
    reading = "open"
    if is_shown(contest):
        reading = "better" if contest.advantage > 0 else "worse"
    return [
        metric_name(contest.metric, fields),
        figure(found.first, unit),
        figure(found.second, unit),
        difference_of(contest),
        contest_span(contest),
        PValue(found.p_value),
        phrase(f"reading.{reading}"),
    ]
