"""Blocks as data: numbers as numbers, everything else as the text that a reader sees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, assert_never

from evalkit.reports import view
from evalkit.reports.render.terminal import TerminalWords


def to_data(blocks: Iterable[view.Block]) -> list[dict[str, Any]]:
    """Blocks in their order; those that only draw what a table beside them says are left out."""
    words = TerminalWords()
    return [found for block in blocks for found in _parts(block, words)]


def _parts(block: view.Block, words: TerminalWords) -> Iterator[dict[str, Any]]:
    match block:
        case view.Heading():
            yield {"heading": words.cell(block.text)}
        case view.Paragraph():
            yield {"text": words.cell(block.text)}
        case view.Points():
            yield {"items": [words.cell(item) for item in block.items]}
        case view.Table():
            heads = [words.cell(column.head) for column in block.columns]
            rows = [[_value(cell, words) for cell in row] for row in block.rows]
            yield {"columns": heads, "rows": rows}
        case view.Picture() | view.Reliability() | view.Scatter():
            return
        case _:
            assert_never(block)


def _value(found: view.Cell, words: TerminalWords) -> Any:
    match found:
        case None | int():
            return found
        case view.Figure() | view.Plain():
            return found.value
        case view.Span():
            return [found.low, found.high]
        case view.GateSpan():
            return [found.verdict.estimate.low, found.verdict.estimate.high]
        case view.WithSpan():
            return [found.estimate.value, found.estimate.low, found.estimate.high]
        case view.PValue():
            return found.p
        case view.Count():
            return found.n
        case view.Badge():
            return found.outcome.value
        case view.Lines():
            return [words.cell(part) for part in found.parts]
        case view.Link() | view.Page() | view.Toned() | view.Bold():
            return _value(found.what, words)
    return words.cell(found)
