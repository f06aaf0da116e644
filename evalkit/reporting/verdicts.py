"""Verdicts as JSON, for `verdicts.json` beside a run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from evalkit.evaluation import Evaluation
from evalkit.gates import Release

SCHEMA = 1


def verdicts_to_json(release: Release, evaluation: Evaluation) -> dict[str, Any]:
    """Every gate with its number, bound and reason, and the usual numbers; rows by their ids."""
    return {
        "schema": SCHEMA,
        "system": release.system,
        "may_ship": release.may_ship,
        "partial": release.partial,
        "not_judged": list(release.not_judged),
        "measured": {name: asdict(found) for name, found in evaluation.overview().items()},
        "gates": [
            {
                "gate": verdict.gate,
                "slice": verdict.slice,
                "outcome": verdict.outcome.value,
                "estimate": asdict(verdict.estimate),
                "min_value": verdict.policy.min_value,
                "max_value": verdict.policy.max_value,
                "min_cases": verdict.policy.min_cases,
                "why": verdict.policy.why,
                "note": verdict.note,
                "weakest": verdict.weakest,
                "counted_against": [row.example.id for row in verdict.wrong],
            }
            for verdict in release.verdicts
        ],
    }
