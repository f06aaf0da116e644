"""What changed between two runs of what should be the same model: other weights, other server."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.evaluation import EvaluatedRow
from evalkit.reports.compare import Pairing, is_right
from evalkit.reports.sections.comparison import differences_in_words, paired_table
from evalkit.reports.view import (
    Blocks,
    Column,
    Data,
    Paragraph,
    Plain,
    Toned,
    bullets,
    columns,
    figure,
    phrase,
    span_of,
    table,
)


def parity_blocks(found: Pairing, names: Sequence[str], show: int) -> Blocks:
    """How many answers differ, what that does to accuracy, and which rows they are.

    Args:
        found: the two runs.
        names: what they are called.
        show: how many rows to show.
    """
    sides = [
        phrase("sided", letter=letter, name=name) for letter, name in zip("AB", names, strict=True)
    ]
    same, known = found.prompt_tokens
    lines = [phrase("parity.same_prompt" if found.same_prompt else "parity.other_prompt")]
    if known:
        lines.append(phrase("parity.tokens", same=same, n=known))
    lines.append(phrase("parity.differ", what=differences_in_words(found.differences)))
    if found.unanswered:
        lines.append(phrase("parity.unanswered", n=found.unanswered))
    if found.margins is not None:
        changed, kept = (Plain(margin, ".2f") for margin in found.margins)
        lines.append(phrase("parity.margins", changed=changed, kept=kept))
    more = len(found.differing) - show
    return [
        *bullets(sides),
        *_changes(found),
        *paired_table(found.headline, found.first.task.fields),
        *bullets(lines),
        *_rows(found, show),
        *([Paragraph(phrase("parity.more", n=more, all=len(found.differing)))] if more > 0 else []),
    ]


def _changes(found: Pairing) -> Blocks:
    heads = [phrase("head.differing"), *columns("rows"), phrase("head.share"), *columns("ci")]
    rows = [
        [
            phrase("parity.text") if name == "text" else phrase("parity.value", field=name),
            phrase("of", part=estimate.successes or 0, all=estimate.n),
            figure(estimate),
            span_of(estimate),
        ]
        for name, estimate in found.changed.items()
    ]
    return table(heads, rows)


def _rows(found: Pairing, show: int) -> Blocks:
    rows = [
        [
            Data(row.example.id, 40) if not place else "",
            "AB"[place],
            Toned(Data(row.completion.text, 200), "good" if is_right(row) else "bad"),
            phrase("parity.right" if is_right(row) else "parity.wrong"),
            _margin(row),
        ]
        for both in found.differing[:show]
        for place, row in enumerate(both)
    ]
    answer = Column(phrase("col.answer"), is_text=True, folds=True)
    heads = [
        phrase("col.id"),
        Column("", is_text=True),
        answer,
        phrase("col.reading"),
        phrase("col.margin"),
    ]
    return table(heads, rows, 1, 0)


def _margin(row: EvaluatedRow) -> Plain | None:
    margin = row.completion.margin
    return None if margin is None else Plain(margin, ".2f")
