"""The page of one run: the verdict, all it rests on, and every row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from evalkit.errors import EvidenceError, InsufficientData, UserError
from evalkit.evaluation import Evaluation, Measurement
from evalkit.gates import Outcome, Release, Verdict
from evalkit.metrics import LabelScores
from evalkit.records import Estimate
from evalkit.reports.html.drawing import Drawn, gate_on_scale, scale_of, share_on_scale
from evalkit.reports.html.environment import render
from evalkit.reports.html.predictions import CLEAN, flips, prediction_table
from evalkit.reports.html.reliability import Reliability, draw_reliability
from evalkit.reports.judged import JudgedRun
from evalkit.reports.numbers import contest_line, number, p_value
from evalkit.reports.terminal import closing_line, contamination_line
from evalkit.run_record import Cost
from evalkit.runs import ASKED, RECORD, read_record, read_run
from evalkit.tasks import FieldKind

MATRIX_VALUES = 12
"""A confusion matrix of more values than these is not drawn; the commonest are listed."""
CONFUSIONS = 12
_HASH = 16
"""Of a hash, as many characters as are shown."""


@dataclass(frozen=True, slots=True)
class _Gate:
    verdict: Verdict
    drawn: Drawn
    lines: tuple[str, ...]
    link: str
    """To the rows counted against it; empty where there are none in the table."""

    @property
    def crosses(self) -> bool:
        """Whether its interval crosses the threshold though it was decided."""
        return self.verdict.crosses and self.verdict.outcome is not Outcome.INCONCLUSIVE


@dataclass(frozen=True, slots=True)
class _GateGroup:
    name: str
    gates: tuple[_Gate, ...]

    @property
    def is_sliced(self) -> bool:
        return any(gate.verdict.slice for gate in self.gates)

    @property
    def reasons(self) -> list[str]:
        """Why the bound is what it is: one text, as a rule."""
        return list(dict.fromkeys(gate.verdict.policy.why for gate in self.gates))


@dataclass(frozen=True, slots=True)
class _Cell:
    count: int
    share: float
    """Of the row."""
    is_hit: bool = False
    link: str = ""

    @property
    def heat(self) -> int:
        """From 0 to 10."""
        return 0 if not self.count else max(1, round(10 * self.share))


@dataclass(frozen=True, slots=True)
class _Matrix:
    columns: tuple[str, ...]
    rows: tuple[tuple[str, int, tuple[_Cell, ...]], ...]
    """The right value, its rows, what was said."""


@dataclass(frozen=True, slots=True)
class _Scores:
    name: str
    scores: LabelScores
    link: str

    def drawn(self, which: str) -> Drawn | None:
        estimate: Estimate | None = getattr(self.scores, which)
        return None if estimate is None else share_on_scale(estimate, f"{self.name}: {which}")


@dataclass(frozen=True, slots=True)
class _FieldView:
    name: str
    matrix: _Matrix | None
    commonest: tuple[tuple[str, str, int], ...]
    """Right, said, rows; where the matrix is too large."""
    combinations: int
    scores: tuple[_Scores, ...]
    reliability: Reliability | None


@dataclass(frozen=True, slots=True)
class _Part:
    """Something else the system was asked."""

    name: str
    rows: int
    figures: tuple[tuple[str, Estimate], ...] = ()
    trouble: str = ""


def run_page(run: JudgedRun) -> str:
    """Show a run, its verdict and its rows as one HTML page.

    The page holds all it needs and loads nothing. Its numbers are those of the record and of the
    verdicts; of what was said to other rows than the run's own (`asked/`), it reads the files.
    """
    evaluation, release = run.evaluation, run.release
    record = evaluation.record
    return render(
        "run.html.j2",
        title=f"{run.system}: {run.verdict}",
        scripts=("table.js", "run.js"),
        data={"predictions": prediction_table(run)},
        run=run,
        release=release,
        record=record,
        tone=_tone(release),
        closing=closing_line(release).plain if release else f"{run.system}: {run.verdict}.",
        headline=_headline(evaluation),
        facts=list(_facts(run)),
        packages=record.packages,
        groups=_groups(release) if release else [],
        tallies={o.value: len(release.of(o)) for o in Outcome} if release else {},
        contests=[
            contest_line(verdict.contest)
            for verdict in (release.verdicts if release else ())
            if verdict.contest is not None
        ],
        regressions=[
            (r.label, contest_line(r.contest), p_value(r.p_value))
            for r in (release.regressions if release else ())
        ],
        flips=[(name, len(rows), _link(flip=name)) for name, rows in flips(run).items()],
        overview=_overview(evaluation),
        fields=[_field_view(evaluation, name) for name in evaluation.task.fields],
        contamination=_contamination(evaluation),
        seen=len(evaluation.rows) - len(evaluation.clean_rows),
        cost=_cost(record.cost),
        seconds=record.seconds.to_json(),
        parts=_parts(run),
        notes=record.all_notes,
    )


def _tone(release: Release | None) -> str:
    if release is None or release.partial:
        return Outcome.INCONCLUSIVE.value
    return (Outcome.PASS if release.may_ship else Outcome.FAIL).value


def _headline(evaluation: Evaluation) -> list[tuple[str, Estimate]]:
    found = []
    for metric in evaluation.headline_metrics():
        try:
            found.append((metric.name, evaluation.measure(metric).estimate))
        except InsufficientData:
            continue
    return found


def _facts(run: JudgedRun) -> Iterator[tuple[str, str, str]]:
    """What identifies the run: name, value, and a remark beside it."""
    record = run.evaluation.record
    data = record.data
    task = run.evaluation.task
    yield "run", run.name, ""
    yield "system", run.system, ""
    if record.base:
        yield "base", record.base, _hash(record.weights_sha256)
    for name, sha256 in record.trained_sha256.items():
        yield "trained", name, _hash(sha256)
    if record.quantization != "none":
        yield "quantization", record.quantization, ""
    yield "task", task.name, task.summary
    yield "format", record.format or "unknown", ""
    rows = f"{len(run.evaluation.rows):,} rows"
    if data.left_out:
        rows += f", {data.left_out:,} left out"
    yield "data", data.source or "unknown", f"{rows}, {_hash(data.sha256)}"
    if data.label_mappings:
        mapped = ", ".join(f"{field} from {name}" for field, name in data.label_mappings.items())
        yield "labels mapped", mapped, ""
    if record.commit:
        dirty = "with changes that were not committed" if record.dirty else "clean"
        yield "commit", record.commit[:_HASH], dirty
    if record.started:
        yield "date", f"{run.started:%Y-%m-%d %H:%M} UTC", ""
    for name, said in record.engine.items():
        yield str(name).replace("_", " "), str(said), ""
    if record.machine:
        yield "machine", ", ".join(map(str, record.machine.values())), ""
    if record.reused_rows:
        yield "reused", f"{record.reused_rows:,}", "answers known from an earlier run"


def _hash(sha256: object) -> str:
    return f"sha256 {str(sha256)[:_HASH]}…" if sha256 else "no hash"


def _groups(release: Release) -> list[_GateGroup]:
    """The gates, those of one criterion together, in the order in which they spoke first."""
    found: dict[str, list[Verdict]] = {}
    for verdict in release.verdicts:
        found.setdefault(verdict.gate, []).append(verdict)
    return [
        _GateGroup(name, tuple(_gate(verdict, scale_of(verdicts)) for verdict in verdicts))
        for name, verdicts in found.items()
    ]


def _gate(verdict: Verdict, scale: tuple[float, float]) -> _Gate:
    link = _link(gate=verdict.label) if verdict.wrong else ""
    return _Gate(verdict, gate_on_scale(verdict, scale), tuple(_lines(verdict)), link)


def _lines(verdict: Verdict) -> Iterator[str]:
    """What has to be known to read a gate's number."""
    if verdict.note:
        yield verdict.note
    if verdict.contest is not None:
        yield contest_line(verdict.contest)
    if verdict.weakest:
        yield f"weakest: {verdict.weakest}"
    if verdict.on_all_rows is not None:
        shown = number(verdict.on_all_rows.value, verdict.unit)
        yield f"{shown} with the rows that it was trained on"
    if verdict.settled_by is not None:
        yield (
            f"{verdict.settled_by:,} cases would settle it four times in five, if this value is "
            "the true one"
        )
    if verdict.detects is not None:
        yield f"this many cases show a miss of {100 * verdict.detects:.1f} points"
    if verdict.regression is not None:
        yield f"against the baseline run: {contest_line(verdict.regression)}"


def _link(**view: str) -> str:
    """A view of the table of predictions."""
    return f"#{urlencode(view, errors='replace')}"


def _overview(evaluation: Evaluation) -> list[tuple[str, list[tuple[str, Measurement, Any]]]]:
    """The usual numbers, those of each field together."""
    found: dict[str, list[tuple[str, Measurement, Any]]] = {}
    for name, measured in evaluation.overview().items():
        metric = measured.metric
        heading = metric.field if metric and metric.field else "answers"
        is_share = metric is None or metric.unit == "%"
        drawn = share_on_scale(measured.estimate) if is_share else None
        shown = name.removeprefix(f"{heading} ")
        found.setdefault(heading, []).append((shown, measured, drawn))
    return list(found.items())


def _field_view(evaluation: Evaluation, name: str) -> _FieldView:
    field = evaluation.task.fields[name]
    several = field.kind is FieldKind.MULTI_LABEL
    confusion = evaluation.confusion(name)
    names = [field.display(value) for value in confusion.values]
    others = {
        "out of enum": confusion.out_of_enum,
        "missing": confusion.missing,
        "unreadable": confusion.unreadable,
    }
    others = {said: counts for said, counts in others.items() if any(counts)}
    table = [
        [*row, *(counts[at] for counts in others.values())]
        for at, row in enumerate(confusion.counts)
    ]
    columns = [*names, *others]
    clean = {"seen": CLEAN} if len(evaluation.clean_rows) < len(evaluation.rows) else {}
    matrix = None
    commonest: list[tuple[str, str, int]] = []
    if len(columns) <= MATRIX_VALUES:
        rows = []
        for at, (right, counts) in enumerate(zip(names, table, strict=True)):
            total = sum(counts)
            cells = tuple(
                _Cell(
                    count,
                    count / total if total else 0.0,
                    said_at == at,
                    ""
                    # A set's values are filtered one by one, an answer outside the task's by text.
                    if several or not count or said == "out of enum"
                    else _link(**{f"right.{name}": right, f"said.{name}": said}, **clean),
                )
                for said_at, (said, count) in enumerate(zip(columns, counts, strict=True))
            )
            rows.append((right, total, cells))
        matrix = _Matrix(tuple(columns), tuple(rows))
    else:
        commonest = sorted(
            (
                (right, said, count)
                for at, (right, counts) in enumerate(zip(names, table, strict=True))
                for said_at, (said, count) in enumerate(zip(columns, counts, strict=True))
                if count and said_at != at
            ),
            key=lambda found: -found[2],
        )
    scores = tuple(
        _Scores(field.display(s.value), s, _link(**{f"right.{name}": field.display(s.value)}))
        for s in evaluation.label_scores(name)
    )
    return _FieldView(
        name,
        matrix,
        tuple(commonest[:CONFUSIONS]),
        len(names),
        scores,
        draw_reliability(evaluation.reliability(name)),
    )


def _contamination(evaluation: Evaluation) -> str:
    if evaluation.record.contamination.status is None:
        return "It was not looked for."
    line = contamination_line(evaluation).removeprefix("contamination: ")
    return f"{line[:1].upper()}{line[1:]}."


def _cost(cost: Cost) -> list[tuple[str, str]]:
    if not cost.to_json():
        return []
    speed = cost.rows_per_second
    return [
        ("rows a second", f"{speed:,.1f}" if speed else "unknown"),
        ("a row, median", f"{1000 * (cost.seconds_per_row_p50 or 0):,.0f} ms"),
        ("a row, 95th percentile", f"{1000 * (cost.seconds_per_row_p95 or 0):,.0f} ms"),
        ("prompt tokens", f"{cost.prompt_tokens or 0:,}"),
        ("generated tokens", f"{cost.generated_tokens or 0:,}"),
        *(
            (f"peak memory, {where}", f"{size / 1e9:.1f} GB")
            for where, size in cost.peak_memory_bytes.items()
        ),
    ]


def _parts(run: JudgedRun) -> list[_Part]:
    found = []
    for path in sorted((run.folder / ASKED).glob(f"*/{RECORD}")):
        folder = path.parent
        try:
            record = read_record(folder)
            figures: Sequence[tuple[str, Estimate]] = ()
            if record.task is not None:
                figures = _headline(read_run(folder))
            found.append(_Part(folder.name, record.rows, tuple(figures)))
        except (EvidenceError, UserError) as error:
            found.append(_Part(folder.name, 0, trouble=str(error)))
    return found
