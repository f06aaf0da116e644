"""The page of one run: the verdict, all it rests on, and every row."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlencode

from markupsafe import Markup

from evalkit.errors import EvidenceError, InsufficientData, UserError
from evalkit.evaluation import Evaluation
from evalkit.gates import Outcome, Release, Verdict
from evalkit.locale import Lang
from evalkit.records import Estimate
from evalkit.reports.diagnosis import to_try
from evalkit.reports.html.environment import render
from evalkit.reports.html.predictions import flips, prediction_table
from evalkit.reports.judged import JudgedRun
from evalkit.reports.render.html import HtmlWords, to_html
from evalkit.reports.sections.cases import SHOWN as SHOWN_CASES
from evalkit.reports.sections.cases import case_table, place_of
from evalkit.reports.sections.gates import criteria, verdict_sentence
from evalkit.reports.sections.paired import standing
from evalkit.reports.sections.run import SECTIONS, run_sections, section_title
from evalkit.reports.sections.verdict import verdict_section
from evalkit.reports.view import (
    Blocks,
    Cell,
    Code,
    Paragraph,
    Toned,
    columns,
    counted,
    figure,
    listed,
    metric_name,
    phrase,
    short_verdict,
    table,
)
from evalkit.runs import ASKED, BASELINES, RECORD, read_record, read_run

_TONES = {True: Outcome.PASS, False: Outcome.FAIL, None: Outcome.INCONCLUSIVE}
PRINTED = ("slices", "contamination")
"""Those of the sections that stand on paper, too."""
SHOWN = (
    *("help", "comparison", "results", "slices", "calibration", "contamination", "cost"),
    *("configuration", "limitations"),
)
"""Sections of the report that the page has as they are; gates and rows it shows in its own way."""


def run_page(
    run: JudgedRun,
    lang: Lang = "en",
    *,
    others: Sequence[JudgedRun] = (),
    live: bool = False,
) -> str:
    """Show a run, its verdict and its rows as one HTML page.

    The page holds all it needs and loads nothing. Its numbers are those of the record and of the
    verdicts; of what was said to other rows than the run's own (`asked/`), it reads the files.
    `others` are runs on the same rows to hold it against; a `live` page follows the run, as
    `evalkit view` serves it.
    """
    evaluation, release, words = run.evaluation, run.release, HtmlWords(lang)
    found = run_sections(run, others) | {"asked": _asked(run)}
    titles = {name: section_title(name) for name in (*SHOWN, *SECTIONS.added)}
    titles["asked"] = phrase("section.asked")
    sections = [
        (name, words.cell(title), to_html(found[name], lang))
        for name, title in titles.items()
        if found.get(name)
    ]
    contents = [("gates", words("section.gates"))] if release else []
    contents += [(name, title) for name, title, _ in sections]
    return render(
        "run.html.j2",
        words,
        title=f"{run.system}: {run.verdict}",
        live=_address(run) if live else None,
        scripts=("table.js", "run.js"),
        data={"predictions": prediction_table(run, others)},
        run=run,
        release=release,
        record=evaluation.record,
        tone=_TONES[run.may_ship].value,
        says=words.cell(short_verdict(run.may_ship).what),
        closing=to_html([*_verdict(run), *standing(run, others)], lang),
        headline=[(words.cell(name), found) for name, found in _headline(evaluation)],
        gates=to_html(found.get("gates", []), lang),
        tallies={o.value: len(release.of(o)) for o in Outcome} if release else {},
        cases=_cases(release, lang) if release else [],
        most_cases=SHOWN_CASES,
        n_gates=words.cell(counted("gates", len(release.verdicts))) if release else "",
        flips=[(name, len(rows), _link(flip=name)) for name, rows in flips(run, others).items()],
        sections=sections,
        printed=PRINTED,
        errors=to_html(found.get("errors", []), lang),
        contents=[*contents, ("table", words("page.predictions"))],
    )


def _address(run: JudgedRun) -> str:
    return f"{BASELINES}/{run.name}" if run.is_baseline else run.name


def _verdict(run: JudgedRun) -> Blocks:
    if run.release is None:
        return [Paragraph(verdict_sentence(run))]
    return verdict_section(run.release, run.evaluation.task.fields, to_try(run))


def _headline(evaluation: Evaluation) -> list[tuple[Cell, Estimate]]:
    found: list[tuple[Cell, Estimate]] = []
    for metric in evaluation.headline_metrics():
        try:
            name = metric_name(metric, evaluation.task.fields)
            found.append((name, evaluation.measure(metric).estimate))
        except InsufficientData:
            continue
    return found


def _cases(release: Release, lang: Lang) -> list[tuple[str, bool, Markup, Markup]]:
    """Where the rows behind a gate lie, whether it is the worst of its criterion, name and rows."""
    words = HtmlWords(lang)
    return [
        (
            place_of(v),
            v is verdicts[0] and v.outcome is Outcome.FAIL,
            _case_title(v, words),
            to_html(case_table(v), lang),
        )
        for verdicts in criteria(release).values()
        for v in verdicts
        if v.cases
    ]


def _case_title(verdict: Verdict, words: HtmlWords) -> Markup:
    return words.cell(phrase("case.of", gate=Code(verdict.shown), n=len(verdict.cases)))


def _link(**view: str) -> str:
    """A view of the table of predictions."""
    return f"#{urlencode(view, errors='replace')}"


def _asked(run: JudgedRun) -> Blocks:
    """What else the system was asked, and how often it was right there."""
    rows: list[list[Cell]] = []
    for path in sorted((run.folder / ASKED).glob(f"*/{RECORD}")):
        folder = path.parent
        try:
            record = read_record(folder)
            found = _headline(read_run(folder)) if record.task is not None else []
            right = listed(phrase("part_value", part=name, value=figure(e)) for name, e in found)
            rows.append([folder.name, record.rows, right])
        except (EvidenceError, UserError) as error:
            rows.append([folder.name, 0, Toned(str(error), "bad")])
    shown = table(columns("part", "rows", "right"), rows, last=1)
    return [Paragraph(phrase("page.asked_note")), *shown] if shown else []
