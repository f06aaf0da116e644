"""Runs on the same rows: the verdicts, gates, paired tests, flipped rows, cost, what differs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from evalkit.data.quoting import one_line
from evalkit.errors import InsufficientData
from evalkit.gates import ALPHA, Outcome
from evalkit.locale import say
from evalkit.reports.compare import Flip, GateRow, Pairing, RunComparison, Side
from evalkit.reports.numbers import time_text
from evalkit.reports.sections.paired import paired_table
from evalkit.reports.sections.slices import CUT_ID, CUT_INPUT, answer_of, shown_predicted
from evalkit.reports.view import (
    Blocks,
    Cell,
    Clause,
    Code,
    Column,
    Data,
    Heading,
    Link,
    Page,
    Paragraph,
    Scatter,
    Toned,
    bound,
    bullets,
    col,
    columns,
    figure,
    gigabytes,
    in_column,
    is_shown,
    listed,
    metric_name,
    phrase,
    sectioned,
    short_verdict,
    shown_cost,
    table,
    table_of,
    tested,
    tilde,
    with_span,
)

_HASH = re.compile("[0-9a-f]{40,}")
_SHIPS = {True: "ship.some", False: "ship.not", None: "ship.open"}


def comparison_sections(
    found: RunComparison, show: int = 5, pages: Mapping[str, str] | None = None
) -> dict[str, Blocks]:
    """All that is said of runs held against each other; sections with nothing to say are left out.

    `show` flipped rows of each kind are shown; `pages` has the addresses of the runs' own pages, by
    letter.
    """
    sections = {
        "conclusion": _conclusion(found),
        "systems": _systems(found, pages or {}),
        "differing_gates": _gate_table([g for g in found.gates if g.differs], found.sides),
        "tests": _tests(found),
        "flips": [*_flip_counts(found), *_flip_samples(found, show)],
        "agreeing_gates": _gate_table([g for g in found.gates if not g.differs], found.sides),
        "headline": _headline(found),
        "cost_against_accuracy": _costs(found),
        "differences": _differences(found),
    }
    return {name: section for name, section in sections.items() if section}


def comparison_blocks(found: RunComparison, show: int = 5, *, brief: bool = False) -> Blocks:
    """The same under a title; in brief without what is the same in all, and every single number."""
    left_out = ("agreeing_gates", "headline") if brief else ()
    sections = comparison_sections(found, show)
    shown = [
        (phrase(f"section.{name}"), section)
        for name, section in sections.items()
        if name not in left_out
    ]
    return sectioned(phrase("title.comparison"), [], shown)


def _conclusion(found: RunComparison) -> Blocks:
    first = found.sides[0].name
    names: dict[bool | None, list[Cell]] = {ships: [] for ships in _SHIPS}
    for side in found.sides:
        names[side.run.may_ship].append(side.name)
    lines = [
        phrase(key, names=listed(names[ships])) for ships, key in _SHIPS.items() if names[ships]
    ]
    for side, paired, p in found.headline:
        key = "not_apart"
        if p < ALPHA:
            key = "better_than" if paired.advantage > 0 else "worse_than"
        lines.append(
            phrase(
                key,
                first=first,
                second=side.name,
                metric=metric_name(paired.metric, found.task.fields),
                **tested(paired, p),
            )
        )
    return [*bullets(lines), *(Paragraph(line) for line in _advice(found, names[True]))]


def _advice(found: RunComparison, may: Sequence[Cell]) -> Iterator[Cell]:
    """From the verdicts; where several may ship, from the tests of the first against them too."""
    if len(may) < 2:
        yield phrase("recommend.one", name=may[0]) if may else phrase("recommend.none")
        return
    yield phrase("recommend.several", names=listed(may))
    first = found.sides[0].name
    shown = [(side.name, c.advantage > 0) for side, c, p in found.headline if p < ALPHA]
    beaten = [
        name
        for name in dict.fromkeys(name for name, _ in shown)
        if name in may and all(better for other, better in shown if other == name)
    ]
    if first in may and beaten:
        yield phrase("recommend.first", first=first, names=listed(beaten))


def _systems(found: RunComparison, pages: Mapping[str, str]) -> Blocks:
    def name(side: Side) -> Cell:
        run, page = side.run.name, pages.get(side.letter)
        return run if page is None else Page(run, page)

    def verdict(side: Side) -> Cell:
        said = short_verdict(side.run.may_ship)
        if side.run.release is not None:
            return said
        return replace(said, what=phrase("verdict.no_verdict", why=Clause(side.run.why_none)))

    def failed(side: Side) -> Cell:
        if (release := side.run.release) is None:
            return None
        n = len(release.of(Outcome.FAIL))
        return phrase("failed_of", failed=n, all=len(release.verdicts))

    return table_of(
        found.sides,
        (Column("", is_text=True), lambda side: side.letter),
        (col("system", is_text=True, folds=True), lambda side: side.run.system),
        (col("run", is_text=True, drop=2), name),
        (col("date", is_text=True, drop=3), lambda side: side.run.date),
        (col("outcome", is_text=True, folds=True), verdict),
        (col("gates", drop=1), failed),
    )


def _gate_table(gates: Sequence[GateRow], sides: Sequence[Side]) -> Blocks:
    """What each gate said of each system."""
    heads = [
        Column(phrase("col.gate"), is_text=True),
        Column(phrase("col.needs"), drop=1),
        *(side.letter for side in sides),
    ]
    rows: list[list[Cell]] = [
        [
            Code(gate.shown),
            bound(gate.known[0]) if gate.one_bound else phrase("not_the_same"),
            *map(in_column, gate.verdicts),
        ]
        for gate in gates
    ]
    blocks = [*table(heads, rows), *tilde(v for gate in gates for v in gate.known)]
    if other := [gate.shown for gate in gates if not gate.one_bound]:
        blocks.append(Paragraph(phrase("other_criteria", gates=listed(map(Code, other)))))
    return blocks


def _tests(found: RunComparison) -> Blocks:
    blocks: Blocks = []
    first, fields = found.sides[0], found.task.fields
    for other, pairing in found.pairings:
        title = phrase("against", first=_sided(first), other=_sided(other))
        comparisons = pairing.numbers
        shown = [c.advantage > 0 for c in comparisons if is_shown(c) and c.advantage]
        said = phrase(
            "test_counts",
            first=first.letter,
            better=sum(shown),
            worse=len(shown) - sum(shown),
            all=len(comparisons),
            open=len(comparisons) - len(shown),
        )
        blocks += [
            Heading(3, title),
            *bullets([said, _answers_that_differ(pairing)]),
            *paired_table(comparisons, fields, first.letter, other.letter),
        ]
    return [*blocks, Paragraph(phrase("test_note"))]


def _answers_that_differ(pairing: Pairing) -> Cell:
    fields = pairing.first.task.fields
    values = sum(any(a.predicted(f) != b.predicted(f) for f in fields) for a, b in pairing.pairs)
    texts = sum(a.completion.text != b.completion.text for a, b in pairing.pairs)
    n = len(pairing.pairs)
    return phrase("answers_that_differ", clean=pairing.clean, n=n, texts=texts, values=values)


def _sided(side: Side) -> Cell:
    return phrase("sided", letter=side.letter, name=side.name)


def _flip_counts(found: RunComparison) -> Blocks:
    """How many rows only one of two gets right, by field; each count leads to its rows."""
    first = found.sides[0].letter
    rows = []
    for side, pairing in found.pairings:
        for paired in pairing.headline:
            if (name := paired.metric.field) is None:
                continue
            only = {"field": name} if len(found.task.fields) > 1 else {}
            counts = [
                Link(len(of), {**only, "result": say(key, letter=side.letter)}) if of else 0
                for key, of in (("flip.won", paired.won), ("flip.lost", paired.lost))
            ]
            rows.append([phrase("pair", first=first, second=side.letter), name, *counts])
    heads = columns("runs", "field", "won", "lost")
    return [*table(heads, rows, 2), Paragraph(phrase("flip_note", first=first))]


def _flip_samples(found: RunComparison, show: int) -> Blocks:
    """A few rows of each field that only one of two gets right."""
    shown: list[Flip] = []
    for letter in (side.letter for side in found.sides[1:]):
        for name in found.task.fields:
            of_field = [flip for flip in found.flips if flip.field == name]
            shown += [flip for flip in of_field if letter in flip.lost][:show]
            shown += [flip for flip in of_field if letter in flip.won][:show]
    fields, letters = found.task.fields, [side.letter for side in found.sides]
    rows = [
        [
            Data(flip.rows[0].example.id, CUT_ID),
            flip.field,
            Data(one_line(flip.rows[0].example.inputs.values()), CUT_INPUT),
            shown_predicted(fields[flip.field], flip.rows[0].example.labels[flip.field]),
            *(
                Toned(
                    answer_of(row, flip.field, fields[flip.field]),
                    "good" if row.is_right(flip.field) else "bad",
                )
                for row in flip.rows
            ),
        ]
        for flip in {(f.rows[0].example.id, f.field): f for f in shown}.values()
    ]
    heads = [
        *columns("id", "field"),
        Column(phrase("col.inputs"), is_text=True, folds=True),
        phrase("col.expected"),
        *letters,
    ]
    left = 0 < len(rows) < len(found.flips)
    told = phrase("flip_more", n=len(rows), all=len(found.flips))
    return [*table(heads, rows, len(heads)), *([Paragraph(told)] if left else [])]


def _headline(found: RunComparison) -> Blocks:
    """Every usual number of every system."""
    overviews = [side.run.evaluation.overview() for side in found.sides]
    metrics = {m.name: m for s in found.sides for m in s.run.evaluation.usual_metrics()}
    rows = [
        [
            metric_name(metrics[name], found.task.fields),
            *(
                with_span(of[name].estimate, metrics[name].unit) if name in of else None
                for of in overviews
            ),
        ]
        for name in dict.fromkeys(name for of in overviews for name in of)
    ]
    heads = [phrase("col.metric"), *(side.letter for side in found.sides)]
    return [*table(heads, rows), Paragraph(phrase("headline_note"))]


def _costs(found: RunComparison) -> Blocks:
    metric = found.sides[0].run.evaluation.headline_metrics()[0]
    name = metric_name(metric, found.task.fields)
    rows, dots, notes = [], [], []
    for side in found.sides:
        evaluation = side.run.evaluation
        cost = evaluation.record.cost.to_json()
        memory = cost.get("peak_memory_bytes", {})
        used = [listed([f"{where} ", gigabytes(n)], "") for where, n in memory.items()]
        try:
            right = evaluation.measure(metric).estimate
        except InsufficientData:
            right = None
        seconds = side.seconds_per_row
        if seconds is not None and right is not None:
            dots.append((side.letter, seconds, right))
        rows.append(
            [
                side.letter,
                figure(right),
                None if seconds is None else time_text(seconds),
                *(shown_cost(cost, key) for key in _COSTS),
                listed(used) if used else None,
            ]
        )
        if reused := evaluation.record.reused_rows:
            notes.append(
                phrase("other_reused", name=side.name, reused=reused, n=len(evaluation.rows))
            )
    heads = [
        phrase("col.system"),
        name,
        phrase("col.row_takes"),
        *(Column(phrase(f"col.{key}"), drop=at) for at, key in enumerate(_COST_HEADS, start=1)),
    ]
    blocks: Blocks = [Scatter(name, tuple(dots)), *table(heads, rows), *bullets(notes)]
    if {"engine", "machine"} & {difference.key for difference in found.differences}:
        blocks.append(Paragraph(phrase("other_machines")))
    return blocks


_COSTS = ("rows_per_second", "seconds_per_row_p50", "seconds_per_row_p95", "generated_tokens")
_COST_HEADS = ("speed", "p50", "p95", "tokens", "memory")


def _differences(found: RunComparison) -> Blocks:
    """What identifies the runs and is not the same in all of them, part by part."""
    rows = [
        [
            phrase("diff_part", what=what, part=difference.part) if difference.part else what,
            *map(_part, difference.values),
        ]
        for difference in found.differences
        for what in [phrase(f"diff.{difference.key}")]
    ]
    letters = [Column(side.letter, is_text=True, folds=True) for side in found.sides]
    heads = [Column(phrase("col.what"), is_text=True, folds=True), *letters]
    return table(heads, rows) or [Paragraph(phrase("same_record"))]


def _part(value: str) -> Cell:
    """A part of a record; of a hash, what tells runs apart."""
    return Data(value, 12 if _HASH.fullmatch(value) else 60) if value else None
