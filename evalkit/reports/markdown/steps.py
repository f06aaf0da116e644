"""What to do next, by plain rules from the verdicts and the weakest values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from evalkit.gates import Outcome, Release, Verdict
from evalkit.locale import in_a_row, parts_of
from evalkit.reports.judged import JudgedRun
from evalkit.reports.markdown.figures import bound, count, shortfall, verdict_value
from evalkit.reports.markdown.gates import FEW, failed_gates
from evalkit.reports.markdown.measured import Measured
from evalkit.reports.markdown.slices import describe_weakest, find_weakest
from evalkit.reports.markdown.text import Markdown, code, numbered
from evalkit.reports.markdown.words import Words

_CLAUSES = 3
"""Of a gate's details, how many are repeated."""


def step_section(run: JudgedRun, measured: Measured, words: Words) -> list[Markdown]:
    """The steps in this order.

    What keeps the evidence from counting; each field's value of least recall, with the failed
    gates that rest on the field; the other failed gates; the open ones that more cases would
    settle.
    """
    steps = [*_of_evidence(run, words)]
    served: set[str] = set()
    for name, field in run.evaluation.task.fields.items():
        for weakest in find_weakest(run.evaluation, name, measured.scores[name]):
            key = "step.value" if weakest.is_read else "step.unread"
            step = words(key, field=code(name), **describe_weakest(weakest, field, words))
            failed = [v.label for v in measured.of_field(name) if v.outcome is Outcome.FAIL]
            served |= set(failed)
            if failed:
                step = Markdown(step + words("step.serves", gates=words.gates(failed)))
            steps.append(step)
    if run.release is not None:
        steps += _of_release(run.release, served, words)
    return numbered(steps) or [words("no_steps")]


def _of_evidence(run: JudgedRun, words: Words) -> Iterable[Markdown]:
    release = run.release
    if release is None:
        yield words("step.judge", command=code(f"evalkit gate {run.name}"))
    else:
        for fault in release.faults:
            yield words("step.fault", fault=words.clause(fault))
        if release.not_judged:
            yield words("step.not_judged", names=words.gates(release.not_judged, FEW))
    said = run.evaluation.record.get("contamination", {})
    if said.get("status") == "unknown":
        yield words("step.seen", why=words.clause(said["why"]))


def _of_release(release: Release, served: set[str], words: Words) -> Iterable[Markdown]:
    for regression in release.regressions:
        yield words("step.regression", gate=code(regression.label))
    for gate, verdicts in failed_gates(release).items():
        failed = [v for v in verdicts if v.outcome is Outcome.FAIL]
        if not {v.label for v in failed} <= served:
            yield _gate_step(gate, verdicts, failed, words)
    for verdict in release.of(Outcome.INCONCLUSIVE):
        yield from _settling_step(verdict, words)


def _gate_step(
    gate: str, verdicts: Sequence[Verdict], failed: Sequence[Verdict], words: Words
) -> Markdown:
    worst = max(failed, key=shortfall)
    value, needs = verdict_value(worst), bound(worst.policy, worst.unit)
    if len(verdicts) == 1:
        said = words("step.gate", gate=code(worst.label), value=value, bound=needs)
    else:
        said = words(
            "step.gates",
            gate=code(gate),
            failed=count(len(failed)),
            all=count(len(verdicts)),
            part=code(worst.label),
            value=value,
            bound=needs,
        )
    if not worst.weakest:
        return said
    parts = parts_of(worst.weakest)
    more = ["…"] if len(parts) > _CLAUSES else []
    detail = in_a_row([*parts[:_CLAUSES], *more])
    return Markdown(said + words("step.detail", detail=detail))


def _settling_step(verdict: Verdict, words: Words) -> Iterable[Markdown]:
    n, gate = verdict.estimate.n, code(verdict.label)
    if verdict.estimate.independent < verdict.policy.min_cases:
        n = verdict.estimate.independent
        yield words("step.few", gate=gate, needed=count(verdict.policy.min_cases), n=count(n))
    elif verdict.settled_by is not None and verdict.settled_by > n:
        yield words("step.more", gate=gate, settled=count(verdict.settled_by), n=count(n))
