"""Verdicts in the terminal."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from evalkit.evaluation import EvaluatedRow, Evaluation, describe_said
from evalkit.gates import Outcome, Policy, Release, Verdict
from evalkit.records import Estimate
from evalkit.reporting.printable import printable
from evalkit.tasks import Task

STYLES = {Outcome.PASS: "green", Outcome.FAIL: "bold red", Outcome.INCONCLUSIVE: "yellow"}
WRONG_CASES = 5


def percent(value: float) -> str:
    """A share as people read it."""
    return f"{value:.1%}"


def interval(estimate: Estimate) -> str:
    """The 95% interval, in percent."""
    return f"{100 * estimate.low:.1f}-{100 * estimate.high:.1f}"


def needed(policy: Policy) -> str:
    """The bound, with its direction."""
    bound = policy.threshold
    shown = f"{100 * bound:.4g}%"
    if policy.min_value is not None:
        return f">= {shown}"
    return f"<= {shown}" if bound else "0"


def verdict_line(verdict: Verdict) -> str:
    """One gate on one line: value, count, interval, bound, outcome."""
    estimate = verdict.estimate
    count = (
        f"{estimate.successes}/{estimate.n}"
        if estimate.successes is not None
        else f"n={estimate.n}"
    )
    line = (
        f"{verdict.label}  {percent(estimate.value)}  ({count}, 95% {interval(estimate)})  "
        f"needs {needed(verdict.policy)}  {verdict.outcome.upper()}"
    )
    return f"{line}\n  {verdict.note}" if verdict.note else line


def explain(verdict: Verdict, task: Task) -> str:
    """Why a gate did not pass: the line, its reason, the weakest slice and five wrong cases."""
    lines = [verdict_line(verdict), f"  why this bound: {verdict.policy.why}"]
    if verdict.weakest:
        lines.append(f"  weakest: {verdict.weakest}")
    if verdict.wrong:
        shown = verdict.wrong[:WRONG_CASES]
        lines.append(f"  {len(shown)} of {len(verdict.wrong)} rows counted against it:")
        lines += [f"    {wrong_case(row, task)}" for row in shown]
    return "\n".join(lines)


def wrong_case(row: EvaluatedRow, task: Task) -> str:
    """A row with the right labels and what was said instead, on one line."""
    inputs = " | ".join(text for text in row.example.inputs.values() if text)
    right = ", ".join(f.display(row.example.labels[name]) for name, f in task.fields.items())
    if row.said(next(iter(task.fields))) is None:
        said = f"unreadable: {row.completion.text}"
    else:
        said = ", ".join(describe_said(f, row.said(name)) for name, f in task.fields.items())
    name = printable(row.example.id, 20)
    return f"{name}: {printable(inputs, 90)}\n      right: {right}; said: {printable(said, 90)}"


def release_table(release: Release) -> Table:
    """Every gate of one system."""
    table = Table(box=box.SIMPLE_HEAD, title=printable(release.system), title_justify="left")
    table.add_column("gate", no_wrap=True)
    table.add_column("value", justify="right")
    table.add_column("n", justify="right")
    table.add_column("95%", justify="right")
    table.add_column("needs", justify="right")
    table.add_column("verdict")
    for verdict in release.verdicts:
        estimate = verdict.estimate
        outcome = Text(verdict.outcome.upper(), style=STYLES[verdict.outcome])
        if verdict.outcome is not Outcome.INCONCLUSIVE and verdict.note:
            outcome.append(" ~", style="yellow")
        table.add_row(
            Text(verdict.label),
            percent(estimate.value),
            str(estimate.n),
            interval(estimate),
            needed(verdict.policy),
            outcome,
        )
    return table


def closing_line(release: Release) -> Text:
    """The one line a release is about."""
    name = printable(release.system)
    if release.may_ship:
        return Text(
            f"{name} may ship: all {len(release.verdicts)} gates passed.", style="bold green"
        )
    if release.partial:
        passed = len(release.of(Outcome.PASS))
        return Text(
            f"{name}: {passed} of {len(release.verdicts)} gates passed. Only some tests were "
            "chosen, so there is no release verdict.",
            style="bold yellow",
        )
    reasons = []
    for outcome, word in ((Outcome.FAIL, "failed"), (Outcome.INCONCLUSIVE, "inconclusive")):
        if found := release.of(outcome):
            reasons.append(f"{len(found)} {word} ({_shorten(_brief(v) for v in found)})")
    if release.not_judged:
        reasons.append(f"not judged: {', '.join(release.not_judged)}")
    if not release.verdicts:
        reasons = ["no gate was judged"]
    return Text(f"{name} may NOT ship: {'; '.join(reasons)}.", style="bold red")


def _brief(verdict: Verdict) -> str:
    return f"{verdict.label} {percent(verdict.estimate.value)}"


def _shorten(items: Iterable[str], most: int = 4) -> str:
    listed = list(items)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


def release_report(release: Release, evaluation: Evaluation, run: str) -> list[RenderableType]:
    """The table, what has to be known to read it, and the closing line."""
    record = evaluation.record
    data = record["data"]
    seconds = record["seconds"]
    shown: list[RenderableType] = [release_table(release)]
    if any(v.note and v.outcome is not Outcome.INCONCLUSIVE for v in release.verdicts):
        shown.append(Text("~ the 95% interval crosses the threshold: more cases would settle it"))
    shown.append(
        Text(
            f"{len(evaluation.rows)} rows of {printable(data['source'])}; "
            f"{seconds['load']:.0f} s to load, {seconds['answer']:.0f} s to answer; {run}"
        )
    )
    overview = evaluation.overview()
    also = [name for name in overview if name not in ("parse failures", "out of enum")]
    measured = [
        f"{name} {percent(overview[name].value)} ({interval(overview[name])})" for name in also
    ]
    shown.append(Text(f"measured: {', '.join(measured)}"))
    shown += [Text(f"note: {printable(note, 200)}") for note in (*data["notes"], *record["notes"])]
    shown.append(closing_line(release))
    return shown


def to_text(shown: Sequence[RenderableType], width: int, *, colour: bool) -> str:
    """Render for a terminal of that width."""
    console = Console(
        file=io.StringIO(), width=width, force_terminal=colour, no_color=not colour, highlight=False
    )
    for part in shown:
        # Lines of text stay whole, so that they can be searched for in a log.
        console.print(part, markup=False, soft_wrap=isinstance(part, Text))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text
