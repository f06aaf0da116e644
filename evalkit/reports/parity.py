"""What changed between two runs of what should be the same model: other weights, other server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from evalkit import metrics
from evalkit.errors import UserError
from evalkit.evaluation import Contest, EvaluatedRow, Evaluation, check_same_rows, pair
from evalkit.evaluation.rows import groups_of
from evalkit.records import Estimate
from evalkit.reports.comparison import contest_table, record_differences, run_names
from evalkit.reports.printable import printable
from evalkit.reports.render.terminal import to_terminal
from evalkit.reports.terminal import headline_contests
from evalkit.reports.verdicts import contest_to_json
from evalkit.reports.view import Blocks, columns, figure, phrase, span_of, table
from evalkit.tasks import Field

Pairs = Sequence[tuple[EvaluatedRow, EvaluatedRow]]


@dataclass(frozen=True)
class Parity:
    """Two runs on the rows that both answered."""

    pairs: Pairs
    unanswered: int
    """Rows left out, as one of the two has no answer."""
    changed: dict[str, Estimate]
    """Share of rows that differ: `text`, then every field by what the answer says."""
    contests: tuple[Contest, ...]
    """Being right, by paired tests."""
    same_prompt: bool
    """Whether the hashes of the prompt are equal."""
    prompt_tokens: tuple[int, int]
    """Rows whose prompt has as many tokens in both, of those where both are known."""
    fields: Mapping[str, Field]
    differences: list[str]
    """What else differs between the records."""

    @property
    def differing(self) -> list[tuple[EvaluatedRow, EvaluatedRow]]:
        """Rows with another text, those that were least decided first."""
        found = [(a, b) for a, b in self.pairs if a.completion.text != b.completion.text]
        return sorted(found, key=lambda both: (_least_margin(*both) is None, _least_margin(*both)))


def compare_answers(first: Evaluation, second: Evaluation) -> Parity:
    """Hold two runs on the same rows against each other, answer by answer.

    Raises:
        UserError: they are of different test sets, or have no row in common.
    """
    lost = {*first.record.unanswered, *second.record.unanswered}
    first, second = (
        replace(found, rows=tuple(row for row in found.rows if row.example.id not in lost))
        for found in (first, second)
    )
    check_same_rows(first.examples, second.examples, (f"'{first.system}'", f"'{second.system}'"))
    pairs = list(zip(*pair(first.rows, second.rows), strict=True))
    if not pairs:
        raise UserError(f"No row was answered by both '{first.system}' and '{second.system}'.")
    groups = groups_of([row for row, _ in pairs])

    def share(name: str, differ: list[bool]) -> Estimate:
        return metrics.share(differ, groups=groups, asked=f"{name} differs")

    changed = {"text": share("text", [a.completion.text != b.completion.text for a, b in pairs])}
    for field in first.task.fields:
        changed[field] = share(field, [a.said(field) != b.said(field) for a, b in pairs])
    tokens = [(a.completion.prompt_tokens, b.completion.prompt_tokens) for a, b in pairs]
    known = [(one, other) for one, other in tokens if one and other]
    return Parity(
        pairs,
        len(lost),
        changed,
        tuple(headline_contests(first, second)),
        first.record.prompt_sha256 == second.record.prompt_sha256,
        (sum(one == other for one, other in known), len(known)),
        first.task.fields,
        record_differences(first, second),
    )


def parity_report(
    first: Evaluation, second: Evaluation, folders: Sequence[Path], *, show: int
) -> list[RenderableType]:
    """How many answers differ, what that does to accuracy, and which rows they are.

    Args:
        first: called A.
        second: called B.
        folders: of the two runs.
        show: how many rows to show.
    """
    found = compare_answers(first, second)
    one, other = run_names(first, second, folders)
    shown: list[RenderableType] = [
        Text(f"A: {one}\nB: {other}"),
        *to_terminal([*_changes(found), *contest_table(found.contests, found.fields)]),
        Text(_prompts(found)),
        *(Text(line) for line in found.differences),
    ]
    if found.unanswered:
        shown.append(Text(f"{found.unanswered:,} rows without an answer in A or B are left out"))
    if line := _margins(found):
        shown.append(Text(line))
    for ours, theirs in found.differing[:show]:
        shown.append(Text(printable(ours.example.id, 40)))
        shown += [
            Text(f"  {label}: {_answer(row)}")
            for label, row in zip("AB", (ours, theirs), strict=True)
        ]
    if more := len(found.differing) - show:
        shown += [Text(f"and {more:,} more; --show {len(found.differing)}")] if more > 0 else []
    return shown


def parity_to_json(first: Evaluation, second: Evaluation) -> dict[str, Any]:
    """The same as data, with every row that differs."""
    found = compare_answers(first, second)
    same, known = found.prompt_tokens
    return {
        "systems": [first.system, second.system],
        "rows": len(found.pairs),
        "unanswered": found.unanswered,
        "changed": {name: asdict(estimate) for name, estimate in found.changed.items()},
        "accuracy": [contest_to_json(contest) for contest in found.contests],
        "prompt": {
            "same_sha256": found.same_prompt,
            "rows_with_known_length": known,
            "rows_of_same_length": same,
        },
        "differences": found.differences,
        "differing_rows": [
            {
                "id": ours.example.id,
                "texts": [row.completion.text for row in (ours, theirs)],
                "margins": [row.completion.margin for row in (ours, theirs)],
                "right": [_is_right(row) for row in (ours, theirs)],
            }
            for ours, theirs in found.differing
        ],
    }


def _changes(found: Parity) -> Blocks:
    heads = [phrase("head.differing"), *columns("rows"), phrase("head.share"), *columns("ci")]
    rows = [
        [
            "the text" if name == "text" else f"what it says of {name}",
            f"{estimate.successes:,} of {estimate.n:,}",
            figure(estimate),
            span_of(estimate),
        ]
        for name, estimate in found.changed.items()
    ]
    return table(heads, rows)


def _prompts(found: Parity) -> str:
    same, known = found.prompt_tokens
    line = f"prompt: hashes {'equal' if found.same_prompt else 'differ'}"
    if known:
        line += f"; as many tokens in {same:,} of {known:,} rows"
    if not found.same_prompt:
        line += " (a server lays out its own prompt, so that only its messages are hashed)"
    return line


def _margins(found: Parity) -> str:
    """Whether it is the undecided answers that changed."""
    changed: list[float] = []
    kept: list[float] = []
    for ours, theirs in found.pairs:
        margin = _least_margin(ours, theirs)
        if margin is not None:
            differs = ours.completion.text != theirs.completion.text
            (changed if differs else kept).append(margin)
    if not changed or not kept:
        return ""
    return (
        f"least margin of a row, in logits: {median(changed):.2f} where the text differs, "
        f"{median(kept):.2f} where it does not (medians)"
    )


def _least_margin(*rows: EvaluatedRow) -> float | None:
    margins = [row.completion.margin for row in rows if row.completion.margin is not None]
    return min(margins, default=None)


def _answer(row: EvaluatedRow) -> str:
    margin = row.completion.margin
    known = "unknown" if margin is None else f"{margin:.2f}"
    right = "right" if _is_right(row) else "wrong"
    return f"{printable(row.completion.text)}  ({right}, margin {known})"


def _is_right(row: EvaluatedRow) -> bool:
    return all(row.is_right(field) for field in row.example.labels)
