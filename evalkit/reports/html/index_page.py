"""The page of all runs, with the history of each gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from evalkit.gates import Outcome, Verdict
from evalkit.locale import Lang
from evalkit.reports import charts
from evalkit.reports.files import COMPARISON_PREFIX, PAGES, REPORT
from evalkit.reports.history import (
    GateHistory,
    RunSummary,
    SystemHistory,
    gate_histories,
    kept_as,
    summarise,
    summarise_baselines,
)
from evalkit.reports.html.environment import render
from evalkit.reports.numbers import number, points
from evalkit.reports.render.html import HtmlWords, to_html
from evalkit.reports.view import (
    Badge,
    Cell,
    Code,
    bound,
    listed,
    phrase,
    short_verdict,
    table,
    verdict_value,
    with_span,
)

RUNS_IN_TABLE = 12
"""The latest, in the table of a system's gates."""
_TONES = {True: "pass", False: "fail", None: "open"}


def index_page(
    runs: Path, lang: Lang = "en", *, live: bool = False, criteria_sha256: str | None = None
) -> str:
    """Every run under a folder with its verdict, and the gates of each system over time.

    Predictions are not read. A run that cannot be read is listed with the reason. A page that
    `evalkit view` serves (`live`) leads to every run's page and compares any two. Runs that were
    judged by other criteria than those in force say so, where these are given.
    """
    words = HtmlWords(lang)
    summaries = [run for run in summarise(runs, criteria_sha256) if not run.is_yardstick]
    baselines = summarise_baselines(runs, criteria_sha256)
    names = kept_as(summaries, baselines)
    known = {run.record_sha256 for run in summaries}
    kept = [(run, names[run.folder]) for run in reversed(summaries)]
    kept += [(run, (run.name,)) for run in baselines if run.record_sha256 not in known]
    lines = [_line(run, runs, of_baselines, words, live) for run, of_baselines in kept]
    histories = gate_histories(summaries)
    return render(
        "index.html.j2",
        words,
        title=words("page.kind.runs"),
        live="" if live else None,
        scripts=("index.js",),
        styles=("index.css",),
        contents=[("all", words("page.all_runs")), ("history", words("history.title"))]
        if histories
        else [],
        lines=lines,
        tiles=_tiles(lines, words),
        systems=_systems(lines),
        verdicts=list(dict.fromkeys(line["verdict"] for line in lines)),
        comparisons=_comparisons(runs),
        histories=[
            (
                history,
                [_plot(gate, history, names, words) for gate in history.gates],
                _over_time(history, lang),
            )
            for history in histories
        ],
        latest=RUNS_IN_TABLE,
        outcomes=[outcome.value for outcome in Outcome],
    )


def _line(
    run: RunSummary, runs: Path, baselines: tuple[str, ...], words: HtmlWords, live: bool
) -> dict[str, Any]:
    """A run in the table of runs, with the names of the baselines that it is kept as."""
    names = (PAGES[words.lang], REPORT)
    page = next((p for p in map(run.folder.joinpath, names) if live or p.is_file()), None)
    unreadable = phrase("short.unreadable") if run.why_unreadable else None
    counts = {o.value: sum(gate.outcome is o for gate in run.gates) for o in Outcome}
    told = [phrase(f"tally.{outcome}", n=count) for outcome, count in counts.items() if count]
    return {
        "run": run,
        "address": run.folder.relative_to(runs).as_posix(),
        "link": quote(page.relative_to(runs).as_posix()) if page else "",
        "baselines": baselines,
        "verdict": words.cell(unreadable or short_verdict(run.may_ship).what),
        "tone": _TONES[run.may_ship],
        "why": words("history.other_criteria") if run.by_others else run.why_none,
        "numbers": [
            (name, words.cell(with_span(run.measured[name])))
            for name in run.headline
            if name in run.measured
        ],
        "gates": charts.tally_bar(counts) + words.cell(listed(told)) if told else Markup(),
        "passed": counts["pass"] / len(run.gates) if run.gates else "",
    }


def _plot(
    gate: GateHistory,
    history: SystemHistory,
    kept: Mapping[Path, tuple[str, ...]],
    words: HtmlWords,
) -> tuple[GateHistory, Markup, Markup, tuple[str, str]]:
    """A gate with its drawing, what it said last, and what the edges of the drawing stand for."""
    held = [found for found in gate.found if found is not None]
    last, needs = gate.last, bound(gate.last)
    spoken = phrase(
        "history.spoken",
        gate=gate.shown,
        value=verdict_value(last),
        runs=len(held),
        bound=needs,
        passed=sum(found.outcome is Outcome.PASS for found in held),
    )
    baselines = [bool(kept[run.folder]) for run in history.runs]
    label = words.cell(spoken).striptags()
    drawn, low, high = charts.history(gate.found, history.same_rows, baselines, label)
    write = points if last.policy.compares else number
    judged = Badge(last.outcome, crosses=False)
    said = phrase("history.last", value=verdict_value(last), badge=judged, bound=needs)
    return gate, words.cell(said), drawn, (write(high, gate.unit), write(low, gate.unit))


def _over_time(history: SystemHistory, lang: Lang) -> Markup:
    """Every gate of a system in its latest runs, as a table."""
    heads: list[Cell] = [
        phrase("col.gate"),
        *(f"{r.started:%m-%d %H:%M}" for r in history.runs[-RUNS_IN_TABLE:]),
    ]
    rows = [
        [Code(gate.shown), *map(_in_table, gate.found[-RUNS_IN_TABLE:])] for gate in history.gates
    ]
    return to_html(table(heads, rows), lang)


def _in_table(found: Verdict | None) -> Cell:
    if found is None:
        return None
    return listed([verdict_value(found), " ", Badge(found.outcome, False)], "")


def _systems(lines: Sequence[dict[str, Any]]) -> list[str]:
    return sorted({line["run"].system for line in lines if line["run"].system})


def _tiles(lines: Sequence[dict[str, Any]], words: HtmlWords) -> list[tuple[str, int]]:
    verdicts = [line["verdict"] for line in lines]
    told = (
        words(f"short.{key}") for key in ("may_ship", "may_not_ship", "no_verdict", "unreadable")
    )
    return [
        (words("page.kind.runs"), len(lines)),
        (words("section.systems"), len(_systems(lines))),
        *((said, verdicts.count(said)) for said in told if said in verdicts),
    ]


def _comparisons(runs: Path) -> list[tuple[str, str]]:
    """Links to the comparison pages in the folder, and what they are of."""
    found = sorted(runs.glob(f"{COMPARISON_PREFIX}*.html"))
    return [(quote(path.name), path.stem.removeprefix(COMPARISON_PREFIX)) for path in found]
