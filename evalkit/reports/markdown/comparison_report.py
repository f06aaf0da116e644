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
from evalkit.reports.markdown.figures import (
    NONE,
    count,
    difference,
    figure,
    p_in_words,
    signed_span,
    verdict_value,
    with_span,
)
from evalkit.reports.markdown.gates import outcome, short_verdict
from evalkit.reports.markdown.paired import differing, pair_blocks, shown_date
from evalkit.reports.markdown.run_report import pairs, shown_cost
from evalkit.reports.markdown.text import (
    Markdown,
    bullets,
    code,
    document,
    heading,
    join,
    paragraph,
    safe,
    table,
)
from evalkit.reports.markdown.words import Words
from evalkit.reports.terminal import headline_contests

_HASH = 12
"""Characters of a hash that tell runs apart."""


def comparison_markdown(runs: Sequence[JudgedRun], lang: Lang) -> str:
    """Several runs as a Markdown report; the first is tested against each of the others.

    Args:
        runs: at least one.
        lang: the report's language.
    """
    words = Words(lang)
    names = _names(runs)
    tests = _tests(runs)
    sections = {
        "conclusion": _conclusion(runs, names, tests, words),
        "systems": _systems(runs, names, words),
        "headline": _headlines(runs, names, words),
        "gates": _gates(runs, names, words),
        "tests": _tested(runs, names, words),
        "cost_against_accuracy": _costs(runs, names, words),
        "differences": _differences(runs, names, words),
        "recommendation": _recommendation(runs, names, tests, words),
    }
    blocks = [heading(1, words("title.comparison"))]
    for name, section in sections.items():
        if section:
            blocks += [heading(2, words(f"section.{name}")), *section]
    return document(blocks)


def _names(runs: Sequence[JudgedRun]) -> list[Markdown]:
    """The systems' names, or the runs' where a system is there twice."""
    systems = [run.system for run in runs]
    return [safe(run.name if systems.count(run.system) > 1 else run.system) for run in runs]


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


def _conclusion(
    runs: Sequence[JudgedRun], names: Sequence[Markdown], tests: Tests, words: Words
) -> list[Markdown]:
    lines = []
    may, may_not, undecided = _by_verdict(runs, names)
    if len(may_not) == len(runs):
        lines.append(words("ship.none", n=count(len(runs))))
    else:
        for key, found in (("ship.some", may), ("ship.not", may_not), ("ship.open", undecided)):
            if found:
                lines.append(words(key, names=words.listed(found)))
    for place, contest, p in tests:
        key = "not_apart"
        if p < ALPHA:
            key = "better_than" if contest.advantage > 0 else "worse_than"
        comparison, unit = contest.comparison, contest.metric.unit
        lines.append(
            words(
                key,
                first=names[0],
                second=names[place],
                metric=words.metric(contest.metric, runs[0].evaluation.task.fields),
                difference=difference(words, comparison.difference, unit),
                span=signed_span(words, comparison.low, comparison.high, unit),
                p=p_in_words(p),
            )
        )
    if len({_rows_of(run) for run in runs}) > 1:
        lines.append(words("other_data"))
    return bullets(lines)


def _by_verdict(
    runs: Sequence[JudgedRun], names: Sequence[Markdown]
) -> tuple[list[Markdown], list[Markdown], list[Markdown]]:
    """Who may ship, who may not, and of whom that is not known."""
    found: tuple[list[Markdown], list[Markdown], list[Markdown]] = ([], [], [])
    for run, name in zip(runs, names, strict=True):
        if run.release is None or run.release.partial:
            found[2].append(name)
        else:
            found[0 if run.release.may_ship else 1].append(name)
    return found


def _rows_of(run: JudgedRun) -> str:
    return str(run.evaluation.record.get("data", {}).get("sha256"))


def _systems(runs: Sequence[JudgedRun], names: Sequence[Markdown], words: Words) -> list[Markdown]:
    rows = []
    for run, name in zip(runs, names, strict=True):
        failed = NONE
        if run.release is not None:
            failed = words(
                "failed_of",
                failed=count(len(run.release.of(Outcome.FAIL))),
                all=count(len(run.release.verdicts)),
            )
        rows.append([name, safe(run.name), shown_date(run), short_verdict(run, words), failed])
    columns = [words(f"col.{key}") for key in ("system", "run", "date", "outcome", "gates")]
    return table(columns, rows, 5)


def _headlines(
    runs: Sequence[JudgedRun], names: Sequence[Markdown], words: Words
) -> list[Markdown]:
    """Every usual number of every system."""
    overviews = [run.evaluation.overview() for run in runs]
    metrics = {
        metric.name: (metric, run.evaluation.task.fields)
        for run in runs
        for metric in run.evaluation.usual_metrics()
    }
    rows = [
        [
            words.metric(*metrics[name]),
            *(_number(overview.get(name), words) for overview in overviews),
        ]
        for name in dict.fromkeys(name for overview in overviews for name in overview)
    ]
    rows.append([words("col.rows"), *(count(len(run.evaluation.rows)) for run in runs)])
    blocks = table([words("col.metric"), *names], rows)
    return [*blocks, paragraph(words("headline_note"))]


def _number(found: Measurement | None, words: Words) -> Markdown:
    if found is None:
        return NONE
    return with_span(words, found.estimate, found.metric.unit if found.metric else "%")


def _gates(runs: Sequence[JudgedRun], names: Sequence[Markdown], words: Words) -> list[Markdown]:
    """What each gate said of each system."""
    judged = [{v.label: v for v in run.release.verdicts} if run.release else {} for run in runs]
    labels = dict.fromkeys(label for found in judged for label in found)
    rows = []
    for label in labels:
        cells = [
            Markdown(f"{verdict_value(found[label])} {outcome(found[label], words)}")
            if label in found
            else NONE
            for found in judged
        ]
        rows.append([code(label), *cells])
    blocks = table([words("col.gate"), *names], rows)
    other = [
        label
        for label in labels
        if len({_bound_of(found[label].policy) for found in judged if label in found}) > 1
    ]
    if other:
        blocks.append(paragraph(words("other_criteria", gates=words.gates(other))))
    return blocks


def _bound_of(policy: Any) -> tuple[object, ...]:
    return policy.min_value, policy.max_value, policy.min_difference, policy.min_cases


def _tested(runs: Sequence[JudgedRun], names: Sequence[Markdown], words: Words) -> list[Markdown]:
    if len(runs) == 1:
        return [words("one_run")]
    blocks = [paragraph(words("tests_of_first", first=names[0]))]
    for other, name in zip(runs[1:], names[1:], strict=True):
        title = words("pair", first=names[0], second=name)
        blocks += [heading(3, title), *pair_blocks(runs[0], other, words)]
    return [*blocks, paragraph(words("test_note"))]


def _costs(runs: Sequence[JudgedRun], names: Sequence[Markdown], words: Words) -> list[Markdown]:
    rows = []
    metric = runs[0].evaluation.headline_metrics()[0]
    for run, name in zip(runs, names, strict=True):
        cost = run.evaluation.record.get("cost", {})
        memory = cost.get("peak_memory_bytes", {})
        used = [
            Markdown(f"{safe(where)} {words('gigabytes', gigabytes=Markdown(f'{n / 1e9:.1f}'))}")
            for where, n in memory.items()
        ]
        try:
            right = figure(run.evaluation.measure(run.evaluation.headline_metrics()[0]).estimate)
        except InsufficientData:
            right = NONE
        rows.append(
            [
                name,
                right,
                shown_cost(cost, "rows_per_second"),
                shown_cost(cost, "seconds_per_row_p50"),
                shown_cost(cost, "seconds_per_row_p95"),
                shown_cost(cost, "generated_tokens"),
                words.listed(used) if used else NONE,
            ]
        )
    columns = [
        words("col.system"),
        words.metric(metric, runs[0].evaluation.task.fields),
        *(words(f"col.{key}") for key in ("speed", "p50", "p95", "tokens", "memory")),
    ]
    blocks = table(columns, rows)
    blocks += bullets(
        words("other_reused", name=name, reused=count(reused), n=count(len(run.evaluation.rows)))
        for run, name in zip(runs, names, strict=True)
        if (reused := run.evaluation.record.get("reused_rows"))
    )
    if {"engine", "machine"} & set(differing(runs)):
        blocks.append(words("other_machines"))
    return blocks


def _differences(
    runs: Sequence[JudgedRun], names: Sequence[Markdown], words: Words
) -> list[Markdown]:
    """What identifies the runs and is not the same in all of them."""
    if len(runs) == 1:
        return []
    keys = differing(runs)
    if not keys:
        return [words("same_record")]
    rows = [
        [
            words(f"diff.{key}"),
            *(
                _identity(key, [r.evaluation.record for r in runs], n, words)
                for n in range(len(runs))
            ),
        ]
        for key in keys
    ]
    return table([words("col.what"), *names], rows, len(runs) + 1)


def _identity(key: str, records: Sequence[Mapping[str, Any]], place: int, words: Words) -> Markdown:
    found = records[place].get(key)
    if not found:
        return NONE
    if key == "data":
        return safe(f"{found.get('source', '')} ({str(found.get('sha256', ''))[:_HASH]})")
    if key == "trained_sha256":
        return join(words("form.list"), [safe(f"{n} {str(h)[:_HASH]}") for n, h in found.items()])
    if key.endswith("_sha256") or key == "commit":
        return safe(str(found)[:_HASH])
    if isinstance(found, Mapping):
        # Only what is not the same everywhere.
        shared = [record.get(key) or {} for record in records]
        differ = {n: v for n, v in found.items() if any(r.get(n) != v for r in shared)}
        return pairs(differ, words) if differ else NONE
    return safe(found)


def _recommendation(
    runs: Sequence[JudgedRun], names: Sequence[Markdown], tests: Tests, words: Words
) -> list[Markdown]:
    """From the verdicts; where several may ship, from the tests of the first against them too."""
    may, _, _ = _by_verdict(runs, names)
    if not may:
        return [paragraph(words("recommend.none"))]
    if len(may) == 1:
        return [paragraph(words("recommend.one", name=may[0]))]
    blocks = [paragraph(words("recommend.several", names=words.listed(may)))]
    if names[0] in may and (beaten := _beaten(tests)):
        listed = words.listed([names[place] for place in beaten if names[place] in may])
        if listed:
            blocks.append(paragraph(words("recommend.first", first=names[0], names=listed)))
    return blocks


def _beaten(tests: Tests) -> list[int]:
    """The runs that the first is significantly better than somewhere, and worse than nowhere."""
    shown = [(place, contest.advantage > 0) for place, contest, p in tests if p < ALPHA]
    return [
        place
        for place in dict.fromkeys(place for place, _ in shown)
        if all(better for other, better in shown if other == place)
    ]
