"""What the gates said: the verdict in sentences, what failed, and every gate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from evalkit.evaluation import PairedComparison
from evalkit.gates import Outcome, Release, Verdict, find_failures, overrun
from evalkit.reports.diagnosis import to_try
from evalkit.reports.judged import JudgedRun
from evalkit.reports.numbers import paired_line
from evalkit.reports.sections.cases import to_rows
from evalkit.reports.sections.verdict import verdict_section
from evalkit.reports.view import (
    Badge,
    Blocks,
    Bold,
    Cell,
    Clause,
    Code,
    Column,
    Data,
    GateName,
    GateSpan,
    Group,
    Lines,
    Paragraph,
    Plain,
    Table,
    badge,
    bound,
    bullets,
    figure,
    is_shown,
    listed,
    metric_name,
    opponent,
    phrase,
    table,
    tested,
    verdict_span,
    verdict_value,
)


def verdict_sentence(run: JudgedRun) -> Cell:
    """Whether the system may ship."""
    if run.release is None:
        return phrase("verdict.no_verdict", why=Clause(run.why_none))
    if run.release.partial:
        return phrase("verdict.partial")
    return phrase("verdict.may_ship" if run.release.may_ship else "verdict.may_not_ship")


def conclusion_section(run: JudgedRun) -> Blocks:
    """The verdict and its reasons, how it stands to other systems, and what failed, by gate."""
    release = run.release
    if release is None:
        return [Paragraph(Bold(verdict_sentence(run)))]
    blocks = [
        *verdict_section(release, run.evaluation.task.fields, to_try(run)),
        *paired_lines(run, release),
    ]
    if failed := {v.gate for v in release.of(Outcome.FAIL)}:
        table = criteria_table(release, len(failed), why=True)
        blocks += [Paragraph(phrase("failed_gates")), *table]
    return blocks


def paired_lines(run: JudgedRun, release: Release) -> Blocks:
    """What is worse than in the baseline run, and how the system stands to others."""
    lines = [
        phrase(
            "regression",
            gate=Code(release.called(r.label)),
            value=figure(r.paired.comparison.first, r.paired.metric.unit),
            before=figure(r.paired.comparison.second, r.paired.metric.unit),
            **tested(r.paired, r.p_value),
        )
        for r in release.regressions
    ]
    lines += [
        paired_sentence(verdict.paired, run)
        for verdict in release.verdicts
        if verdict.paired is not None and verdict.paired.first == run.system
    ]
    return bullets(lines)


def paired_sentence(paired: PairedComparison, run: JudgedRun) -> Cell:
    """What a paired test shows of this system against another."""
    key = "is_not_shown"
    if is_shown(paired):
        key = "is_better" if paired.advantage > 0 else "is_worse"
    return phrase(
        key,
        other=paired.second,
        metric=metric_name(paired.metric, run.evaluation.task.fields),
        **tested(paired, paired.comparison.p_value),
    )


def gate_section(release: Release) -> Blocks:
    """Every gate with its number, interval and bound; what did not pass first."""
    everywhere = any(v.on_all_rows is not None for v in release.verdicts)
    heads = (
        Column(phrase("col.gate"), is_text=True),
        Column(phrase("col.outcome"), is_text=True),
        Column(phrase("col.value")),
        Column(phrase("col.interval"), drop=1),
        Column(phrase("col.needs")),
        Column(phrase("col.n"), drop=3),
        Column(phrase("col.drop"), drop=4),
        *([Column(phrase("col.all_rows"), drop=2)] if everywhere else []),
        Column(phrase("col.known"), is_text=True, is_wide=True),
    )
    judged = criteria(release)
    groups = tuple(_group(name, verdicts) for name, verdicts in judged.items())
    rows = tuple(_gate_row(v, found, everywhere) for found in judged.values() for v in found)
    blocks: Blocks = [Table(heads, rows, groups=groups)] if rows else []
    if any(badge(verdict).crosses for verdict in release.verdicts):
        blocks.append(Paragraph(phrase("tilde", mark="~")))
    if any(verdict.detects is not None for verdict in release.verdicts):
        blocks.append(Paragraph(phrase("drop")))
    return blocks


def _group(name: str, verdicts: Sequence[Verdict]) -> Group:
    asks = Counter(v.asks for v in verdicts).most_common(1)[0][0]
    why = dict.fromkeys(v.policy.why for v in verdicts)
    return Group(name, asks, tuple(why), len(verdicts))


def _gate_row(verdict: Verdict, beside: Sequence[Verdict], everywhere: bool) -> tuple[Cell, ...]:
    behind = len(verdict.cases) or len(verdict.wrong)
    known = [*_known(verdict)]
    known += [to_rows(phrase("page.against", n=behind), verdict)] if behind else []
    return (
        GateName(verdict, is_part=any(v.slice for v in beside)),
        badge(verdict),
        verdict_value(verdict),
        GateSpan(verdict, tuple(beside)),
        bound(verdict),
        verdict.estimate.n,
        Plain(100 * verdict.detects) if verdict.detects is not None else "",
        *([figure(verdict.on_all_rows, verdict.unit) or ""] if everywhere else []),
        Lines(tuple(known)),
    )


def criteria(release: Release) -> dict[str, list[Verdict]]:
    """All verdicts by criterion: first what failed, by what it costs, then what is open.

    Within a criterion the verdict furthest beyond its bound comes first.
    """
    order = [v for found in find_failures(release.verdicts) for v in found.failed]
    order += release.of(Outcome.INCONCLUSIVE)
    found: dict[str, list[Verdict]] = {v.gate: [] for v in (*order, *release.verdicts)}
    places = {Outcome.FAIL: 0, Outcome.INCONCLUSIVE: 1, Outcome.PASS: 2}
    for verdict in sorted(release.verdicts, key=lambda v: (places[v.outcome], -overrun(v))):
        found[verdict.gate].append(verdict)
    return found


def criteria_table(release: Release, most: int, *, why: bool = False) -> Blocks:
    """A line for each criterion: how many of its gates did not pass, and the furthest of them.

    There are `most` lines at most; with `why`, each has the reason of its bound.
    """
    heads = [
        Column(phrase("col.gate"), is_text=True),
        Column(phrase("col.outcome"), is_text=True),
        Column(phrase("col.furthest"), is_text=True),
        Column(phrase("col.ci"), drop=1),
        Column(phrase("col.needs")),
        *([Column(phrase("col.why"), is_text=True, folds=True)] if why else []),
    ]
    rows = []
    for name, verdicts in list(criteria(release).items())[:most]:
        worst = verdicts[0]
        value = listed([verdict_value(worst), *opponent(worst)], "form.beside")
        alike = sum(v.outcome is worst.outcome for v in verdicts)
        of = phrase("of", part=alike, all=len(verdicts)) if len(verdicts) > 1 else ""
        part = worst.part or worst.slice
        rows.append(
            [
                Code(name),
                listed([Badge(worst.outcome, crosses=False), of], "form.beside")
                if of
                else badge(worst),
                phrase("part_value", part=Data(part, 30), value=value) if part else value,
                verdict_span(worst),
                bound(worst),
                *([worst.policy.why] if why else []),
            ]
        )
    return table(heads, rows)


def _known(verdict: Verdict) -> Iterator[Cell]:
    """What has to be known to read a gate's number."""
    if verdict.note:
        yield verdict.note
    if verdict.paired is not None:
        yield paired_line(verdict.paired)
    if verdict.weakest:
        yield phrase("page.weakest", what=verdict.weakest)
    if verdict.settled_by is not None and verdict.settled_by > verdict.estimate.n:
        yield phrase("page.settled", n=verdict.settled_by)
    if verdict.regression is not None:
        yield phrase("page.baseline", what=paired_line(verdict.regression))


def gate_line(verdict: Verdict) -> Cell:
    """One gate on one line: value, count, interval, bound, outcome."""
    estimate = verdict.estimate
    is_share = estimate.successes is not None
    count = f"{estimate.successes}/{estimate.n}" if is_share else f"n={estimate.n}"
    return phrase(
        "gate.line",
        gate=listed([Data(verdict.shown, 100), *opponent(verdict)], "form.beside"),
        value=verdict_value(verdict),
        count=phrase("gate.clean", n=count) if verdict.on_all_rows is not None else count,
        span=verdict_span(verdict),
        bound=bound(verdict),
        outcome=Badge(verdict.outcome, crosses=False),  # a line below says that it crosses
    )


def explain(verdict: Verdict) -> Blocks:
    """Why a gate says what it says: what it asks, its number, the reason of its bound."""
    lines = [gate_line(verdict)]
    lines += [phrase("gate.asks", asks=Clause(verdict.asks))] if verdict.asks else []
    lines += [phrase("gate.why", why=verdict.policy.why), *_known(verdict)]
    if verdict.on_all_rows is not None:
        lines.append(phrase("page.on_all", value=figure(verdict.on_all_rows, verdict.unit)))
    if verdict.detects is not None:
        lines.append(phrase("page.detects", points=Plain(100 * verdict.detects)))
    return bullets(lines)
