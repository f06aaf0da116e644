"""What changed between two runs of what should be the same model: other weights, other server."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.evaluation import EvaluatedRow
from evalkit.reports.compare import Pairing, is_right
from evalkit.reports.sections.paired import differences_in_words, paired_table
from evalkit.reports.view import (
    Blocks,
    Cell,
    Column,
    Data,
    Paragraph,
    Plain,
    Toned,
    bullets,
    col,
    figure,
    phrase,
    span_of,
    table_of,
)


def parity_blocks(found: Pairing, names: Sequence[str], show: int) -> Blocks:
    """How many answers differ, what that does to accuracy, and `show` of these rows."""
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
    def what(name: str) -> Cell:
        return phrase("parity.text") if name == "text" else phrase("parity.value", field=name)

    return table_of(
        found.changed.items(),
        (Column(phrase("head.differing"), is_text=True), lambda of: what(of[0])),
        (col("rows"), lambda of: phrase("of", part=of[1].successes or 0, all=of[1].n)),
        (phrase("head.share"), lambda of: figure(of[1])),
        (col("ci"), lambda of: span_of(of[1])),
    )


def _rows(found: Pairing, show: int) -> Blocks:
    def answer(row: EvaluatedRow) -> Cell:
        return Toned(Data(row.completion.text, 200), "good" if is_right(row) else "bad")

    def margin(row: EvaluatedRow) -> Cell:
        known = row.completion.margin
        return None if known is None else Plain(known, ".2f")

    return table_of(
        [lettered for both in found.differing[:show] for lettered in zip("AB", both, strict=True)],
        (col("id", is_text=True), lambda r: Data(r[1].example.id, 40) if r[0] == "A" else ""),
        (Column("", is_text=True), lambda r: r[0]),
        (col("answer", is_text=True, folds=True), lambda r: answer(r[1])),
        (col("reading"), lambda r: phrase(f"parity.{'right' if is_right(r[1]) else 'wrong'}")),
        (col("margin"), lambda r: margin(r[1])),
    )
