"""Runs on disk over time: what their records and verdicts say, without their predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evalkit.errors import EvidenceError, UserError, did_you_mean
from evalkit.evaluation import Evaluation
from evalkit.gates import Outcome, Verdict, verdict_in_words
from evalkit.records import Estimate
from evalkit.reports.verdicts import SCHEMA, verdict_from_json
from evalkit.runs import baseline_folders, read_record, read_verdicts, run_folders


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run's record and verdicts say of it."""

    folder: Path
    name: str
    """The folder's."""
    system: str = ""
    started: datetime | None = None
    """When the system began to answer, in UTC; None where the record cannot be read."""
    task: str = ""
    rows: int = 0
    data_sha256: str = ""
    """Of the rows: numbers of runs on other rows cannot be held against each other."""
    record_sha256: str = ""
    """Of the record: a run that is kept as a baseline has the baseline's."""
    verdict: str = ""
    """As `JudgedRun.verdict`."""
    headline: tuple[str, ...] = ()
    """The numbers in `measured` that matter most: being right in all fields, and in each."""
    measured: Mapping[str, Estimate] = field(default_factory=dict)
    """The usual numbers by name; empty where the run was not judged."""
    gates: tuple[Verdict, ...] = ()
    """Without the rows behind them."""
    why_unreadable: str = ""
    by_others: bool = False
    """Whether it was judged by other criteria than those in force."""
    is_yardstick: bool = False
    """Whether it is the TF-IDF baseline's, that a gate held its system against: nobody judged it,
    and lists for people leave it out."""

    @property
    def why_none(self) -> str:
        """Why there is no verdict, or the run cannot be read; empty where there is one."""
        if self.may_ship is not None:
            return ""
        return self.why_unreadable or self.verdict.removeprefix("no verdict: ")

    @property
    def may_ship(self) -> bool | None:
        """None where there is no verdict."""
        return {"may ship": True, "may NOT ship": False}.get(self.verdict)


_YARDSTICKS = ("tfidf", "embeddings")
UNJUDGED = {"verdict": "no verdict: it was not judged"}


def summarise(runs: Path, criteria_sha256: str | None = None) -> list[RunSummary]:
    """Every run under a folder, oldest first; those that cannot be read say why.

    Records are held against their own hashes, and verdicts against the records. Predictions are
    not read, so that hundreds of runs take a moment: `read_judged` finds what is wrong there.

    Those judged by other criteria than `criteria_sha256` (`gates.criteria_in_force`) say so, too.
    """
    return [_summary(folder, criteria_sha256) for folder in run_folders(runs)]


def summarise_baselines(runs: Path, criteria_sha256: str | None = None) -> list[RunSummary]:
    """The runs that are kept as baselines, by name."""
    return [_summary(folder, criteria_sha256) for folder in baseline_folders(runs)]


def _summary(folder: Path, criteria_sha256: str | None) -> RunSummary:
    name = folder.absolute().name
    try:
        record = read_record(folder)
        task, started = record.asked_task, record.started_at
        known: dict[str, Any] = {
            "system": record.system,
            "started": started if started.tzinfo else started.replace(tzinfo=UTC),
            "task": task.name,
            "rows": record.rows,
            "data_sha256": record.data.sha256,
            "record_sha256": record.record_sha256 or "",
            "headline": tuple(m.name for m in Evaluation("", task, (), record).headline_metrics()),
        }
    except (EvidenceError, UserError) as error:
        return RunSummary(folder, name, why_unreadable=str(error))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        why = f"its record is not one of evalkit's: {type(error).__name__}: {error}"
        return RunSummary(folder, name, why_unreadable=why)
    judged = _judged(folder, criteria_sha256)
    known["is_yardstick"] = record.engine.get("engine") in _YARDSTICKS and judged == UNJUDGED
    return RunSummary(folder, name, **known, **judged)


def _judged(folder: Path, criteria_sha256: str | None) -> dict[str, Any]:
    """What the verdicts say, as arguments of `RunSummary`."""
    try:
        content = read_verdicts(folder)
        if content is None:
            return UNJUDGED
        if content["schema"] != SCHEMA:
            why = f"its verdicts have schema {content['schema']}; evalkit reads {SCHEMA}"
            return {"verdict": f"no verdict: {why}"}
        return {
            "verdict": verdict_in_words(content["may_ship"], content["partial"]),
            "measured": {name: _estimate(found) for name, found in content["measured"].items()},
            "gates": tuple(map(verdict_from_json, content["gates"])),
            "by_others": criteria_sha256 not in (None, content.get("criteria_sha256")),
        }
    except EvidenceError as error:
        return {"verdict": f"no verdict: {error}"}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        why = f"its verdicts are not evalkit's: {type(error).__name__}: {error}"
        return {"verdict": f"no verdict: {why}"}


def _estimate(found: Mapping[str, Any]) -> Estimate:
    return Estimate(
        **{name: found[name] for name in Estimate.__dataclass_fields__ if name in found}
    )


def of_system(summaries: Sequence[RunSummary], system: str) -> list[RunSummary]:
    """The runs of one system; of those that cannot be read, the ones named after it.

    Raises:
        UserError: there are runs, and none of that system.
    """
    found = [
        run
        for run in summaries
        if run.system == system or (run.why_unreadable and run.name.endswith(f"-{system}"))
    ]
    if summaries and not found:
        known = sorted({run.system for run in summaries if run.system})
        raise UserError(
            f"--system {system}: no run is of a system of that name.{did_you_mean(system, known)} "
            f"Systems: {', '.join(known)}."
        )
    return found


def summaries_to_json(summaries: Sequence[RunSummary]) -> list[dict[str, Any]]:
    """The runs as data, with every gate."""
    return [
        {
            "run": run.name,
            "folder": str(run.folder),
            "system": run.system or None,
            "started": run.started.isoformat() if run.started else None,
            "task": run.task or None,
            "rows": run.rows,
            "data_sha256": run.data_sha256 or None,
            "verdict": run.verdict or None,
            "may_ship": run.may_ship,
            "by_other_criteria": run.by_others,
            "headline": list(run.headline),
            "measured": {name: asdict(found) for name, found in run.measured.items()},
            "gates": [gate_facts(gate) for gate in run.gates],
            "why_unreadable": run.why_unreadable or None,
        }
        for run in summaries
    ]


def gate_facts(gate: Verdict) -> dict[str, Any]:
    """What a gate said as flat facts: the number, its interval, the bound, the outcome."""
    bounds = ("min_value", "max_value", "min_difference")
    return {
        "gate": gate.gate,
        "slice": gate.slice,
        "value": gate.estimate.value,
        "low": gate.estimate.low,
        "high": gate.estimate.high,
        "n": gate.estimate.n,
        "threshold": gate.policy.threshold,
        "direction": next(name for name in bounds if getattr(gate.policy, name) is not None),
        "outcome": gate.outcome.value,
        "unit": gate.unit,
    }


@dataclass(frozen=True, slots=True)
class GateHistory:
    """One gate over the judged runs of a system."""

    label: str
    unit: str
    found: tuple[Verdict | None, ...]
    """One for each run, oldest first; None where a run was not held against it."""

    @property
    def shown(self) -> str:
        """Its name as people read it."""
        return self.last.shown

    @property
    def last(self) -> Verdict:
        """What it said last."""
        return next(gate for gate in reversed(self.found) if gate is not None)


@dataclass(frozen=True, slots=True)
class SystemHistory:
    """The judged runs of one system on one task, oldest first, and their gates."""

    system: str
    task: str
    runs: tuple[RunSummary, ...]
    gates: tuple[GateHistory, ...]

    @property
    def days(self) -> tuple[str, ...]:
        """Of the first and the last run; one where that is the same."""
        ends = (self.runs[0].started, self.runs[-1].started)
        return tuple(dict.fromkeys(f"{end:%Y-%m-%d}" for end in ends if end is not None))

    @property
    def same_rows(self) -> tuple[bool, ...]:
        """For each run whether it is of the same rows as the one before it."""
        before = [None, *(run.data_sha256 for run in self.runs)]
        return tuple(run.data_sha256 == b for run, b in zip(self.runs, before, strict=False))


def gate_histories(summaries: Sequence[RunSummary]) -> list[SystemHistory]:
    """The gates of each system and task over its judged runs.

    First those that were judged more than once, of these the latest.
    """
    by_system: dict[tuple[str, str], list[RunSummary]] = {}
    for summary in summaries:
        if summary.gates:
            by_system.setdefault((summary.system, summary.task), []).append(summary)
    told = sorted(
        by_system.items(), key=lambda item: (len(item[1]) > 1, item[1][-1].name), reverse=True
    )
    return [_history(system, task, runs) for (system, task), runs in told]


def _history(system: str, task: str, runs: Sequence[RunSummary]) -> SystemHistory:
    said = [{gate.label: gate for gate in run.gates} for run in runs]
    # What did not pass last comes first; then in the order of the last run, and behind it the
    # gates that it does not have.
    labels = dict.fromkeys(label for gates in reversed(said) for label in gates)
    gates = []
    for label in labels:
        found = tuple(gates_of.get(label) for gates_of in said)
        unit = next(gate.unit for gate in found if gate is not None)
        gates.append(GateHistory(label, unit, found))
    gates.sort(key=lambda gate: gate.last.outcome is Outcome.PASS)
    return SystemHistory(system, task, tuple(runs), tuple(gates))


def kept_as(
    summaries: Sequence[RunSummary], baselines: Sequence[RunSummary]
) -> Mapping[Path, tuple[str, ...]]:
    """The names of the baselines that a run is kept as, by the run's folder."""
    names: dict[str, list[str]] = {}
    for baseline in baselines:
        if baseline.record_sha256:
            names.setdefault(baseline.record_sha256, []).append(baseline.name)
    return {s.folder: tuple(names.get(s.record_sha256, ())) for s in summaries}
