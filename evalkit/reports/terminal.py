"""Verdicts in the terminal."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich.console import RenderableType
from rich.text import Text

from evalkit.errors import UserError
from evalkit.evaluation import EvaluatedRow, Evaluation
from evalkit.gates import Release, Verdict
from evalkit.locale import Lang
from evalkit.printable import printable
from evalkit.reports.compare import Pairing
from evalkit.reports.judged import JudgedRun
from evalkit.reports.mistakes import wrong_case
from evalkit.reports.numbers import paired_line
from evalkit.reports.render.terminal import line_of, to_terminal, to_text
from evalkit.reports.sections.gates import (
    criteria,
    criteria_table,
    explain,
    paired_lines,
)
from evalkit.reports.sections.run import SECTIONS, facts, run_sections, section_title
from evalkit.reports.sections.verdict import verdict_section
from evalkit.reports.view import (
    Blocks,
    Cell,
    Clause,
    Column,
    Data,
    Heading,
    Paragraph,
    in_column,
    phrase,
    table,
    tilde,
)
from evalkit.tasks import Task

WRONG_CASES = 5
_LINES = 13
"""Of the first screen, for reasons, notes and criteria; pytest's own lines take half of it."""
_FEWEST = 3
"""Criteria that are shown however many reasons there are."""
_WHOLE = ("gates", "results", "contamination", "cost", "limitations")
"""Sections of the report that the terminal shows on demand."""


def release_screen(run: JudgedRun, width: int) -> list[RenderableType]:
    """The verdict, its reasons, and the criteria that come first: what fits on a screen."""
    release = run.release
    assert release is not None
    head = to_terminal([*_verdict(run), *_notes(run)])
    text = to_text(head, width, colour=False)
    used = sum(-(-len(line) // width) or 1 for line in text.splitlines())
    found = criteria(release)
    every, most = len(found), max(_LINES - used, _FEWEST)
    # Only a criterion of one gate is marked.
    marked = tilde([of[0] for of in list(found.values())[:most] if len(of) == 1])
    most = max(most - len(marked), _FEWEST)
    asked = {"rows": len(run.evaluation.rows), "source": run.evaluation.record.data.source}
    tail = phrase("screen.whole", **asked)
    if every > most:
        tail = phrase("screen.more", n=every - most, **asked)
    blocks = [*criteria_table(release, most), *marked, Paragraph(tail)]
    return [*head, *to_terminal(blocks, dense=True)]


def release_report(run: JudgedRun, lang: Lang = "en") -> list[RenderableType]:
    """The verdict, its reasons, every gate, every usual number, and what bounds them."""
    sections = run_sections(run)
    blocks = sections["conclusion"]
    if run.release is not None:
        comparisons = paired_lines(run, run.release)
        blocks = [*_verdict(run), *comparisons, *_notes(run), *facts(run)]
    for name in (*_WHOLE, *SECTIONS.added):
        if name in sections:
            blocks += [Heading(2, section_title(name)), *sections[name]]
    return to_terminal(blocks, lang)


def _verdict(run: JudgedRun) -> Blocks:
    assert run.release is not None
    return verdict_section(run.release, run.evaluation.task.fields)


def _notes(run: JudgedRun) -> Blocks:
    """What has to be known to believe the verdict; where it may ship, it is among the reasons."""
    assert run.release is not None
    caveats = () if run.release.may_ship else run.release.caveats
    notes = (*run.evaluation.record.all_notes, *caveats)
    told = [phrase("screen.note", note=Clause(note)) for note in notes]
    compared = [v.regression for v in run.release.verdicts if v.regression is not None]
    if compared and not run.release.regressions:
        baseline = Data(compared[0].second, 100)
        told.append(phrase("screen.none_worse", n=len(compared), baseline=baseline))
    return [Paragraph(one) for one in told]


def refused(release: Release) -> list[RenderableType]:
    """The verdict on a run whose evidence was refused."""
    return to_terminal(verdict_section(release, {}))


def evidence(verdict: Verdict, task: Task, told: Collection[str] = ()) -> str:
    """Why a gate did not pass: its line, what has to be known of it, its surest mistakes.

    Rows whose ids were `told` need not be shown again.
    """
    first, *lines = to_text(to_terminal(explain(verdict)), 1000, colour=False).splitlines()
    shown = [first, *(f"  {line}" for line in lines)]
    if cases := surest(verdict, told)[:WRONG_CASES]:
        head = phrase("gate.rows", shown=len(cases), n=len(verdict.wrong))
        shown.append(f"  {line_of(head)}")
        shown += [f"    {wrong_case(row, task)}" for row in cases]
    return "\n".join(shown)


def surest(verdict: Verdict, told: Collection[str] = ()) -> list[EvaluatedRow]:
    """The rows counted against a gate, those that the system was surest of first."""
    field = verdict.metric.field if verdict.metric else None

    def sure(row: EvaluatedRow) -> float:
        known = row.completion.confidences
        return known.get(field or "", max(known.values(), default=0.0))

    rows = [row for row in verdict.wrong if row.example.id not in told]
    return sorted(rows or verdict.wrong, key=sure, reverse=True)


def side_by_side(
    releases: Sequence[Release], evaluations: Sequence[Evaluation]
) -> list[RenderableType]:
    """One column for each system, and paired tests of the first against the others."""
    heads = [Column(phrase("col.gate"), is_text=True)]
    heads += [Column(release.system, folds=True) for release in releases]
    labels = {v.label: v.shown for release in releases for v in release.verdicts}
    for release in releases:
        for label in (*release.not_judged, *release.left_open):
            labels.setdefault(label, release.called(label))
    rows = [[name, *(_said(label, of) for of in releases)] for label, name in labels.items()]
    marked = tilde(v for release in releases for v in release.verdicts)
    shown: list[RenderableType] = [*to_terminal([*table(heads, rows), *marked])]
    first, *others = evaluations
    for other in others:
        try:
            comparisons = Pairing(first, other).headline
        except UserError as error:
            shown.append(Text(f"no paired test: {printable(str(error), 300)}"))
            continue
        shown += [Text(paired_line(paired)) for paired in comparisons]
    return shown


def _said(label: str, release: Release) -> Cell:
    """What a gate said of one system, or that it did not speak; None where it does not apply."""
    verdict = next((v for v in release.verdicts if v.label == label), None)
    is_open = verdict is None and label in (*release.not_judged, *release.left_open)
    return phrase("short.not_judged") if is_open else in_column(verdict)
