"""Verdicts in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from evalkit.errors import UserError
from evalkit.evaluation import EvaluatedRow, Evaluation, describe_said
from evalkit.gates import Outcome, Release, Verdict
from evalkit.locale import Lang
from evalkit.reports.compare import Pairing
from evalkit.reports.numbers import (
    contest_line,
    cost_line,
    interval,
    needed,
    number,
    p_value,
    points,
    value,
    value_interval,
)
from evalkit.reports.printable import printable
from evalkit.reports.render.terminal import to_terminal
from evalkit.reports.view import (
    Cell,
    Column,
    Plain,
    badge,
    bound,
    figure,
    listed,
    phrase,
    table,
    verdict_span,
    verdict_value,
)
from evalkit.tasks import Task

WRONG_CASES = 5


def verdict_line(verdict: Verdict) -> str:
    """One gate on one line: value, count, interval, bound, outcome."""
    estimate = verdict.estimate
    count = (
        f"{estimate.successes}/{estimate.n}"
        if estimate.successes is not None
        else f"n={estimate.n}"
    )
    if verdict.on_all_rows is not None:
        count += " clean rows"
    line = (
        f"{printable(verdict.label)}  {value(verdict)}  ({count}, 95% {value_interval(verdict)})  "
        f"needs {needed(verdict.policy, verdict.unit)}  {verdict.outcome.upper()}"
    )
    return f"{line}\n  {verdict.note}" if verdict.note else line


def explain(verdict: Verdict, task: Task) -> str:
    """Why a gate did not pass: the line, its reason, the weakest slice and five wrong cases."""
    lines = [verdict_line(verdict), f"  why this bound: {verdict.policy.why}"]
    if verdict.contest is not None:
        lines.append(f"  {contest_line(verdict.contest)}")
    if verdict.on_all_rows is not None:
        shown = number(verdict.on_all_rows.value, verdict.unit)
        lines.append(f"  {shown} with the rows that it was trained on")
    if verdict.settled_by is not None and verdict.settled_by > verdict.estimate.n:
        lines.append(
            f"  {verdict.settled_by:,} cases would settle it four times in five, if this value is "
            "the true one"
        )
    if verdict.regression is not None:
        lines.append(f"  {contest_line(verdict.regression)}")
    if verdict.weakest:
        lines.append(f"  weakest: {printable(verdict.weakest, 300)}")
    if verdict.wrong:
        cases = verdict.wrong[:WRONG_CASES]
        lines.append(f"  {len(cases)} of {len(verdict.wrong)} rows counted against it:")
        lines += [f"    {wrong_case(row, task)}" for row in cases]
    return "\n".join(lines)


def wrong_case(row: EvaluatedRow, task: Task) -> str:
    """A row with the right labels and what was said instead, on two lines."""
    return f"{_inputs(row)}\n      right: {_right(row, task)}; said: {_said(row, task)}"


def _inputs(row: EvaluatedRow) -> str:
    inputs = " | ".join(text for text in row.example.inputs.values() if text)
    return f"{printable(row.example.id, 20)}: {printable(inputs, 90)}"


def _right(row: EvaluatedRow, task: Task) -> str:
    return ", ".join(f.display(row.example.labels[name]) for name, f in task.fields.items())


def _said(row: EvaluatedRow, task: Task) -> str:
    if row.is_unreadable:
        said = f"unreadable: {row.completion.text}"
    else:
        said = ", ".join(describe_said(f, row.said(name)) for name, f in task.fields.items())
    return printable(said, 90)


def release_table(release: Release, lang: Lang = "en") -> list[RenderableType]:
    """Every gate of one system; those of one criterion together."""
    both = any(verdict.on_all_rows is not None for verdict in release.verdicts)
    heads = [
        Column(phrase("col.gate"), is_text=True),
        Column(phrase("col.value")),
        Column(phrase("col.n"), drop=3),
        Column(phrase("col.ci"), drop=1),
        Column(phrase("col.needs")),
        Column(phrase("col.drop"), drop=4),
        *([Column(phrase("col.all_rows"), drop=2)] if both else []),
        Column(phrase("col.outcome"), is_text=True),
    ]
    rows: list[list[Cell]] = []
    told = ""
    for verdict in release.verdicts:
        if verdict.slice and verdict.gate != told:
            rows.append([verdict.gate, *[""] * (len(heads) - 1)])
        told = verdict.gate if verdict.slice else ""
        everywhere = figure(verdict.on_all_rows, verdict.unit) or ""
        rows.append(
            [
                _row_name(verdict),
                verdict_value(verdict),
                verdict.estimate.n,
                verdict_span(verdict),
                bound(verdict),
                "" if verdict.detects is None else Plain(100 * verdict.detects),
                *([everywhere] if both else []),
                badge(verdict),
            ]
        )
    return [Text(printable(release.system), style="italic"), *to_terminal(table(heads, rows), lang)]


def _row_name(verdict: Verdict) -> str:
    name = f"  {verdict.slice}" if verdict.slice else verdict.gate
    return name if verdict.policy.blocks else f"{name} ({verdict.policy.tier})"


def closing_line(release: Release) -> Text:
    """The one line a release is about."""
    name = printable(release.system)
    if release.may_ship:
        lesser = [*_did_not_block(release)]
        n = len(release.verdicts) - len(release.not_blocking)
        every = "all " if not lesser else ""
        passed_all = "the one gate passed" if n == 1 and every else f"{every}{n} gates passed"
        said = [passed_all, *lesser, *map(printable, release.caveats)]
        return Text(f"{name} may ship: {'; '.join(said)}.", style="bold green")
    if release.partial:
        passed = len(release.of(Outcome.PASS))
        return Text(
            f"{name}: {passed} of {len(release.verdicts)} gates passed. Only some tests were "
            "chosen, so there is no release verdict.",
            style="bold yellow",
        )
    reasons = [printable(fault, 300).rstrip(".") for fault in release.faults]
    for outcome, word in ((Outcome.FAIL, "failed"), (Outcome.INCONCLUSIVE, "inconclusive")):
        if found := [v for v in release.of(outcome) if v.blocks]:
            reasons.append(f"{len(found)} {word} ({_shorten(_brief(v) for v in found)})")
    if release.not_judged:
        reasons.append(f"not judged: {_not_judged(release)}")
    if release.regressions:
        worse = _shorten(
            f"{printable(r.label)} {points(r.contest.comparison.difference, r.contest.metric.unit)}"
            for r in release.regressions
        )
        reasons.append(f"{len(release.regressions)} worse than the baseline ({worse})")
    reasons += _did_not_block(release)
    if not release.verdicts and not release.faults:
        reasons = ["no gate was judged", *(reasons if release.missed else [])]
    return Text(f"{name} may NOT ship: {'; '.join(reasons)}.", style="bold red")


def _did_not_block(release: Release) -> Iterator[str]:
    """What did not pass, or was not judged, and need not: it is not critical."""
    if found := release.not_blocking:
        listed = ", ".join(f"{_brief(v)} {v.outcome.value}, {v.policy.tier}" for v in found)
        yield f"{len(found)} did not pass and do not block ({listed})"
    if release.left_open:
        yield f"not judged, and not critical: {', '.join(map(printable, release.left_open))}"


def _not_judged(release: Release) -> str:
    """What was not judged, that of one reason together."""
    by_reason: dict[str, list[str]] = {}
    for name in release.not_judged:
        by_reason.setdefault(release.missed.get(name, ""), []).append(printable(name))
    return "; ".join(
        ", ".join(names) + (f" ({printable(why, 200)})" if why else "")
        for why, names in by_reason.items()
    )


def _brief(verdict: Verdict) -> str:
    return f"{printable(verdict.label)} {value(verdict)}"


def _shorten(items: Iterable[str], most: int = 4) -> str:
    listed = list(items)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


def release_report(
    release: Release, evaluation: Evaluation, run: str, lang: Lang = "en"
) -> list[RenderableType]:
    """The table, what has to be known to read it, and the closing line."""
    record = evaluation.record
    seconds = record.seconds
    shown = release_table(release, lang)
    if crossing := [v for v in release.verdicts if v.settled_by is not None]:
        shown.append(
            Text(
                "~ the interval crosses the threshold; if the value is the true one, it is settled "
                f"four times in five by {_settled(crossing)}"
            )
        )
    if any(v.detects is not None for v in release.verdicts):
        shown.append(
            Text("drop: smallest shortfall, in points, that this sample size detects (80% power)")
        )
    shown.append(
        Text(
            f"{len(evaluation.rows)} rows of {printable(record.data.source)}; "
            f"{seconds.load or 0:.0f} s to load, {seconds.answer or 0:.0f} s to answer; {run}"
        )
    )
    shown.append(Text(f"cost: {cost_line(record.cost)}"))
    shown += [Text(line) for line in measured_lines(evaluation)]
    shown.append(Text(contamination_line(evaluation)))
    shown += [Text(contest_line(v.contest)) for v in release.verdicts if v.contest is not None]
    shown += [
        Text(
            f"{contest_line(regression.contest)}: a regression "
            f"({p_value(regression.p_value)} after Holm's correction)",
            style="bold red",
        )
        for regression in release.regressions
    ]
    for why in dict.fromkeys(release.excused.values()):
        names = [name for name, said in release.excused.items() if said == why]
        shown.append(Text(f"does not apply, as {why}: {', '.join(names)}"))
    notes = (*record.all_notes, *release.caveats)
    shown += [Text(f"note: {printable(note, 300)}") for note in notes]
    shown.append(closing_line(release))
    return shown


def side_by_side(
    releases: Sequence[Release], evaluations: Sequence[Evaluation]
) -> list[RenderableType]:
    """One column for each system, and paired tests of the first against the others."""
    heads = [Column(phrase("col.gate"), is_text=True)]
    heads += [Column(release.system, folds=True) for release in releases]
    found = [{v.label: v for v in release.verdicts} for release in releases]
    rows = [
        [
            label,
            *(
                listed([verdict_value(of[label]), " ", badge(of[label])], "")
                if label in of
                else None
                for of in found
            ),
        ]
        for label in dict.fromkeys(label for of in found for label in of)
    ]
    shown: list[RenderableType] = [*to_terminal(table(heads, rows))]
    first, *others = evaluations
    for other in others:
        try:
            contests = Pairing(first, other).headline
        except UserError as error:
            shown.append(Text(f"no paired test: {printable(str(error), 300)}"))
            continue
        shown += [Text(contest_line(contest)) for contest in contests]
    return shown


def _settled(verdicts: Sequence[Verdict]) -> str:
    """How many cases would decide what is open, if the values stayed as they are."""
    return ", ".join(f"{v.settled_by:,} cases ({printable(v.label)})" for v in verdicts)


def measured_lines(evaluation: Evaluation) -> list[str]:
    """The usual numbers, gated or not: a line for each field and one for the rest."""
    lines: dict[str, list[str]] = {}
    for name, found in evaluation.overview().items():
        metric = found.metric
        assert metric is not None
        if metric.key in ("parse_failure_rate", "out_of_enum_rate"):
            continue  # in the table
        unit = metric.unit
        heading = metric.field or "answers"
        lines.setdefault(heading, []).append(
            f"{name.removeprefix(f'{heading} ')} {number(found.estimate.value, unit)} "
            f"({interval(found.estimate, unit)})"
        )
    return [f"{heading}: {', '.join(found)}" for heading, found in lines.items()]


def contamination_line(evaluation: Evaluation) -> str:
    """What is known of training rows among the test rows, as a sentence."""
    said = evaluation.record.contamination
    if said.status == "untrained":
        return "contamination: the system has no training of its own"
    if said.status == "unknown":
        return f"contamination: unknown; {printable(said.why, 300)}"
    seen = len(evaluation.rows) - len(evaluation.clean_rows)
    kinds = ", ".join(f"{count} {kind}" for kind, count in said.seen.items())
    return (
        f"contamination: {seen} of {len(evaluation.rows)} rows repeat one of "
        f"{said.trained_rows or 0:,} training rows" + (f" ({kinds})" if kinds else "")
    )
