"""What a run's numbers do not say."""

from __future__ import annotations

from collections.abc import Iterable

from evalkit.gates import Outcome, Reason, Release, Verdict
from evalkit.reports.judged import JudgedRun
from evalkit.reports.view import (
    Blocks,
    Cell,
    Clause,
    Code,
    Paragraph,
    badge,
    bound,
    bullets,
    col,
    listed,
    phrase,
    table_of,
    verdict_span,
    verdict_value,
)


def limit_section(run: JudgedRun) -> Blocks:
    """What was not judged, does not apply or is open, and what is missing in the data."""
    release = run.release
    if release is None:
        command = Code(f"evalkit gate {run.name}")
        lines = [phrase("limit.unjudged", why=Clause(run.why_none), command=command)]
        crossing: list[Verdict] = []
    else:
        lines = list(_of_release(release))
        crossing = [v for v in release.verdicts if v.crosses]
    lines += _of_rows(run)
    blocks = bullets(lines)
    if crossing:
        blocks += [Paragraph(phrase("limit.crossing")), *_crossing_table(crossing)]
    return blocks or [Paragraph(phrase("no_limits"))]


def _of_release(release: Release) -> Iterable[Cell]:
    for fault in release.faults:
        yield phrase("evidence_fault", fault=Clause(fault))
    if release.not_judged:
        yield phrase("limit.not_judged", names=_names(release, release.not_judged))
    for why in dict.fromkeys(release.not_applicable.values()):
        names = [name for name, said in release.not_applicable.items() if said == why]
        yield phrase("limit.not_applicable", why=Clause(why), names=_names(release, names))
    for verdict in release.of(Outcome.INCONCLUSIVE):
        if not verdict.crosses:
            yield _open(verdict)


def _names(release: Release, gates: Iterable[str]) -> Cell:
    return listed(Code(release.called(gate)) for gate in gates)


def _of_rows(run: JudgedRun) -> Iterable[Cell]:
    record, rows = run.evaluation.record, run.evaluation.rows
    seen = len(rows) - len(run.evaluation.clean_rows)
    if seen:
        yield phrase("limit.seen", seen=seen, n=len(rows))
    if record.contamination.status == "unknown":
        yield phrase("limit.unknown")
    for key, n in (
        ("limit.unanswered", len(record.unanswered)),
        ("limit.left_out", record.data.left_out),
        ("limit.skipped", len(record.data.skipped)),
    ):
        if n:
            yield phrase(key, n=n)
    for note in record.all_notes:
        yield phrase("limit.note", note=Clause(note))


def _open(verdict: Verdict) -> Cell:
    n, gate = (verdict.estimate.n), Code(verdict.shown)
    if verdict.reason is Reason.TOO_FEW_CASES:
        n = verdict.estimate.independent
        return phrase("limit.few", gate=gate, n=n, needed=verdict.policy.min_cases)
    if verdict.reason is Reason.NOT_SHOWN:
        return phrase(
            "limit.not_shown",
            gate=gate,
            value=verdict_value(verdict),
            span=verdict_span(verdict),
            n=n,
            bound=bound(verdict),
        )
    return phrase("limit.open", gate=gate, note=Clause(verdict.note))


def _crossing_table(verdicts: list[Verdict]) -> Blocks:
    return table_of(
        verdicts,
        (col("gate", is_text=True), lambda v: Code(v.shown)),
        (col("value"), verdict_value),
        (col("interval", drop=1), verdict_span),
        (col("needs"), bound),
        (col("n", drop=2), lambda v: v.estimate.n),
        (col("settled"), lambda v: v.settled_by),
        (col("outcome", is_text=True), badge),
    )
