"""What the gates said: the verdict in sentences, what failed, and every gate."""

from __future__ import annotations

from evalkit.evaluation import Contest
from evalkit.gates import Outcome, Release, Verdict
from evalkit.reports.judged import JudgedRun
from evalkit.reports.markdown.figures import (
    NONE,
    bound,
    count,
    difference,
    figure,
    is_shown,
    p_in_words,
    shortfall,
    signed_span,
    verdict_span,
    verdict_value,
)
from evalkit.reports.markdown.text import Markdown, bold, bullets, code, paragraph, safe, table
from evalkit.reports.markdown.words import Words

FEW = 5
"""Names that are listed where not all need be."""


def verdict_sentence(run: JudgedRun, words: Words) -> Markdown:
    """Whether the system may ship."""
    if run.release is None:
        return words("verdict.no_verdict", why=words.clause(run.why_none))
    if run.release.partial:
        return words("verdict.partial")
    return words("verdict.may_ship" if run.release.may_ship else "verdict.may_not_ship")


def short_verdict(run: JudgedRun, words: Words) -> Markdown:
    """The same in a table."""
    if run.release is None or run.release.partial:
        return words("short.no_verdict")
    return words("short.may_ship" if run.release.may_ship else "short.may_not_ship")


def outcome(verdict: Verdict, words: Words) -> Markdown:
    """Pass, fail or inconclusive, marked where the interval crosses the threshold."""
    said = words(f"outcome.{verdict.outcome.value}")
    crosses = verdict.crosses and verdict.outcome is not Outcome.INCONCLUSIVE
    return Markdown(f"{said} \\~") if crosses else said


def conclusion_section(run: JudgedRun, words: Words) -> list[Markdown]:
    """The verdict, what failed and why that matters, and how it stands to other systems."""
    blocks = [bold(verdict_sentence(run, words))]
    release = run.release
    if release is None:
        return blocks
    failed = release.of(Outcome.FAIL)
    passed, undecided = (len(release.of(o)) for o in (Outcome.PASS, Outcome.INCONCLUSIVE))
    figures = (len(release.verdicts), passed, len(failed), undecided)
    keys = ("all", "passed", "failed", "open")
    blocks.append(words("counts", **dict(zip(keys, map(count, figures), strict=True))))
    lines = [words("evidence_fault", fault=words.clause(fault)) for fault in release.faults]
    if release.not_judged:
        lines.append(words("not_judged", names=words.gates(release.not_judged, FEW)))
    lines += [
        words(
            "regression",
            gate=code(r.label),
            value=figure(r.contest.comparison.first, r.contest.metric.unit),
            before=figure(r.contest.comparison.second, r.contest.metric.unit),
            difference=difference(words, r.contest.comparison.difference, r.contest.metric.unit),
            span=contest_span(r.contest, words),
            p=p_in_words(r.p_value),
        )
        for r in release.regressions
    ]
    lines += [
        contest_sentence(verdict.contest, run, words)
        for verdict in release.verdicts
        if verdict.contest is not None and verdict.contest.first == run.system
    ]
    blocks += bullets(lines)
    if failed:
        blocks += [paragraph(words("failed_gates")), *_failed_table(release, words)]
    return blocks


def contest_sentence(contest: Contest, run: JudgedRun, words: Words) -> Markdown:
    """What a paired test shows of this system against another."""
    key = "is_not_shown"
    if is_shown(contest):
        key = "is_better" if contest.advantage > 0 else "is_worse"
    found, unit = contest.comparison, contest.metric.unit
    return words(
        key,
        other=contest.second,
        metric=words.metric(contest.metric, run.evaluation.task.fields),
        difference=difference(words, found.difference, unit),
        span=contest_span(contest, words),
        p=p_in_words(found.p_value),
    )


def gate_section(release: Release, words: Words) -> list[Markdown]:
    """Every gate with its number, interval and bound."""
    everywhere = any(v.on_all_rows is not None for v in release.verdicts)
    headings = ["gate", "value", "n", "interval", "needs"]
    headings += ["all_rows"] if everywhere else []
    rows = []
    for verdict in release.verdicts:
        on_all = [figure(verdict.on_all_rows, verdict.unit)] if everywhere else []
        rows.append(
            [
                code(verdict.label),
                verdict_value(verdict),
                count(verdict.estimate.n),
                verdict_span(words, verdict),
                bound(verdict.policy, verdict.unit),
                *on_all,
                outcome(verdict, words),
            ]
        )
    columns = [words(f"col.{name}") for name in (*headings, "outcome")]
    blocks = table(columns, rows, texts_last=1)
    if any(v.crosses and v.outcome is not Outcome.INCONCLUSIVE for v in release.verdicts):
        blocks.append(Markdown(f"\\{words('tilde')}"))
    return blocks


def failed_gates(release: Release) -> dict[str, list[Verdict]]:
    """All verdicts of the gates that failed somewhere, by gate."""
    failed = dict.fromkeys(v.gate for v in release.of(Outcome.FAIL))
    return {gate: [v for v in release.verdicts if v.gate == gate] for gate in failed}


def contest_span(contest: Contest, words: Words) -> Markdown:
    """The interval of a comparison's difference."""
    found = contest.comparison
    return signed_span(words, found.low, found.high, contest.metric.unit)


def _failed_table(release: Release, words: Words) -> list[Markdown]:
    rows = []
    for gate, verdicts in failed_gates(release).items():
        failed = [v for v in verdicts if v.outcome is Outcome.FAIL]
        worst = max(failed, key=shortfall)
        value = verdict_value(worst)
        of = words("of", part=count(len(failed)), all=count(len(verdicts)))
        rows.append(
            [
                code(gate),
                of if len(verdicts) > 1 else NONE,
                words("part_value", part=worst.slice, value=value) if worst.slice else value,
                bound(worst.policy, worst.unit),
                safe(worst.policy.why),
            ]
        )
    headings = [words(f"col.{name}") for name in ("gate", "failed", "furthest", "needs", "why")]
    return table(headings, rows, 5)
