"""The gates of each system over its runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit.reports.history import GateSummary, RunSummary


@dataclass(frozen=True, slots=True)
class GateHistory:
    """One gate over the judged runs of a system."""

    label: str
    unit: str
    found: tuple[GateSummary | None, ...]
    """One for each run, oldest first; None where a run was not held against it."""

    @property
    def last(self) -> GateSummary:
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
    # In the order of the last run; gates that it does not have come behind.
    labels = dict.fromkeys(label for gates in reversed(said) for label in gates)
    gates = []
    for label in labels:
        found = tuple(gates_of.get(label) for gates_of in said)
        unit = next(gate.unit for gate in found if gate is not None)
        gates.append(GateHistory(label, unit, found))
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
