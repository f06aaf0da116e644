"""Blocks as data: numbers as numbers, everything else as the text that a reader sees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, assert_never

from evalkit.locale import Lang
from evalkit.reports.render.terminal import TerminalWords
from evalkit.reports.view import (
    Badge,
    Block,
    Bold,
    Cell,
    Count,
    Figure,
    GateSpan,
    Heading,
    Lines,
    Link,
    Page,
    Paragraph,
    Picture,
    Plain,
    Points,
    PValue,
    Reliability,
    Scatter,
    Span,
    Table,
    Toned,
    WithSpan,
)


def to_data(blocks: Iterable[Block], lang: Lang = "en") -> list[dict[str, Any]]:
    """Blocks in their order; those that only draw what a table beside them says are left out."""
    words = TerminalWords(lang)
    return [found for block in blocks for found in _parts(block, words)]


def _parts(block: Block, words: TerminalWords) -> Iterator[dict[str, Any]]:
    match block:
        case Heading():
            yield {"heading": words.cell(block.text)}
        case Paragraph():
            yield {"text": words.cell(block.text)}
        case Points():
            yield {"items": [words.cell(item) for item in block.items]}
        case Table():
            heads = [words.cell(column.head) for column in block.columns]
            rows = [[_value(cell, words) for cell in row] for row in block.rows]
            yield {"columns": heads, "rows": rows}
        case Picture() | Reliability() | Scatter():
            return
        case _:
            assert_never(block)


def _value(found: Cell, words: TerminalWords) -> Any:
    match found:
        case None | int():
            return found
        case Figure() | Plain():
            return found.value
        case Span():
            return [found.low, found.high]
        case GateSpan():
            return [found.verdict.estimate.low, found.verdict.estimate.high]
        case WithSpan():
            return [found.estimate.value, found.estimate.low, found.estimate.high]
        case PValue():
            return found.p
        case Count():
            return found.n
        case Badge():
            return found.outcome.value
        case Lines():
            return [words.cell(part) for part in found.parts]
        case Link() | Page() | Toned() | Bold():
            return _value(found.what, words)
    return words.cell(found)
