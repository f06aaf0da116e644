"""Runs on disk over time: what their records and verdicts say, without their predictions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from evalkit.errors import EvidenceError, UserError, did_you_mean
from evalkit.evaluation import Evaluation
from evalkit.gates import Outcome, Policy, Verdict, verdict_in_words
from evalkit.records import Estimate
from evalkit.reports.printable import printable
from evalkit.reports.render.terminal import to_terminal
from evalkit.reports.verdicts import SCHEMA
from evalkit.reports.view import Column, Data, Tone, Toned, figure, phrase, table
from evalkit.runs import baseline_folders, read_record, read_verdicts, run_folders

MOST_NUMBERS = 4
"""Of the headline, as many as fit beside a run."""


@dataclass(frozen=True, slots=True)
class GateSummary:
    """What one gate said, without the rows behind it."""

    gate: str
    slice: str
    outcome: Outcome
    policy: Policy
    estimate: Estimate
    """The number judged; where `policy.min_difference` is set, the advantage over another."""
    unit: str
    note: str

    @property
    def label(self) -> str:
        """The gate's name with its slice."""
        return f"{self.gate}[{self.slice}]" if self.slice else self.gate

    @property
    def value(self) -> float:
        """The number judged."""
        return self.estimate.value

    @property
    def threshold(self) -> float:
        """The bound it was held against."""
        return self.policy.threshold


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
    gates: tuple[GateSummary, ...] = ()
    why_unreadable: str = ""

    @property
    def may_ship(self) -> bool | None:
        """None where there is no verdict."""
        return {"may ship": True, "may NOT ship": False}.get(self.verdict)


def summarise(runs: Path) -> list[RunSummary]:
    """Every run under a folder, oldest first; those that cannot be read say why.

    Records are held against their own hashes, and verdicts against the records. Predictions are
    not read, so that hundreds of runs take a moment: `read_judged` finds what is wrong there.
    """
    return [_summary(folder) for folder in run_folders(runs)]


def summarise_baselines(runs: Path) -> list[RunSummary]:
    """The runs that are kept as baselines, by name."""
    return [_summary(folder) for folder in baseline_folders(runs)]


def _summary(folder: Path) -> RunSummary:
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
    return RunSummary(folder, name, **known, **_judged(folder))


def _judged(folder: Path) -> dict[str, Any]:
    """What the verdicts say, as arguments of `RunSummary`."""
    try:
        content = read_verdicts(folder)
        if content is None:
            return {"verdict": "no verdict: it was not judged"}
        if content["schema"] != SCHEMA:
            why = f"its verdicts have schema {content['schema']}; evalkit reads {SCHEMA}"
            return {"verdict": f"no verdict: {why}"}
        return {
            "verdict": verdict_in_words(content["may_ship"], content["partial"]),
            "measured": {name: _estimate(found) for name, found in content["measured"].items()},
            "gates": tuple(map(_gate, content["gates"])),
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


def _gate(found: Mapping[str, Any]) -> GateSummary:
    return GateSummary(
        found["gate"],
        found["slice"],
        Outcome(found["outcome"]),
        Policy.model_validate(found["policy"]),
        _estimate(found["estimate"]),
        found["unit"],
        found["note"],
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
            "headline": list(run.headline),
            "measured": {name: asdict(found) for name, found in run.measured.items()},
            "gates": [gate_facts(gate) for gate in run.gates],
            "why_unreadable": run.why_unreadable or None,
        }
        for run in summaries
    ]


def gate_facts(gate: GateSummary | Verdict) -> dict[str, Any]:
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


def history_view(summaries: Sequence[RunSummary]) -> list[RenderableType]:
    """A table for each task, then why there is no verdict or no reading of some runs."""
    shown: list[RenderableType] = []
    stamps = Counter(run.name.partition("-")[0] for run in summaries)
    for task in dict.fromkeys(run.task for run in summaries if not run.why_unreadable):
        of_task = [run for run in summaries if run.task == task and not run.why_unreadable]
        headline = of_task[-1].headline[:MOST_NUMBERS]
        heads = [
            Column(phrase("col.run"), is_text=True),
            Column(phrase("col.system"), is_text=True, folds=True),
            Column(phrase("col.rows"), drop=9),
            Column(phrase("col.outcome"), is_text=True),
        ]
        for place, name in enumerate(headline, start=1):
            short = name.removesuffix(" fields right").removesuffix(" accuracy")
            heads.append(Column(Data(short, 24), drop=place))
        rows = [
            [
                _short_name(run, stamps),
                Data(run.system, 40),
                run.rows,
                Toned(run.verdict.partition(":")[0], _tone(run)),
                *(figure(run.measured.get(name)) for name in headline),
            ]
            for run in of_task
        ]
        shown.append(Text(f"task {printable(task)}; share of rows that are right:"))
        shown += to_terminal(table(heads, rows))
    reasons = Counter(run.verdict for run in summaries if run.verdict and run.may_ship is None)
    shown += [
        Text(f"{printable(why, 300)} ({count} {'run' if count == 1 else 'runs'})")
        for why, count in reasons.items()
    ]
    unreadable = [run for run in summaries if run.why_unreadable]
    if unreadable:
        shown.append(Text(f"{len(unreadable)} cannot be read:"))
        shown += [
            Text(f"  {printable(run.name, 60)}: {printable(run.why_unreadable, 300)}")
            for run in unreadable
        ]
    return shown


def _short_name(run: RunSummary, stamps: Mapping[str, int]) -> str:
    """The time alone, which `evalkit show` takes too, where no other run has it."""
    stamp, _, rest = run.name.partition("-")
    return stamp if rest == run.system and stamps[stamp] == 1 else printable(run.name, 60)


def _tone(run: RunSummary) -> Tone:
    return "open" if run.may_ship is None else "good" if run.may_ship else "bad"
