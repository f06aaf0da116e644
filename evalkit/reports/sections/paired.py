"""Two systems on the same rows by paired tests, and a run held against those it is read beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalkit.evaluation import PairedComparison
from evalkit.reports.compare import Pairing, differing
from evalkit.reports.judged import JudgedRun
from evalkit.reports.related import is_base_of
from evalkit.reports.view import (
    Blocks,
    Cell,
    Clause,
    Heading,
    Page,
    Paragraph,
    PValue,
    Tone,
    Toned,
    bullets,
    col,
    columns,
    difference_in_words,
    difference_of,
    figure,
    is_shown,
    listed,
    metric_name,
    paired_span,
    phrase,
    short_verdict,
    shortened,
    table_of,
)
from evalkit.tasks import Field

_TOLD = 3
"""Numbers that are named where not all need be."""


def comparison_section(run: JudgedRun, others: Sequence[JudgedRun]) -> Blocks:
    """Of one run's report: the comparisons that gates judged, and those with other runs."""
    blocks: Blocks = []
    judged = [] if run.release is None else [v.paired for v in run.release.verdicts]
    if held := [paired for paired in judged if paired is not None]:
        blocks += [Heading(3, phrase("tests_in_gates")), *_held_table(held, run)]
    for other in others:
        blocks += [Heading(3, _relation(run, other)), *_pair_blocks(run, other)]
    if not others:
        blocks.append(Paragraph(phrase("no_others")))
    if blocks[1:]:
        blocks.append(Paragraph(phrase("test_note")))
    return blocks


def standing(run: JudgedRun, others: Sequence[JudgedRun]) -> Blocks:
    """Whether a run is worse than the last release, or than the run before, and at what.

    The line leads to the section with the comparison; there is none without such a run.
    """
    other = next((found for found in others if found.system == run.system), None)
    if other is None:
        return []
    numbers, fields = Pairing(run.evaluation, other.evaluation).numbers, run.evaluation.task.fields
    worse = [n for n in numbers if is_shown(n) and n.advantage < 0]
    told = [
        phrase(
            "standing.number",
            metric=metric_name(number.metric, fields),
            difference=difference_in_words(number),
        )
        for number in worse
    ]
    called = (
        phrase("standing.baseline", name=other.name)
        if other.is_baseline
        else phrase("standing.earlier", date=other.date)
    )
    said = phrase(
        "standing.worse" if worse else "standing.not_worse",
        other=called,
        numbers=shortened(told, _TOLD),
        better=sum(is_shown(n) and n.advantage > 0 for n in numbers),
        all=len(numbers),
    )
    return [Paragraph(Page(said, "#comparison"))]


def paired_table(
    comparisons: Sequence[PairedComparison],
    fields: Mapping[str, Field],
    first: Cell = "A",
    other: Cell = "B",
) -> Blocks:
    """A number of two systems on each row, with the paired test."""
    ends: dict[str, float] = {}
    for paired in comparisons:
        test, unit = paired.comparison, paired.metric.unit
        ends[unit] = max(ends.get(unit, 0.01), abs(test.low), abs(test.high))

    def span(paired: PairedComparison) -> Cell:
        scale = ends[paired.metric.unit]
        return Toned(paired_span(paired, scale), _reading(paired)[1] or "quiet")

    return table_of(
        comparisons,
        (col("metric", is_text=True), lambda p: metric_name(p.metric, fields)),
        (first, lambda p: figure(p.comparison.first, p.metric.unit)),
        (other, lambda p: figure(p.comparison.second, p.metric.unit)),
        (col("difference"), lambda p: Toned(difference_of(p), _reading(p)[1])),
        (col("interval", drop=2), span),
        (col("p", drop=1), lambda p: PValue(p.comparison.p_value)),
        (
            col("reading", is_text=True, drop=3),
            lambda p: Toned(phrase(f"reading.{_reading(p)[0]}"), _reading(p)[1] or "quiet"),
        ),
    )


def _reading(paired: PairedComparison) -> tuple[str, Tone]:
    """What a paired test comes to, and its tone; none where it shows nothing."""
    if not is_shown(paired) or not paired.advantage:
        return "open", ""
    return ("better", "good") if paired.advantage > 0 else ("worse", "bad")


def differences_in_words(keys: Sequence[str]) -> Cell:
    """What identifies runs and is not the same in all of them."""
    return listed(phrase(f"diff.{key}") for key in keys) if keys else phrase("nothing")


def _relation(run: JudgedRun, other: JudgedRun) -> Cell:
    if other.is_baseline:
        return phrase("against_baseline", name=other.name, date=other.date)
    key = "against_other"
    if other.system == run.system and other.started < run.started:
        key = "against_earlier"
    elif is_base_of(other.evaluation.record, run.evaluation.record):
        return phrase("against_base", system=other.system)
    return phrase(key, system=other.system, date=other.date)


def _pair_blocks(run: JudgedRun, other: JudgedRun) -> Blocks:
    """What identifies the other run, and every usual number and recall of the two."""
    keys = differing([run.evaluation.record, other.evaluation.record])
    line = phrase(
        "pair_run",
        run=other.name,
        verdict=short_verdict(other.may_ship).what,
        differences=differences_in_words(keys),
    )
    numbers, fields = Pairing(run.evaluation, other.evaluation).numbers, run.evaluation.task.fields
    return [*bullets([line]), *paired_table(numbers, fields, *columns("this", "other"))]


def _held_table(held: Sequence[PairedComparison], run: JudgedRun) -> Blocks:
    fields = run.evaluation.task.fields

    def called(name: str, paired: PairedComparison) -> Cell:
        # Where the same system was asked in two ways, the names say which.
        return name if paired.first == run.system else Clause(name)

    def values(paired: PairedComparison) -> Cell:
        both = (paired.comparison.first, paired.comparison.second)
        first, second = (figure(one, paired.metric.unit) for one in both)
        return phrase("pair", first=first, second=second)

    return table_of(
        held,
        (col("first", is_text=True), lambda p: called(p.first, p)),
        (col("second", is_text=True), lambda p: called(p.second, p)),
        (col("metric", is_text=True), lambda p: metric_name(p.metric, fields)),
        (col("value"), values),
        (col("difference"), difference_of),
        (col("interval"), paired_span),
        (col("p"), lambda p: PValue(p.comparison.p_value)),
        (col("won_lost"), _won_lost),
        (col("n"), lambda p: p.comparison.n),
    )


def _won_lost(paired: PairedComparison) -> Cell:
    found = paired.comparison
    if found.only_first is None or found.only_second is None:
        return None
    won, lost = found.only_first, found.only_second
    if paired.metric.lower_is_better:
        won, lost = lost, won
    return f"{won:,} / {lost:,}"
