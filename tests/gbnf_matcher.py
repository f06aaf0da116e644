"""Whether a text matches a GBNF grammar: a slow reader of the notation, written apart.

It knows rules, `|`, sequences, `(...)`, `?`, `*`, `"..."` with escapes and `[^...]`, and finds
every place where a match may end.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from functools import cache

Places = Generator[tuple[tuple, int], frozenset[int], frozenset[int]]
"""Asks where other nodes end, and returns where this one does."""

_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|\[\^?(?:[^\]\\]|\\.)*\]|[a-z][a-zA-Z0-9-]*|[()|?*])')
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_NAMED = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}


def matches(grammar: str, text: str) -> bool:
    """Whether the root rule matches the whole text."""
    rules = _rules(grammar)
    known: dict[tuple[str, int], frozenset[int]] = {}

    def ends_of(node: tuple, start: int) -> Places:
        kind, *parts = node
        if kind == "text":
            return frozenset({start + len(parts[0])} if text.startswith(parts[0], start) else ())
        if kind == "none of":
            fits = start < len(text) and text[start] not in parts[0]
            return frozenset({start + 1} if fits else ())
        if kind == "rule":
            if (parts[0], start) not in known:
                known[parts[0], start] = yield rules[parts[0]], start
            return known[parts[0], start]
        if kind == "|":
            found = set()
            for part in parts:
                found |= yield part, start
            return frozenset(found)
        if kind == "?":
            return (yield parts[0], start) | {start}
        if kind == "*":
            found, new = {start}, {start}
            while new:
                reached = set()
                for place in new:
                    reached |= yield parts[0], place
                new = reached - found
                found |= new
            return frozenset(found)
        ends = {start}
        for part in parts:
            reached = set()
            for place in ends:
                reached |= yield part, place
            ends = reached
        return frozenset(ends)

    # A rule that calls itself once a character goes deeper than Python's own stack may.
    stack = [ends_of(("rule", "root"), 0)]
    ends = None
    while stack:
        try:
            stack.append(ends_of(*stack[-1].send(ends)))
            ends = None
        except StopIteration as done:
            stack.pop()
            ends = done.value
    return len(text) in ends


@cache
def _rules(grammar: str) -> Mapping[str, tuple]:
    rules = {}
    for line in grammar.splitlines():
        name, _, body = line.partition(" ::= ")
        assert re.fullmatch(r"[a-zA-Z0-9-]+", name), name
        assert name not in rules, name
        tokens = _tokens(body)
        rules[name] = _alternatives(tokens)
        assert not tokens, f"{name}: {tokens}"
    return rules


def _tokens(body: str) -> list[str]:
    found, place = [], 0
    while place < len(body):
        token = _TOKEN.match(body, place)
        assert token, body[place:]
        found.append(token[1])
        place = token.end()
    return found


def _alternatives(tokens: list[str]) -> tuple:
    found = [_sequence(tokens)]
    while tokens and tokens[0] == "|":
        tokens.pop(0)
        found.append(_sequence(tokens))
    return ("|", *found)


def _sequence(tokens: list[str]) -> tuple:
    found = []
    while tokens and tokens[0] not in "|)":
        token = tokens.pop(0)
        if token == "(":
            part = _alternatives(tokens)
            assert tokens.pop(0) == ")"
        elif token.startswith('"'):
            part = ("text", _unescape(token[1:-1]))
        elif token.startswith("[^"):
            part = ("none of", _unescape(token[2:-1]))
        else:
            part = ("rule", token)
        if tokens and tokens[0] in "?*":
            part = (tokens.pop(0), part)
        found.append(part)
    return ("then", *found)


def _unescape(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        code = match[1] or match[2] or match[3]
        return chr(int(code, 16)) if code else _NAMED[match[4]]

    return _ESCAPE.sub(one, text)
