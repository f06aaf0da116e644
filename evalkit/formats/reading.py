"""From a text to its two readings: what the parsers of all formats share."""

from __future__ import annotations

import re
from collections.abc import Callable

from evalkit.records import FailureReason, ParsedAnswer, ParseFailure, Prediction
from evalkit.thoughts import Thoughts

LONGEST_SHOWN = 200

_MOST_EFFORT = 1_000_000
_TRY_EFFORT = 100
"""`first_answer` may look at a million characters in all, however an endless text is shaped.

A try costs about as much as a hundred characters. Answers are a few hundred characters long,
so no text that a model writes in earnest comes near.
"""

_MOST_TELLING = (FailureReason.TRUNCATED, FailureReason.MALFORMED, FailureReason.NO_ANSWER)


class ReadError(Exception):
    """A text, or a place in it, that cannot be read as an answer. Never leaves `parse`."""

    def __init__(self, reason: FailureReason, seen: str = "", stop: int = 0):
        super().__init__(reason)
        self.reason = reason
        self.seen = seen
        self.stop = stop
        """Where reading stopped."""


def clip(text: str) -> str:
    """Return the first 200 characters of what a model wrote, fit for UTF-8.

    Half a surrogate pair, which a JSON escape may spell, becomes a replacement character.
    """
    return text[:LONGEST_SHOWN].encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def read_both(
    text: str,
    strict: Callable[[str], Prediction],
    lenient: Callable[[str], Prediction],
    thoughts: Thoughts,
) -> ParsedAnswer:
    """Read a text with two readers, each of which returns an answer or raises `ReadError`.

    The strict reading goes first and, if it succeeds, is the lenient one too: an answer may
    quote an input, and then what looks like a thought or a second answer is only quoted.
    """
    if not text.strip():
        empty = ParseFailure(FailureReason.EMPTY)
        return ParsedAnswer(empty, empty)
    try:
        exact = strict(text)
    except ReadError as error:
        refused = ParseFailure(error.reason, clip(error.seen))
    else:
        return ParsedAnswer(exact, exact)
    found = _lenient(text, lenient, thoughts)
    if refused.reason in (FailureReason.EXTRA_TEXT, FailureReason.NO_ANSWER):
        # The text is not an answer from its first character to its last. If there is one
        # somewhere, the rest is extra; if there is none, nothing is extra.
        if isinstance(found, ParseFailure):
            refused = found
        else:
            refused = ParseFailure(FailureReason.EXTRA_TEXT, clip(text))
    return ParsedAnswer(refused, found)


def _lenient(
    text: str, lenient: Callable[[str], Prediction], thoughts: Thoughts
) -> Prediction | ParseFailure:
    try:
        return lenient(text)
    except ReadError as error:
        if opening := thoughts.unended(text):
            return ParseFailure(FailureReason.TRUNCATED, f"{opening} never ends")
        return ParseFailure(error.reason, clip(error.seen))


def first_answer(
    text: str, opening: str, read: Callable[[int], tuple[Prediction, int]], thoughts: Thoughts
) -> Prediction:
    """Return the first answer that `read` finds where `opening` stands outside of thoughts.

    If there is none, raise the most telling `ReadError` that `read` raised.

    Args:
        text: what a model wrote.
        opening: how an answer begins.
        read: reads the answer that begins at a place; returns where it ends, too.
        thoughts: what is no answer.
    """
    marks = re.compile(
        f"(?P<answer>{re.escape(opening)})|{thoughts.enclosed}|(?P<close>{thoughts.closing})",
        re.DOTALL,
    )
    worst = ReadError(FailureReason.NO_ANSWER, text)
    found: Prediction | None = None
    effort = position = 0
    while match := marks.search(text, position):
        position = match.end()
        if match["close"]:  # all before it was a thought
            found = None
        elif match["answer"] and found is None and effort <= _MOST_EFFORT:
            try:
                # Marks within an answer are quoted.
                found, position = read(match.start())
            except ReadError as error:
                worst = min(worst, error, key=lambda e: _MOST_TELLING.index(e.reason))
                effort += error.stop - match.start() + _TRY_EFFORT
    if found is None:
        raise worst
    return found
