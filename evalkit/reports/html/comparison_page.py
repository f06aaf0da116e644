"""The page that holds one run against others on the same rows."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

from evalkit.evaluation import describe_predicted
from evalkit.locale import Lang, Speaker
from evalkit.reports.compare import RunComparison, compare_runs
from evalkit.reports.files import PAGES
from evalkit.reports.html.columns import (
    RowTable,
    enum_column,
    number_column,
    set_column,
    text_column,
)
from evalkit.reports.html.environment import render
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


def _flip_table(found: RunComparison, lang: Lang) -> RowTable:
    """What `table.js` shows, by column."""
    words, flips, task = Speaker(lang, str, str), found.flips, found.task
    examples = [flip.rows[0].example for flip in flips]
    others = [side.letter for side in found.sides[1:]]

    def results(won: Iterable[str], lost: Iterable[str]) -> list[str]:
        said = [words("flip.won", letter=letter) for letter in won]
        return said + [words("flip.lost", letter=letter) for letter in lost]

    columns = [
        text_column("id", words("col.id"), [example.id for example in examples]),
        text_column(
            "inputs",
            words("col.inputs"),
            [[e.inputs.get(name, "") for name in task.inputs] for e in examples],
            kind="texts",
            parts=[given.title for given in task.inputs.values()],
        ),
        set_column(
            "result",
            words("flip.result", letter=found.sides[0].letter),
            [results(flip.won, flip.lost) for flip in flips],
            results(others, others),
        ),
    ]
    if len(task.fields) > 1:
        columns.append(enum_column("field", words("col.field"), [flip.field for flip in flips]))
    right = [task.fields[f.field].display(f.rows[0].example.labels[f.field]) for f in flips]
    columns.append(enum_column("right", words("col.expected"), right))
    for at, side in enumerate(found.sides):
        rows, letter = [(flip.field, flip.rows[at]) for flip in flips], side.letter
        said = [words.text(describe_predicted(task.fields[n], row.predicted(n))) for n, row in rows]
        marks = [int(row.is_right(name)) for name, row in rows]
        sure = [row.completion.confidences.get(name) for name, row in rows]
        answers = [row.completion.text for _, row in rows]
        columns += [
            enum_column(letter, words("flip.said", letter=letter), said, marks=marks),
            *number_column(
                f"{letter}-confidence", words("flip.confidence", letter=letter), sure, percent=True
            ),
            text_column(
                f"{letter}-answer", words("flip.answer", letter=letter), answers, hidden=True
            ),
        ]
    for column in columns:
        if column["kind"] == "enum" and len(column["values"]) > MOST_CHOICES:
            column["filter"] = False
    return {"rows": len(flips), "columns": columns, "caption": words("section.flips")}
