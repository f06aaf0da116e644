"""What the gates said: the verdict in sentences, what failed, and every gate."""

from __future__ import annotations

from evalkit.evaluation import Contest
from evalkit.gates import Outcome, Release, Verdict
from evalkit.reports.judged import JudgedRun
from evalkit.reports.view import (
    Blocks,
    Bold,
    Cell,
    Clause,
    Code,
    Paragraph,
    PValue,
    badge,
    bound,
    bullets,
    columns,
    contest_span,
    difference_in_words,
    figure,
    gate_names,
    is_shown,
    metric_name,
    phrase,
    table,
    verdict_span,
    verdict_value,
)

FEW = 5
"""Names that are listed where not all need be."""


def verdict_sentence(run: JudgedRun) -> Cell:
    """Whether the system may ship."""
    if run.release is None:
        return phrase("verdict.no_verdict", why=Clause(run.why_none))
    if run.release.partial:
        return phrase("verdict.partial")
    return phrase("verdict.may_ship" if run.release.may_ship else "verdict.may_not_ship")


def short_verdict(run: JudgedRun) -> Cell:
    """The same in a table."""
    if run.release is None or run.release.partial:
        return phrase("short.no_verdict")
    return phrase("short.may_ship" if run.release.may_ship else "short.may_not_ship")


def conclusion_section(run: JudgedRun) -> Blocks:
    """The verdict, what failed and why that matters, and how it stands to other systems."""
    blocks: Blocks = [Paragraph(Bold(verdict_sentence(run)))]
    release = run.release
    if release is None:
        return blocks
    failed = release.of(Outcome.FAIL)
    passed, undecided = (len(release.of(o)) for o in (Outcome.PASS, Outcome.INCONCLUSIVE))
    figures = (len(release.verdicts), passed, len(failed), undecided)
    keys = ("all", "passed", "failed", "open")
    blocks.append(Paragraph(phrase("counts", **dict(zip(keys, figures, strict=True)))))
    lines = [phrase("evidence_fault", fault=Clause(fault)) for fault in release.faults]
    if release.not_judged:
        lines.append(phrase("not_judged", names=gate_names(release.not_judged, FEW)))
    if lesser := [*(v.label for v in release.not_blocking), *release.left_open]:
        lines.append(phrase("not_blocking", names=gate_names(lesser, len(lesser))))
    lines += [
        phrase(
            "regression",
            gate=Code(r.label),
            value=figure(r.contest.comparison.first, r.contest.metric.unit),
            before=figure(r.contest.comparison.second, r.contest.metric.unit),
            difference=difference_in_words(r.contest),
            span=contest_span(r.contest),
            p=PValue(r.p_value, in_words=True),
        )
        for r in release.regressions
    ]
    lines += [
        contest_sentence(verdict.contest, run)
        for verdict in release.verdicts
        if verdict.contest is not None and verdict.contest.first == run.system
    ]
    blocks += bullets(lines)
    if failed:
        blocks += [Paragraph(phrase("failed_gates")), *_failed_table(release)]
    return blocks


def contest_sentence(contest: Contest, run: JudgedRun) -> Cell:
    """What a paired test shows of this system against another."""
    key = "is_not_shown"
    if is_shown(contest):
        key = "is_better" if contest.advantage > 0 else "is_worse"
    return phrase(
        key,
        other=contest.second,
        metric=metric_name(contest.metric, run.evaluation.task.fields),
        difference=difference_in_words(contest),
        span=contest_span(contest),
        p=PValue(contest.comparison.p_value, in_words=True),
    )


def gate_section(release: Release) -> Blocks:
    """Every gate with its number, interval and bound."""
    everywhere = any(v.on_all_rows is not None for v in release.verdicts)
    headings = ["gate", "value", "n", "interval", "needs"]
    headings += ["all_rows"] if everywhere else []
    rows = []
    for verdict in release.verdicts:
        on_all = [figure(verdict.on_all_rows, verdict.unit)] if everywhere else []
        rows.append(
            [
                Code(verdict.label),
                verdict_value(verdict),
                verdict.estimate.n,
                verdict_span(verdict),
                bound(verdict),
                *on_all,
                badge(verdict),
            ]
        )
    blocks = table(columns(*headings, "outcome"), rows, last=1)
    if any(badge(verdict).crosses for verdict in release.verdicts):
        blocks.append(Paragraph(phrase("tilde", mark="~")))
    return blocks


def failed_gates(release: Release) -> dict[str, list[Verdict]]:
    """All verdicts of the gates that failed somewhere, by gate."""
    failed = dict.fromkeys(v.gate for v in release.of(Outcome.FAIL))
    return {gate: [v for v in release.verdicts if v.gate == gate] for gate in failed}


def _failed_table(release: Release) -> Blocks:
    rows = []
    for gate, verdicts in failed_gates(release).items():
        failed = [v for v in verdicts if v.outcome is Outcome.FAIL]
        worst = max(failed, key=lambda v: v.shortfall)
        value = verdict_value(worst)
        of = phrase("of", part=len(failed), all=len(verdicts))
        rows.append(
            [
                Code(gate),
                of if len(verdicts) > 1 else None,
                phrase("part_value", part=worst.slice, value=value) if worst.slice else value,
                bound(worst),
                worst.policy.why,
            ]
        )
    return table(columns("gate", "failed", "furthest", "needs", "why"), rows, 5)
