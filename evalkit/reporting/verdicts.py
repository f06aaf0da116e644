"""Verdicts as JSON, for `verdicts.json` beside a run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from evalkit.evaluation import Contest, Evaluation
from evalkit.gates import Release

SCHEMA = 2


def verdicts_to_json(
    release: Release, evaluation: Evaluation, criteria_sha256: str
) -> dict[str, Any]:
    """Every gate with its number, bound and reason, and the usual numbers; rows by their ids."""
    return {
        "schema": SCHEMA,
        "system": release.system,
        "predictions_sha256": evaluation.record["predictions_sha256"],
        "criteria_sha256": criteria_sha256,
        "may_ship": release.may_ship,
        "partial": release.partial,
        "faults": list(release.faults),
        "not_judged": list(release.not_judged),
        "does_not_apply": dict(release.excused),
        "regressions": [
            {"gate": r.label, "p_value_holm": r.p_value, "baseline": contest_to_json(r.contest)}
            for r in release.regressions
        ],
        "measured": {
            name: {
                **asdict(found.estimate),
                "on_all_rows": asdict(found.on_all_rows) if found.on_all_rows else None,
            }
            for name, found in evaluation.overview().items()
        },
        "fields": {
            name: {
                "confusion": asdict(evaluation.confusion(name)),
                "reliability": [asdict(point) for point in evaluation.reliability(name)],
                "values": [asdict(scores) for scores in evaluation.label_scores(name)],
            }
            for name in evaluation.task.fields
        },
        "cost": evaluation.record["cost"],
        "gates": [
            {
                "gate": verdict.gate,
                "slice": verdict.slice,
                "outcome": verdict.outcome.value,
                "estimate": asdict(verdict.estimate),
                "on_all_rows": asdict(verdict.on_all_rows) if verdict.on_all_rows else None,
                "detects": verdict.detects,
                "settled_by": verdict.settled_by,
                "against": contest_to_json(verdict.contest),
                "baseline": contest_to_json(verdict.regression),
                "min_value": verdict.policy.min_value,
                "max_value": verdict.policy.max_value,
                "min_difference": verdict.policy.min_difference,
                "min_cases": verdict.policy.min_cases,
                "why": verdict.policy.why,
                "note": verdict.note,
                "weakest": verdict.weakest,
                "counted_against": [row.example.id for row in verdict.wrong],
            }
            for verdict in release.verdicts
        ],
    }


def contest_to_json(contest: Contest | None) -> dict[str, Any] | None:
    """A comparison as data; rows by their ids."""
    if contest is None:
        return None
    return {
        "metric": contest.metric.name,
        "systems": [contest.first, contest.second],
        **asdict(contest.comparison),
        "won": [row.example.id for row in contest.won],
        "lost": [row.example.id for row in contest.lost],
    }
