"""Which prompts the model saw only a part of."""

from __future__ import annotations

import re
from collections.abc import Sequence

from evalkit.evaluation.rows import EvaluatedRow

LONGEST = 5
"""So many of the longest inputs are looked at."""
LENGTHS = 3
"""So many lengths they have at least: rows of one length may well have as many tokens."""

_PIECES = re.compile(r"[!-~]+|[^\x00-\x7f]")


def truncated(rows: Sequence[EvaluatedRow], *, served: bool) -> tuple[EvaluatedRow, ...]:
    """The rows whose prompt did not reach the model whole.

    A server that cuts prompts to its context says of all long ones that they have as many tokens
    as fit (Ollama's num_ctx). The longest inputs of a data set differ by words, so that equal
    counts, which are the greatest of all, are that bound and no chance.

    Args:
        rows: answered rows of one run.
        served: whether the counts are a server's word; an engine here counts what it feeds.
    """
    bound = _bound_of_a_server(rows) if served else 0
    return tuple(
        row
        for row in rows
        if not row.completion.saw_whole_prompt or 0 < bound == row.completion.prompt_tokens
    )


def _bound_of_a_server(rows: Sequence[EvaluatedRow]) -> int:
    """The tokens that prompts were cut to; 0 where nothing shows that any was."""
    longest = sorted(rows, key=_length, reverse=True)[:LONGEST]
    counts = {row.completion.prompt_tokens for row in longest}
    greatest = max((row.completion.prompt_tokens for row in rows), default=0)
    several = len(longest) == LONGEST and len({_length(row) for row in longest}) >= LENGTHS
    return greatest if several and counts == {greatest} else 0


def _length(row: EvaluatedRow) -> int:
    """Words, and letters of scripts that do not part them: each is about a token or more."""
    return sum(len(_PIECES.findall(text)) for text in row.example.inputs.values())
