"""Verdicts as JSON, for `verdicts.json` beside a run, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from evalkit.errors import EvidenceError
from evalkit.evaluation import Case, EvaluatedRow, Evaluation, Metric, PairedComparison
from evalkit.gates import Outcome, Policy, Reason, Regression, Release, Verdict, name_part
from evalkit.locale import say
from evalkit.records import Comparison, Estimate
from evalkit.tasks import Field

SCHEMA = 3


def verdicts_to_json(
    release: Release,
    evaluation: Evaluation,
    criteria_sha256: str,
    criteria: Sequence[str] = (),
    criteria_sealed: str | None = None,
) -> dict[str, Any]:
    """Every gate with its number, bound and reason, and the usual numbers; rows by their ids.

    Args:
        release: what the gates said.
        evaluation: of what.
        criteria_sha256: `policies_sha256` of the criteria.
        criteria: the files they stand in.
        criteria_sealed: since when they were sealed, in ISO 8601; None where they were not.
    """
    rows = {row.example.id: row for row in evaluation.rows}
    return {
        "schema": SCHEMA,
        "system": release.system,
        "predictions_sha256": evaluation.record.predictions_sha256,
        "criteria_sha256": criteria_sha256,
        "criteria": list(criteria),
        "criteria_sealed": criteria_sealed,
        "may_ship": release.may_ship,
        "partial": release.partial,
        "faults": list(release.faults),
        "not_judged": list(release.not_judged),
        "missed": dict(release.missed),
        "does_not_apply": dict(release.not_applicable),
        "caveats": list(release.caveats),
        "left_open": list(release.left_open),
        "names": dict(release.names),
        "did_not_block": {v.label: v.policy.tier for v in release.not_blocking},
        "regressions": [
            {"gate": r.label, "p_value_holm": r.p_value, "baseline": paired_to_json(r.paired)}
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
        "cost": evaluation.record.cost.to_json(),
        "gates": [
            {
                "gate": verdict.gate,
                "slice": verdict.slice,
                "part": verdict.part,
                "asks": verdict.asks,
                "outcome": verdict.outcome.value,
                "estimate": asdict(verdict.estimate),
                "on_all_rows": asdict(verdict.on_all_rows) if verdict.on_all_rows else None,
                "unit": verdict.unit,
                "metric": _metric_to_json(verdict.metric),
                "crosses": verdict.crosses,
                "reason": verdict.reason,
                "detects": verdict.detects,
                "settled_by": verdict.settled_by,
                "against": paired_to_json(verdict.paired),
                "baseline": paired_to_json(verdict.regression),
                "policy": verdict.policy.model_dump(mode="json"),
                "note": verdict.note,
                "weakest": verdict.weakest,
                "counted_against": [row.example.id for row in verdict.wrong],
                "of_other_rows": any(rows.get(row.example.id) != row for row in verdict.wrong),
                "cases": [asdict(case) for case in verdict.cases],
            }
            for verdict in release.verdicts
        ],
    }


def paired_to_json(paired: PairedComparison | None) -> dict[str, Any] | None:
    """A comparison as data; rows by their ids."""
    if paired is None:
        return None
    return {
        "metric": paired.metric.name,
        "measures": _metric_to_json(paired.metric),
        "unit": paired.metric.unit,
        "lower_is_better": paired.metric.lower_is_better,
        "systems": [paired.first, paired.second],
        **asdict(paired.comparison),
        "won": [row.example.id for row in paired.won],
        "lost": [row.example.id for row in paired.lost],
    }


def _metric_to_json(metric: Metric | None) -> dict[str, Any] | None:
    if metric is None:
        return None
    return {
        "key": metric.key,
        "field": metric.field,
        "value": metric.value,
        "name": metric.name,
        "unit": metric.unit,
        "lower_is_better": metric.lower_is_better,
    }


def release_from_json(content: Mapping[str, Any], evaluation: Evaluation) -> Release:
    """The release that `verdicts_to_json` wrote.

    Rows of other evaluations than this one (`of_other_rows`: a part of the run) are left out of
    `wrong`. A metric that comes back has its name, unit and direction, and asks nothing.

    Raises:
        EvidenceError: it was written under another schema.
    """
    if content.get("schema") != SCHEMA:
        schema = content.get("schema")
        raise EvidenceError(say("fault.verdicts_schema", schema=str(schema), ours=SCHEMA))
    rows = {row.example.id: row for row in evaluation.rows}
    return Release(
        content["system"],
        tuple(verdict_from_json(gate, rows, evaluation.task.fields) for gate in content["gates"]),
        tuple(content["not_judged"]),
        content["partial"],
        tuple(content["faults"]),
        tuple(
            Regression(r["gate"], _paired(r["baseline"], rows), r["p_value_holm"])
            for r in content["regressions"]
        ),
        content["does_not_apply"],
        content.get("missed", {}),
        tuple(content.get("caveats", ())),
        tuple(content.get("left_open", ())),
        content.get("names", {}),
    )


def verdict_from_json(
    gate: Mapping[str, Any],
    rows: Mapping[str, EvaluatedRow] | None = None,
    fields: Mapping[str, Field] = MappingProxyType({}),
) -> Verdict:
    """What one gate said.

    Args:
        gate: its entry in `verdicts.json`.
        rows: the run's, by id; without them the verdict has none, and no cases.
        fields: of the task, for the name of a slice that was stored without one.
    """
    wrong = [] if rows is None or gate["of_other_rows"] else gate["counted_against"]
    cases = [] if rows is None else gate.get("cases", ())
    rows = rows or {}
    policy = Policy.model_validate(gate["policy"])
    paired = _paired(gate["against"], rows) if gate["against"] else None
    outcome = Outcome(gate["outcome"])
    reason, crosses = _why_open(gate, outcome, policy)
    metric = paired.metric if paired else _metric(gate)
    part = gate.get("part") or name_part(gate["slice"], metric, fields)
    return Verdict(
        gate["gate"],
        gate["slice"],
        outcome,
        policy,
        Estimate(**gate["estimate"]),
        metric,
        crosses,
        reason,
        gate["weakest"],
        tuple(rows[id] for id in wrong),
        Estimate(**gate["on_all_rows"]) if gate["on_all_rows"] else None,
        gate["detects"],
        gate["settled_by"],
        paired,
        _paired(gate["baseline"], rows) if gate["baseline"] else None,
        part,
        gate.get("asks", ""),
        tuple(Case(**case) for case in cases),
    )


def _why_open(
    gate: Mapping[str, Any], outcome: Outcome, policy: Policy
) -> tuple[Reason | None, bool]:
    """Why a gate is inconclusive, and whether its interval crosses the threshold.

    Verdicts of evalkit 0.1.0 have a note in their place; what it said follows from the numbers.
    """
    if "reason" in gate:
        return Reason(gate["reason"]) if gate["reason"] else None, gate["crosses"]
    if gate["estimate"]["n"] < policy.min_cases:
        return Reason.TOO_FEW_CASES if outcome is Outcome.INCONCLUSIVE else None, False
    crosses = bool(gate["note"]) and not gate["against"]
    if outcome is not Outcome.INCONCLUSIVE:
        return None, crosses
    return Reason.NOT_SHOWN if gate["against"] else Reason.CROSSES, crosses


def _metric(gate: Mapping[str, Any]) -> Metric | None:
    """The metric a gate judged; it has its identity, name, unit and direction, and asks nothing."""
    found = gate.get("metric") or (gate["unit"] != "%" and {"name": "", "unit": gate["unit"]})
    if not found:
        return None

    def estimate(rows: object) -> Estimate:
        raise ValueError(f"{found['name']} was read from a file and cannot be measured again")

    return Metric(
        found.get("key", found["name"]),
        found["name"],
        estimate,
        unit=found["unit"],
        lower_is_better=found.get("lower_is_better", False),
        field=found.get("field"),
        value=found.get("value"),
    )


def _paired(found: Mapping[str, Any], rows: Mapping[str, EvaluatedRow]) -> PairedComparison:
    names = {"name": found["metric"], "key": found["metric"]} | (found.get("measures") or {})
    metric = _metric({"metric": {**found, **names}})
    assert metric is not None
    comparison = Comparison(
        **{name: found[name] for name in Comparison.__dataclass_fields__}
        | {"first": Estimate(**found["first"]), "second": Estimate(**found["second"])}
    )
    lost, won = (tuple(rows[id] for id in found[which] if id in rows) for which in ("lost", "won"))
    one, other = found["systems"]
    return PairedComparison(metric, one, other, comparison, lost, won)
