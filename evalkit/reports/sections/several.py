"""Several runs as one report: MODEL_COMPARISON.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.errors import InsufficientData, UserError
from evalkit.evaluation import Contest, Measurement
from evalkit.gates import ALPHA, Outcome
from evalkit.locale import Lang
from evalkit.metrics import holm
from evalkit.reports.judged import JudgedRun
from evalkit.reports.render.markdown import to_markdown
from evalkit.reports.sections.gates import short_verdict
from evalkit.reports.sections.paired import differing, pair_blocks, shown_date
from evalkit.reports.sections.run import gigabytes, pairs, shown_cost
from evalkit.reports.terminal import headline_contests
from evalkit.reports.view import (
    Blocks,
    Cell,
    Code,
    Heading,
    Paragraph,
    PValue,
    badge,
    bullets,
    columns,
    contest_span,
    difference_in_words,
    figure,
    gate_names,
    listed,
    metric_name,
    phrase,
    table,
    verdict_value,
    with_span,
)
from evalkit.run_record import RunRecord

_HASH = 12
"""Characters of a hash that tell runs apart."""


def comparison_markdown(runs: Sequence[JudgedRun], lang: Lang) -> str:
    """Several runs as a Markdown report; the first is tested against each of the others.

    Args:
        runs: at least one.
        lang: the report's language.
    """
    names = _names(runs)
    tests = _tests(runs)
    sections = {
        "conclusion": _conclusion(runs, names, tests),
        "systems": _systems(runs, names),
        "headline": _headlines(runs, names),
        "gates": _gates(runs, names),
        "tests": _tested(runs, names),
        "cost_against_accuracy": _costs(runs, names),
        "differences": _differences(runs, names),
        "recommendation": _recommendation(runs, names, tests),
    }
    blocks: Blocks = [Heading(1, phrase("title.comparison"))]
    for name, section in sections.items():
        if section:
            blocks += [Heading(2, phrase(f"section.{name}")), *section]
    return to_markdown(blocks, lang)


def _names(runs: Sequence[JudgedRun]) -> list[str]:
    """The systems' names, or the runs' where a system is there twice."""
    systems = [run.system for run in runs]
    return [run.name if systems.count(run.system) > 1 else run.system for run in runs]


Tests = list[tuple[int, Contest, float]]
"""Of the first run against the others: which one, the test, and its p after Holm's correction."""


def _tests(runs: Sequence[JudgedRun]) -> Tests:
    """Being right, in every field and in all."""
    found = []
    for place, other in enumerate(runs[1:], start=1):
        try:
            contests = headline_contests(runs[0].evaluation, other.evaluation)
        except UserError:
            continue
        found += [(place, contest) for contest in contests]
    adjusted = holm([contest.comparison.p_value for _, contest in found])
    return [(place, c, p) for (place, c), p in zip(found, adjusted, strict=True)]


def _conclusion(runs: Sequence[JudgedRun], names: Sequence[Cell], tests: Tests) -> Blocks:
    lines = []
    may, may_not, undecided = _by_verdict(runs, names)
    if len(may_not) == len(runs):
        lines.append(phrase("ship.none", n=len(runs)))
    else:
        for key, found in (("ship.some", may), ("ship.not", may_not), ("ship.open", undecided)):
            if found:
                lines.append(phrase(key, names=listed(found)))
    for place, contest, p in tests:
        key = "not_apart"
        if p < ALPHA:
            key = "better_than" if contest.advantage > 0 else "worse_than"
        lines.append(
            phrase(
                key,
                first=names[0],
                second=names[place],
                metric=metric_name(contest.metric, runs[0].evaluation.task.fields),
                difference=difference_in_words(contest),
                span=contest_span(contest),
                p=PValue(p, in_words=True),
            )
        )
    if len({_rows_of(run) for run in runs}) > 1:
        lines.append(phrase("other_data"))
    return bullets(lines)


def _by_verdict(
    runs: Sequence[JudgedRun], names: Sequence[Cell]
) -> tuple[list[Cell], list[Cell], list[Cell]]:
    """Who may ship, who may not, and of whom that is not known."""
    found: tuple[list[Cell], list[Cell], list[Cell]] = ([], [], [])
    for run, name in zip(runs, names, strict=True):
        if run.release is None or run.release.partial:
            found[2].append(name)
        else:
            found[0 if run.release.may_ship else 1].append(name)
    return found


def _rows_of(run: JudgedRun) -> str:
    return str(run.evaluation.record.data.sha256)


def _systems(runs: Sequence[JudgedRun], names: Sequence[Cell]) -> Blocks:
    rows = []
    for run, name in zip(runs, names, strict=True):
        failed = None
        if run.release is not None:
            failed = phrase(
                "failed_of",
                failed=len(run.release.of(Outcome.FAIL)),
                all=len(run.release.verdicts),
            )
        rows.append([name, run.name, shown_date(run), short_verdict(run), failed])
    return table(columns("system", "run", "date", "outcome", "gates"), rows, 5)


def _headlines(runs: Sequence[JudgedRun], names: Sequence[Cell]) -> Blocks:
    """Every usual number of every system."""
    overviews = [run.evaluation.overview() for run in runs]
    metrics = {
        metric.name: (metric, run.evaluation.task.fields)
        for run in runs
        for metric in run.evaluation.usual_metrics()
    }
    rows = [
        [
            metric_name(*metrics[name]),
            *(_number(overview.get(name)) for overview in overviews),
        ]
        for name in dict.fromkeys(name for overview in overviews for name in overview)
    ]
    rows.append([phrase("col.rows"), *((len(run.evaluation.rows)) for run in runs)])
    blocks = table([phrase("col.metric"), *names], rows)
    return [*blocks, Paragraph(phrase("headline_note"))]


def _number(found: Measurement | None) -> Cell:
    if found is None:
        return None
    return with_span(found.estimate, found.metric.unit if found.metric else "%")


def _gates(runs: Sequence[JudgedRun], names: Sequence[Cell]) -> Blocks:
    """What each gate said of each system."""
    judged = [{v.label: v for v in run.release.verdicts} if run.release else {} for run in runs]
    labels = dict.fromkeys(label for found in judged for label in found)
    rows = []
    for label in labels:
        cells = [
            listed([verdict_value(found[label]), " ", badge(found[label])], "")
            if label in found
            else None
            for found in judged
        ]
        rows.append([Code(label), *cells])
    blocks = table([phrase("col.gate"), *names], rows)
    other = [
        label
        for label in labels
        if len({_bound_of(found[label].policy) for found in judged if label in found}) > 1
    ]
    if other:
        blocks.append(Paragraph(phrase("other_criteria", gates=gate_names(other))))
    return blocks


def _bound_of(policy: Any) -> tuple[object, ...]:
    return policy.min_value, policy.max_value, policy.min_difference, policy.min_cases


def _tested(runs: Sequence[JudgedRun], names: Sequence[Cell]) -> Blocks:
    if len(runs) == 1:
        return [Paragraph(phrase("one_run"))]
    blocks: Blocks = [Paragraph(phrase("tests_of_first", first=names[0]))]
    for other, name in zip(runs[1:], names[1:], strict=True):
        title = phrase("pair", first=names[0], second=name)
        blocks += [Heading(3, title), *pair_blocks(runs[0], other)]
    return [*blocks, Paragraph(phrase("test_note"))]


def _costs(runs: Sequence[JudgedRun], names: Sequence[Cell]) -> Blocks:
    rows = []
    metric = runs[0].evaluation.headline_metrics()[0]
    for run, name in zip(runs, names, strict=True):
        cost = run.evaluation.record.cost.to_json()
        memory = cost.get("peak_memory_bytes", {})
        used = [listed([f"{where} ", gigabytes(n)], "") for where, n in memory.items()]
        try:
            right = figure(run.evaluation.measure(run.evaluation.headline_metrics()[0]).estimate)
        except InsufficientData:
            right = None
        rows.append(
            [
                name,
                right,
                shown_cost(cost, "rows_per_second"),
                shown_cost(cost, "seconds_per_row_p50"),
                shown_cost(cost, "seconds_per_row_p95"),
                shown_cost(cost, "generated_tokens"),
                listed(used) if used else None,
            ]
        )
    heads = [
        phrase("col.system"),
        metric_name(metric, runs[0].evaluation.task.fields),
        *columns("speed", "p50", "p95", "tokens", "memory"),
    ]
    blocks = table(heads, rows)
    blocks += bullets(
        phrase("other_reused", name=name, reused=reused, n=len(run.evaluation.rows))
        for run, name in zip(runs, names, strict=True)
        if (reused := run.evaluation.record.reused_rows)
    )
    if {"engine", "machine"} & set(differing(runs)):
        blocks.append(Paragraph(phrase("other_machines")))
    return blocks


def _differences(runs: Sequence[JudgedRun], names: Sequence[Cell]) -> Blocks:
    """What identifies the runs and is not the same in all of them."""
    if len(runs) == 1:
        return []
    keys = differing(runs)
    if not keys:
        return [Paragraph(phrase("same_record"))]
    rows = [
        [
            phrase(f"diff.{key}"),
            *(_identity(key, [r.evaluation.record for r in runs], n) for n in range(len(runs))),
        ]
        for key in keys
    ]
    return table([phrase("col.what"), *names], rows, len(runs) + 1)


def _identity(key: str, records: Sequence[RunRecord], place: int) -> Cell:
    found = records[place].identity()[key]
    if not found:
        return None
    if key == "data":
        return f"{records[place].data.source} ({found[:_HASH]})"
    if key == "trained_sha256":
        return listed(f"{n} {str(h)[:_HASH]}" for n, h in found.items())
    if key.endswith("_sha256") or key == "commit":
        return str(found)[:_HASH]
    if isinstance(found, Mapping):
        # Only what is not the same everywhere.
        shared = [record.identity()[key] for record in records]
        differ = {n: v for n, v in found.items() if any(r.get(n) != v for r in shared)}
        return pairs(differ) if differ else None
    return str(found)


def _recommendation(runs: Sequence[JudgedRun], names: Sequence[Cell], tests: Tests) -> Blocks:
    """From the verdicts; where several may ship, from the tests of the first against them too."""
    may, _, _ = _by_verdict(runs, names)
    if not may:
        return [Paragraph(phrase("recommend.none"))]
    if len(may) == 1:
        return [Paragraph(phrase("recommend.one", name=may[0]))]
    blocks: Blocks = [Paragraph(phrase("recommend.several", names=listed(may)))]
    if names[0] in may and (beaten := _beaten(tests)):
        others = [names[place] for place in beaten if names[place] in may]
        if others:
            said = phrase("recommend.first", first=names[0], names=listed(others))
            blocks.append(Paragraph(said))
    return blocks


def _beaten(tests: Tests) -> list[int]:
    """The runs that the first is significantly better than somewhere, and worse than nowhere."""
    shown = [(place, contest.advantage > 0) for place, contest, p in tests if p < ALPHA]
    return [
        place
        for place in dict.fromkeys(place for place, _ in shown)
        if all(better for other, better in shown if other == place)
    ]
