"""The page of all runs, with the history of each gate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from evalkit.gates import Outcome
from evalkit.records import Estimate
from evalkit.reports.files import COMPARISON_PREFIX, REPORT
from evalkit.reports.gate_history import GateHistory, gate_histories, kept_as
from evalkit.reports.history import RunSummary, summarise, summarise_baselines
from evalkit.reports.html.drawing import share_on_scale
from evalkit.reports.html.environment import render
from evalkit.reports.html.sparkline import HEIGHT, WIDTH, Sparkline, sparkline
from evalkit.reports.numbers import needed, number, points, value

RUNS_IN_TABLE = 12
"""The latest, in the table of a system's gates."""


@dataclass(frozen=True, slots=True)
class Line:
    """A run in the table of runs."""

    run: RunSummary
    link: str
    """To the run's own page; empty where there is none."""
    baselines: tuple[str, ...]
    """The names of baselines that it is kept as."""
    outcomes: tuple[tuple[str, int], ...]
    """How many gates came to which outcome; empty where it was not judged."""

    @property
    def tone(self) -> str:
        """`pass`, `fail` or `open`, by the verdict."""
        return {True: "pass", False: "fail", None: "open"}[self.run.may_ship]

    @property
    def verdict(self) -> str:
        """In a word or two; `why` says the rest."""
        if self.run.why_unreadable:
            return "cannot be read"
        return "no verdict" if self.run.may_ship is None else self.run.verdict

    @property
    def why(self) -> str:
        """Why there is no verdict."""
        if self.run.may_ship is not None:
            return ""
        return self.run.why_unreadable or self.run.verdict.removeprefix("no verdict: ")

    @property
    def numbers(self) -> tuple[tuple[str, Estimate], ...]:
        """The numbers that matter most."""
        measured = self.run.measured
        return tuple((name, measured[name]) for name in self.run.headline if name in measured)


def index_page(runs: Path) -> str:
    """Every run under a folder with its verdict, and the gates of each system over time.

    Predictions are not read. A run that cannot be read is listed with the reason.
    """
    summaries, baselines = summarise(runs), summarise_baselines(runs)
    names = kept_as(summaries, baselines)
    lines = [_line(run, runs, names[run.folder]) for run in reversed(summaries)]
    known = {run.record_sha256 for run in summaries}
    lines += [_line(run, runs, (run.name,)) for run in baselines if run.record_sha256 not in known]
    return render(
        "index.html.j2",
        title="Runs",
        scripts=("index.js",),
        styles=("index.css",),
        lines=lines,
        tiles=_tiles(lines),
        systems=sorted({line.run.system for line in lines if line.run.system}),
        verdicts=list(dict.fromkeys(line.verdict for line in lines)),
        comparisons=_comparisons(runs),
        histories=[
            (history, [(gate, sparkline(gate, history.same_rows)) for gate in history.gates])
            for history in gate_histories(summaries)
        ],
        latest=RUNS_IN_TABLE,
        size=(WIDTH, HEIGHT),
        share_on_scale=share_on_scale,
        edges=edges,
        spoken=spoken,
    )


def edges(history: GateHistory, drawn: Sparkline) -> tuple[str, str]:
    """What stands at the lower and the upper edge of a plot."""
    write = points if history.last.policy.compares else number
    return write(drawn.low, history.unit), write(drawn.high, history.unit)


def spoken(history: GateHistory) -> str:
    """A plot in words, for those who do not see it."""
    held = [gate for gate in history.found if gate is not None]
    passed = sum(gate.outcome is Outcome.PASS for gate in held)
    last = history.last
    bound = needed(last.policy, last.unit)
    for sign, words in ((">=", "at least"), ("<=", "at most"), (">", "more than")):
        bound = bound.replace(sign, words)
    return (
        f"{history.label}: {value(last)} in the last of {len(held)} judged runs, needs "
        f"{bound}; passed in {passed}"
    )


def _line(run: RunSummary, runs: Path, baselines: tuple[str, ...]) -> Line:
    link = ""
    if (run.folder / REPORT).is_file():
        link = quote((run.folder / REPORT).relative_to(runs).as_posix())
    counted = [(outcome.value, _count(run, outcome)) for outcome in Outcome]
    return Line(run, link, baselines, tuple(counted) if run.gates else ())


def _count(run: RunSummary, outcome: Outcome) -> int:
    return sum(gate.outcome is outcome for gate in run.gates)


def _tiles(lines: Sequence[Line]) -> list[tuple[str, int]]:
    verdicts = [line.verdict for line in lines]
    told = ("may ship", "may NOT ship", "no verdict", "cannot be read")
    return [
        ("runs", len(lines)),
        ("systems", len({line.run.system for line in lines if line.run.system})),
        *((verdict, verdicts.count(verdict)) for verdict in told if verdict in verdicts),
    ]


def _comparisons(runs: Path) -> list[tuple[str, str]]:
    """Links to the comparison pages in the folder, and what they are of."""
    found = sorted(runs.glob(f"{COMPARISON_PREFIX}*.html"))
    return [(quote(path.name), path.stem.removeprefix(COMPARISON_PREFIX)) for path in found]
