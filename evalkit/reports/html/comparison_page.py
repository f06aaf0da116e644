"""The page that holds one run against others on the same rows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from evalkit.evaluation import describe_predicted
from evalkit.locale import Lang, Speaker
from evalkit.reports.compare import RunComparison, compare_runs
from evalkit.reports.files import PAGES
from evalkit.reports.html.environment import render
from evalkit.reports.html.predictions import enum_column, set_column
from evalkit.reports.judged import JudgedRun
from evalkit.reports.render.html import HtmlWords, to_html
from evalkit.reports.sections.comparison import comparison_sections
from evalkit.reports.view import listed, phrase

MOST_CHOICES = 60
"""Of a filter."""


def comparison_page(
    runs: Sequence[JudgedRun], lang: Lang = "en", *, place: Path | None = None, live: bool = False
) -> str:
    """Verdicts, gates, paired tests, flipped rows, records and costs of runs on the same rows.

    Args:
        runs: two or more; the first is held against the others.
        lang: the page's language.
        place: the folder that the page will lie in; it then links to the runs' own pages.
        live: whether `evalkit view` serves it, together with the runs' own pages.

    Raises:
        UserError: the runs are not of the same rows, or one is named twice.
    """
    found = compare_runs(runs)
    words, first = HtmlWords(lang), found.sides[0]
    others = listed(side.name for side in found.sides[1:])
    title = words.cell(phrase("against", first=first.name, other=others))
    evaluation = first.run.evaluation
    about = phrase(
        "rows_of_task",
        n=len(evaluation.rows),
        source=evaluation.record.data.source,
        task=found.task.name,
    )
    links = {side.letter: _link(side.run, lang, place, live) for side in found.sides}
    pages = {letter: link for letter, link in links.items() if link}
    sections = comparison_sections(found, 0, pages)
    return render(
        "comparison.html.j2",
        words,
        title=title.striptags(),
        scripts=("table.js", "comparison.js"),
        data={"flipped": _flip_table(found, lang)} if found.flips else {},
        live="" if live else None,
        heading=title,
        about=words.cell(about),
        contents=[(name, words(f"section.{name}")) for name in sections],
        sections=[(name, to_html(blocks, lang)) for name, blocks in sections.items()],
    )


def _link(run: JudgedRun, lang: Lang, place: Path | None, live: bool) -> str:
    """Where the run's own page is, from the place of this one; empty where there is none."""
    page = run.folder / PAGES[lang]
    if place is None or not (live or page.is_file()):
        return ""
    return quote(Path(os.path.relpath(page, place)).as_posix())


def _flip_table(found: RunComparison, lang: Lang) -> dict[str, Any]:
    """What `table.js` shows, by column."""
    words, flips, task = Speaker(lang, str, str), found.flips, found.task
    examples = [flip.rows[0].example for flip in flips]
    results = [
        *(words("flip.won", letter=side.letter) for side in found.sides[1:]),
        *(words("flip.lost", letter=side.letter) for side in found.sides[1:]),
    ]
    of_flips = [
        [
            *(words("flip.won", letter=letter) for letter in flip.won),
            *(words("flip.lost", letter=letter) for letter in flip.lost),
        ]
        for flip in flips
    ]
    right = [task.fields[f.field].display(f.rows[0].example.labels[f.field]) for f in flips]
    columns: list[dict[str, Any]] = [
        {
            "key": "id",
            "title": words("col.id"),
            "kind": "text",
            "data": [example.id for example in examples],
        },
        {
            "key": "inputs",
            "title": words("col.inputs"),
            "kind": "texts",
            "parts": [given.title for given in task.inputs.values()],
            "data": [[e.inputs.get(name, "") for name in task.inputs] for e in examples],
        },
        set_column("result", words("flip.result", letter=found.sides[0].letter), of_flips, results),
        enum_column("field", words("col.field"), [flip.field for flip in flips]),
        enum_column("right", words("col.expected"), right),
    ]
    if len(task.fields) == 1:
        del columns[3]
    for at, side in enumerate(found.sides):
        rows = [(flip.field, flip.rows[at]) for flip in flips]
        said = [words.text(describe_predicted(task.fields[n], row.predicted(n))) for n, row in rows]
        column = enum_column(side.letter, words("flip.said", letter=side.letter), said)
        columns.append(column | {"marks": [int(row.is_right(name)) for name, row in rows]})
        sure = [row.completion.confidences.get(name) for name, row in rows]
        if any(confidence is not None for confidence in sure):
            columns.append(
                {
                    "key": f"{side.letter}-confidence",
                    "title": words("flip.confidence", letter=side.letter),
                    "kind": "number",
                    "percent": True,
                    "data": sure,
                }
            )
        columns.append(
            {
                "key": f"{side.letter}-answer",
                "title": words("flip.answer", letter=side.letter),
                "kind": "text",
                "hidden": True,
                "data": [row.completion.text for _, row in rows],
            }
        )
    for column in columns:
        if column["kind"] == "enum" and len(column["values"]) > MOST_CHOICES:
            column["filter"] = False
    return {"rows": len(flips), "columns": columns, "caption": words("section.flips")}
