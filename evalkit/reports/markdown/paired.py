"""Paired tests as tables: those among the gates, and those against another run."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.errors import UserError
from evalkit.evaluation import Contest
from evalkit.reports.comparison import IDENTITY, contests
from evalkit.reports.judged import JudgedRun
from evalkit.reports.markdown.figures import (
    NONE,
    count,
    figure,
    is_shown,
    p_value,
    points,
    signed_span,
)
from evalkit.reports.markdown.gates import short_verdict
from evalkit.reports.markdown.text import Markdown, bullets, heading, paragraph, safe, table
from evalkit.reports.markdown.words import Words
from evalkit.reports.related import is_base_of
from evalkit.tasks import Field

_KEYS = (*(key for key, _ in IDENTITY), "data")
"""What identifies a run; each has its phrase `diff.…`."""


def comparison_section(run: JudgedRun, others: Sequence[JudgedRun], words: Words) -> list[Markdown]:
    """The comparisons that gates judged, and those with other runs."""
    blocks = []
    judged = [] if run.release is None else [v.contest for v in run.release.verdicts]
    held = [contest for contest in judged if contest is not None]
    if held:
        blocks += [heading(3, words("tests_in_gates")), *_held_table(held, run, words)]
    for other in others:
        blocks += [heading(3, _relation(run, other, words)), *pair_blocks(run, other, words)]
    if not others:
        blocks.append(words("no_others"))
    if held or others:
        blocks.append(paragraph(words("test_note")))
    return blocks


def pair_blocks(run: JudgedRun, other: JudgedRun, words: Words) -> list[Markdown]:
    """What identifies the other run, and every usual number and recall of the two."""
    differ = [words(f"diff.{key}") for key in differing([run, other])]
    line = words(
        "pair_run",
        run=other.name,
        verdict=short_verdict(other, words),
        differences=words.listed(differ) if differ else words("nothing"),
    )
    blocks = bullets([line])
    try:
        found = contests(run.evaluation, other.evaluation)
    except UserError as error:
        return [*blocks, paragraph(words("untestable", other=other.system, why=str(error)))]
    fields = run.evaluation.task.fields
    headings = ("metric", "this", "other", "difference", "interval", "p", "reading")
    columns = [words(f"col.{name}") for name in headings]
    rows = [_row(contest, fields, words) for contest in found]
    return [*blocks, *table(columns, rows, texts_last=1)]


def differing(runs: Sequence[JudgedRun]) -> list[str]:
    """The keys of what identifies runs that are not the same in all of them."""
    records = [run.evaluation.record for run in runs]
    return [
        key
        for key in _KEYS
        if any(_identity(record, key) != _identity(records[0], key) for record in records)
    ]


def _identity(record: object, key: str) -> object:
    assert isinstance(record, dict)
    found = record.get(key)
    return found.get("sha256") if key == "data" and isinstance(found, dict) else found


def _relation(run: JudgedRun, other: JudgedRun, words: Words) -> Markdown:
    key = "against_other"
    if other.system == run.system and other.started < run.started:
        key = "against_earlier"
    elif is_base_of(other.evaluation.record, run.evaluation.record):
        return words("against_base", system=other.system)
    return words(key, system=other.system, date=shown_date(other))


def shown_date(run: JudgedRun) -> Markdown:
    """When a run began."""
    return Markdown(f"{run.started:%Y-%m-%d %H:%M}")


def _held_table(held: Sequence[Contest], run: JudgedRun, words: Words) -> list[Markdown]:
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
    columns = [words(f"col.{name}") for name in headings]
    rows = []
    for contest in held:
        found, unit = contest.comparison, contest.metric.unit
        pair = words("pair", first=figure(found.first, unit), second=figure(found.second, unit))
        rows.append(
            [
                *_sides(contest, run, words),
                words.metric(contest.metric, fields),
                pair,
                points(found.difference, unit),
                signed_span(words, found.low, found.high, unit),
                p_value(found.p_value),
                _won_lost(contest),
                count(found.n),
            ]
        )
    return table(columns, rows, 3)


def _sides(contest: Contest, run: JudgedRun, words: Words) -> list[Markdown]:
    """Two systems, or what the same system was asked in two ways."""
    names = (contest.first, contest.second)
    if contest.first == run.system:
        return [safe(name) for name in names]
    return [words.clause(name) for name in names]


def _won_lost(contest: Contest) -> Markdown:
    found = contest.comparison
    if found.only_first is None or found.only_second is None:
        return NONE
    won, lost = found.only_first, found.only_second
    if contest.metric.lower_is_better:
        won, lost = lost, won
    return Markdown(f"{won:,} / {lost:,}")


def _row(contest: Contest, fields: dict[str, Field], words: Words) -> list[Markdown]:
    found, unit = contest.comparison, contest.metric.unit
    reading = "open"
    if is_shown(contest):
        reading = "better" if contest.advantage > 0 else "worse"
    return [
        words.metric(contest.metric, fields),
        figure(found.first, unit),
        figure(found.second, unit),
        points(found.difference, unit),
        signed_span(words, found.low, found.high, unit),
        p_value(found.p_value),
        words(f"reading.{reading}"),
    ]
