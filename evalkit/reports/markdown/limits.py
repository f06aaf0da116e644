"""What a run's numbers do not say."""

from __future__ import annotations

from collections.abc import Iterable

from evalkit.gates import Outcome, Reason, Release, Verdict
from evalkit.reports.judged import JudgedRun
from evalkit.reports.markdown.figures import NONE, bound, count, verdict_span, verdict_value
from evalkit.reports.markdown.gates import outcome
from evalkit.reports.markdown.text import Markdown, bullets, code, paragraph, table
from evalkit.reports.markdown.words import Words


def limit_section(run: JudgedRun, words: Words) -> list[Markdown]:
    """What was not judged, does not apply or is open, and what is missing in the data."""
    release = run.release
    if release is None:
        lines = [words("limit.unjudged", why=words.clause(run.why_none))]
        crossing = []
    else:
        lines = list(_of_release(release, words))
        crossing = [v for v in release.verdicts if v.crosses]
    lines += _of_rows(run, words)
    blocks = bullets(lines)
    if crossing:
        blocks += [paragraph(words("limit.crossing")), *_crossing_table(crossing, words)]
    return blocks or [words("no_limits")]


def _of_release(release: Release, words: Words) -> Iterable[Markdown]:
    for fault in release.faults:
        yield words("evidence_fault", fault=words.clause(fault))
    if release.not_judged:
        yield words("limit.not_judged", names=words.gates(release.not_judged))
    for why in dict.fromkeys(release.excused.values()):
        names = [name for name, said in release.excused.items() if said == why]
        yield words("limit.excused", why=words.clause(why), names=words.gates(names))
    for verdict in release.of(Outcome.INCONCLUSIVE):
        if not verdict.crosses:
            yield _open(verdict, words)


def _of_rows(run: JudgedRun, words: Words) -> Iterable[Markdown]:
    record, rows = run.evaluation.record, run.evaluation.rows
    data = record.get("data", {})
    seen = len(rows) - len(run.evaluation.clean_rows)
    if seen:
        yield words("limit.seen", seen=count(seen), n=count(len(rows)))
    if record.get("contamination", {}).get("status") == "unknown":
        yield words("limit.unknown")
    for key, n in (
        ("limit.unanswered", len(record.get("unanswered", ()))),
        ("limit.left_out", data.get("left_out", 0)),
        ("limit.skipped", len(data.get("skipped", ()))),
    ):
        if n:
            yield words(key, n=count(n))
    for note in (*data.get("notes", ()), *record.get("notes", ())):
        yield words("limit.note", note=words.clause(note))


def _open(verdict: Verdict, words: Words) -> Markdown:
    n, gate = count(verdict.estimate.n), code(verdict.label)
    if verdict.reason is Reason.TOO_FEW_CASES:
        n = count(verdict.estimate.independent)
        return words("limit.few", gate=gate, n=n, needed=count(verdict.policy.min_cases))
    if verdict.reason is Reason.NOT_SHOWN:
        return words(
            "limit.not_shown",
            gate=gate,
            value=verdict_value(verdict),
            span=verdict_span(words, verdict),
            n=n,
            bound=bound(verdict.policy, verdict.unit),
        )
    return words("limit.open", gate=gate, note=words.clause(verdict.note))


def _crossing_table(verdicts: list[Verdict], words: Words) -> list[Markdown]:
    rows = [
        [
            code(v.label),
            verdict_value(v),
            verdict_span(words, v),
            bound(v.policy, v.unit),
            count(v.estimate.n),
            NONE if v.settled_by is None else count(v.settled_by),
            outcome(v, words),
        ]
        for v in verdicts
    ]
    headings = ("gate", "value", "interval", "needs", "n", "settled", "outcome")
    return table([words(f"col.{name}") for name in headings], rows, texts_last=1)
