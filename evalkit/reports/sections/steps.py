"""What to do next, by plain rules from the verdicts and the weakest values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from evalkit.gates import Outcome, Release, Verdict
from evalkit.locale import in_a_row, parts_of
from evalkit.reports.judged import JudgedRun
from evalkit.reports.sections.gates import FEW, failed_gates
from evalkit.reports.sections.measured import Measured
from evalkit.reports.sections.slices import describe_weakest, find_weakest
from evalkit.reports.view import (
    Blocks,
    Cell,
    Clause,
    Code,
    Paragraph,
    bound,
    bullets,
    gate_names,
    listed,
    phrase,
    verdict_value,
)

_CLAUSES = 3
"""Of a gate's details, how many are repeated."""


def step_section(run: JudgedRun, measured: Measured) -> Blocks:
    """The steps in this order.

    What keeps the evidence from counting; each field's value of least recall, with the failed
    gates that rest on the field; the other failed gates; the open ones that more cases would
    settle.
    """
    steps = [*_of_evidence(run)]
    served: set[str] = set()
    for name, field in run.evaluation.task.fields.items():
        for weakest in find_weakest(run.evaluation, name, measured.scores[name]):
            key = "step.value" if weakest.is_read else "step.unread"
            step: Cell = phrase(key, field=Code(name), **describe_weakest(weakest, field))
            failed = [v.shown for v in measured.of_field(name) if v.outcome is Outcome.FAIL]
            served |= set(failed)
            if failed:
                step = listed([step, phrase("step.serves", gates=gate_names(failed))], "")
            steps.append(step)
    if run.release is not None:
        steps += _of_release(run.release, served)
    return bullets(steps, numbered=True) or [Paragraph(phrase("no_steps"))]


def _of_evidence(run: JudgedRun) -> Iterable[Cell]:
    release = run.release
    if release is None:
        yield phrase("step.judge", command=Code(f"evalkit gate {run.name}"))
    else:
        for fault in release.faults:
            yield phrase("step.fault", fault=Clause(fault))
        if release.not_judged:
            yield phrase(
                "step.not_judged",
                names=gate_names(list(map(release.called, release.not_judged)), FEW),
            )
    said = run.evaluation.record.contamination
    if said.status == "unknown":
        yield phrase("step.seen", why=Clause(said.why))


def _of_release(release: Release, served: set[str]) -> Iterable[Cell]:
    for regression in release.regressions:
        yield phrase("step.regression", gate=Code(release.called(regression.label)))
    for gate, verdicts in failed_gates(release).items():
        failed = [v for v in verdicts if v.outcome is Outcome.FAIL]
        if not {v.shown for v in failed} <= served:
            yield _gate_step(gate, verdicts, failed)
    for verdict in release.of(Outcome.INCONCLUSIVE):
        yield from _settling_step(verdict)


def _gate_step(gate: str, verdicts: Sequence[Verdict], failed: Sequence[Verdict]) -> Cell:
    worst = max(failed, key=lambda v: v.shortfall)
    value, needs = verdict_value(worst), bound(worst)
    if len(verdicts) == 1:
        said = phrase("step.gate", gate=Code(worst.shown), value=value, bound=needs)
    else:
        said = phrase(
            "step.gates",
            gate=Code(gate),
            failed=len(failed),
            all=len(verdicts),
            part=Code(worst.shown),
            value=value,
            bound=needs,
        )
    if not worst.weakest:
        return said
    parts = parts_of(worst.weakest)
    more = ["…"] if len(parts) > _CLAUSES else []
    detail = in_a_row([*parts[:_CLAUSES], *more])
    return listed([said, phrase("step.detail", detail=detail)], "")


def _settling_step(verdict: Verdict) -> Iterable[Cell]:
    n, gate = verdict.estimate.n, Code(verdict.shown)
    if verdict.estimate.independent < verdict.policy.min_cases:
        n = verdict.estimate.independent
        yield phrase("step.few", gate=gate, needed=verdict.policy.min_cases, n=n)
    elif verdict.settled_by is not None and verdict.settled_by > n:
        yield phrase("step.more", gate=gate, settled=verdict.settled_by, n=n)
