"""The page that holds one run against others on the same rows."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

from evalkit.evaluation import Contest
from evalkit.gates import ALPHA
from evalkit.reports.files import REPORT
from evalkit.reports.html.environment import render
from evalkit.reports.html.scatter import HEIGHT, RADIUS, TOP, WIDTH, scatter, time_text
from evalkit.reports.judged import JudgedRun
from evalkit.reports.numbers import bare_p, cost_line
from evalkit.reports.several import Pairing, Several, compare_runs

MOST_CHOICES = 60
"""Of a filter."""
_LONG_HEX = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{28,}\b")


@dataclass(frozen=True, slots=True)
class Drawn:
    """A difference with its interval around zero, in percent of a drawing's width."""

    contest: Contest
    value: float
    low: float
    high: float
    result: str
    """`better`, `worse` or `open`, for the first run."""


@dataclass(frozen=True, slots=True)
class Group:
    """Differences on one scale."""

    heading: str
    unit: str
    bound: float
    """What the ends of the scale stand for."""
    rows: tuple[Drawn, ...]
    folded: bool = False
    """Whether they are shown on demand alone."""


def comparison_page(runs: Sequence[JudgedRun], *, place: Path | None = None) -> str:
    """Verdicts, gates, paired tests, flipped rows, records and costs of runs on the same rows.

    Args:
        runs: two or more; the first is held against the others.
        place: the folder that the page will lie in; it then links to the runs' own pages.

    Raises:
        UserError: the runs are not of the same rows, or one is named twice.
    """
    found = compare_runs(runs)
    first, *others = found.columns
    task = first.run.evaluation.task
    names = ", ".join(column.run.system for column in others)
    headlines = list(dict.fromkeys(name for column in found.columns for name, _ in column.headline))
    dots = [
        (column.letter, column.seconds_per_row, estimate)
        for column in found.columns
        for name, estimate in column.headline
        if name == headlines[0] and column.seconds_per_row is not None
    ]
    return render(
        "comparison.html.j2",
        title=f"{first.run.system} against {names}",
        scripts=("table.js", "comparison.js"),
        styles=("comparison.css",),
        data={"flips": _flip_data(found)} if found.flips else {},
        several=found,
        first=first,
        others=others,
        task=task,
        source=first.run.evaluation.record.data.source,
        links={column.letter: _link(column.run, place) for column in found.columns},
        groups={p.other.letter: list(_groups(p)) for p in found.pairings},
        counts={p.other.letter: _counts(p) for p in found.pairings},
        excused={c.letter: c.run.release.excused if c.run.release else {} for c in found.columns},
        gates=[
            (gate, list(rows)) for gate, rows in groupby(found.gates, lambda row: row.some.gate)
        ],
        headlines=headlines,
        plot=scatter(dots),
        plot_size=(WIDTH, HEIGHT, TOP, RADIUS),
        time_text=time_text,
        short=lambda text: _LONG_HEX.sub(r"\1…", text),
        cost_line=cost_line,
        p_text=bare_p,
    )


def _link(run: JudgedRun, place: Path | None) -> str | None:
    """Where the run's own page is, from the place of this one."""
    if place is None or not (run.folder / REPORT).is_file():
        return None
    return quote(Path(os.path.relpath(run.folder / REPORT, place)).as_posix())


def _groups(pairing: Pairing) -> Iterator[Group]:
    """The usual metrics by unit, then the slices; each group on a scale of its own."""
    usual, slices = pairing.contests[: pairing.usual], pairing.contests[pairing.usual :]
    shares = [contest for contest in usual if contest.metric.unit == "%"]
    rest = [contest for contest in usual if contest.metric.unit != "%"]
    headings = ("Metrics", "Metrics that are no shares", "Recall of every value")
    for heading, contests in zip(headings, (shares, rest, slices), strict=True):
        if contests:
            unit = contests[0].metric.unit
            ends = [abs(end) for c in contests for end in (c.comparison.low, c.comparison.high)]
            bound = max(*ends, 0.01)
            yield Group(
                heading, unit, bound, tuple(_draw(c, bound) for c in contests), contests is slices
            )


def _draw(contest: Contest, bound: float) -> Drawn:
    test = contest.comparison
    value, low, high = (
        round(50 + 48 * number / bound, 2) for number in (test.difference, test.low, test.high)
    )
    result = "open"
    if test.p_value < ALPHA and contest.advantage:
        result = "better" if contest.advantage > 0 else "worse"
    return Drawn(contest, value, low, high, result)


def _counts(pairing: Pairing) -> dict[str, int]:
    """On how many of the usual metrics and slices the first is better, worse, or neither."""
    results = [_draw(contest, 1.0).result for contest in pairing.contests]
    return {result: results.count(result) for result in ("better", "worse", "open")}


def _flip_data(found: Several) -> dict[str, Any]:
    """What `table.js` shows, by column."""
    flips = found.flips
    first, *others = found.columns
    fields = [flip.field for flip in flips]
    titles = list(dict.fromkeys(title for flip in flips for title, _ in flip.inputs))
    results = [
        *(f"won against {other.letter}" for other in others),
        *(f"lost to {other.letter}" for other in others),
    ]
    place = {other.letter: at for at, other in enumerate(others)}
    columns: list[dict[str, Any]] = [
        {"key": "id", "title": "row", "kind": "text", "data": [flip.id for flip in flips]},
        {
            "key": "inputs",
            "title": "inputs",
            "kind": "texts",
            "parts": titles,
            "data": [[dict(flip.inputs).get(title, "") for title in titles] for flip in flips],
        },
        {
            "key": "result",
            "title": f"{first.letter} has",
            "kind": "set",
            "values": results,
            "data": [
                [
                    *(place[letter] for letter in flip.won),
                    *(len(others) + place[letter] for letter in flip.lost),
                ]
                for flip in flips
            ],
        },
        *([_enum("field", "field", fields)] if len(set(fields)) > 1 else []),
        _enum("right", "right answer", [flip.right for flip in flips]),
    ]
    for at, column in enumerate(found.columns):
        said = [flip.said[at] for flip in flips]
        letter = column.letter
        told = _enum(letter, f"{letter} said", [s.text for s in said])
        columns.append({**told, "marks": [int(s.is_right) for s in said]})
        if any(s.confidence is not None for s in said):
            columns.append(
                {
                    "key": f"{letter}-confidence",
                    "title": f"{letter} confidence",
                    "kind": "number",
                    "percent": True,
                    "data": [s.confidence for s in said],
                }
            )
        columns.append(
            {
                "key": f"{letter}-answer",
                "title": f"{letter}'s whole answer",
                "kind": "text",
                "hidden": True,
                "data": [s.answer for s in said],
            }
        )
    return {"rows": len(flips), "columns": columns, "caption": "Flipped rows"}


def _enum(key: str, title: str, values: Sequence[str]) -> dict[str, Any]:
    """A column with a filter where there are few values."""
    known = list(dict.fromkeys(values))
    places = {value: at for at, value in enumerate(known)}
    column: dict[str, Any] = {"key": key, "title": title, "kind": "enum", "values": known}
    if len(known) > MOST_CHOICES:
        column["filter"] = False
    return {**column, "data": [places[value] for value in values]}
