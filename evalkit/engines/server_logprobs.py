"""What a server's token log-probabilities say of an answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalkit.records import Answer


@dataclass(frozen=True, slots=True)
class Token:
    """A token as a server lists it."""

    text: str
    logprob: float
    runner_up: float | None
    """Log-probability of the likeliest other token, where the server says it."""


def read_tokens(logprobs: object, text: str) -> list[Token]:
    """Read `choices[0].logprobs`; empty where its tokens do not spell the answer.

    Tokens behind the answer (the end token, on some servers) are left out.
    """
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    tokens: list[Token] = []
    spelled = ""
    for entry in content if isinstance(content, list) else []:
        if spelled == text:
            break
        token = _token(entry)
        if token is None or not text.startswith(spelled + token.text):
            return []
        tokens.append(token)
        spelled += token.text
    return tokens if spelled == text else []


def least_margin(tokens: Sequence[Token]) -> float | None:
    """The least distance of a token from the next likeliest; None where one is not known.

    A difference of log-probabilities is that of the logits.
    """
    margins = [t.logprob - t.runner_up for t in tokens if t.runner_up is not None]
    return max(0.0, min(margins)) if margins and len(margins) == len(tokens) else None


def confidences(text: str, tokens: Sequence[Token], answers: Sequence[Answer]) -> dict[str, float]:
    """The probability of each field's value as written, given what stands before it.

    Of a canonical answer it is the product over the tokens that write the value, from where the
    field's values part to the token that ends it, so that `1` is not taken for the start of
    `10`. Where a value ends with the
    answer it is not known whether the server counts the end, and there is no confidence.
    """
    said = next((answer.labels for answer in answers if answer.text == text), None)
    if said is None or not tokens:
        return {}
    found: dict[str, float] = {}
    for field in said:
        others = [
            answer.text
            for answer in answers
            if {n for n, label in answer.labels.items() if label != said[n]} == {field}
        ]
        if not others:
            continue
        start = min(_common_prefix(text, other) for other in others)
        end = len(text) - min(_common_suffix(text, other) for other in others)
        if end >= len(text):
            continue
        found[field] = min(1.0, math.exp(_sum_over(tokens, min(start, end), end + 1)))
    return found


def _common_prefix(one: str, other: str) -> int:
    """Length of the common beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def _common_suffix(one: str, other: str) -> int:
    """Length of the common ending that does not reach into the common beginning."""
    beginning = _common_prefix(one, other)
    most = min(len(one), len(other)) - beginning
    return min(most, _common_prefix(one[::-1], other[::-1]))


def _sum_over(tokens: Sequence[Token], start: int, end: int) -> float:
    total, place = 0.0, 0
    for token in tokens:
        if place < end and place + len(token.text) > start:
            total += token.logprob
        place += len(token.text)
    return total


def _token(entry: object) -> Token | None:
    if not isinstance(entry, Mapping):
        return None
    text, logprob = entry.get("token"), _number(entry.get("logprob"))
    if not isinstance(text, str) or not text or logprob is None:
        return None
    top = entry.get("top_logprobs")
    listed = [other for other in top if isinstance(other, Mapping)] if isinstance(top, list) else []
    others = [_number(other.get("logprob")) for other in listed if other.get("token") != text]
    known = [other for other in others if other is not None]
    return Token(text, logprob, max(known, default=None))


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # a whole number of hundreds of digits
        return None
