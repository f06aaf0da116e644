"""Whether a text matches a GBNF grammar: a slow reader of the notation, written apart.

It knows rules, `|`, sequences, `(...)`, `?`, `*`, `"..."` with escapes and `[^...]`, and finds
every place where a match may end.
"""

from __future__ import annotations

import re
from functools import cache

_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|\[\^?(?:[^\]\\]|\\.)*\]|[a-z][a-zA-Z0-9-]*|[()|?*])')
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
_NAMED = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}


def matches(grammar: str, text: str) -> bool:
    """Whether the root rule matches the whole text."""
    rules = {}
    for line in grammar.splitlines():
        name, _, body = line.partition(" ::= ")
        assert re.fullmatch(r"[a-zA-Z0-9-]+", name), name
        assert name not in rules, name
        tokens = _tokens(body)
        rules[name] = _alternatives(tokens)
        assert not tokens, f"{name}: {tokens}"

    @cache
    def rule(name: str, start: int) -> frozenset[int]:
        return run(rules[name], start)

    def run(node: tuple, start: int) -> frozenset[int]:
        kind, *parts = node
        if kind == "text":
            return frozenset({start + len(parts[0])} if text.startswith(parts[0], start) else ())
        if kind == "none of":
            fits = start < len(text) and text[start] not in parts[0]
            return frozenset({start + 1} if fits else ())
        if kind == "rule":
            return rule(parts[0], start)
        if kind == "|":
            return frozenset().union(*(run(part, start) for part in parts))
        if kind == "?":
            return run(parts[0], start) | {start}
        if kind == "*":
            found, new = {start}, {start}
            while new:
                new = {end for place in new for end in run(parts[0], place)} - found
                found |= new
            return frozenset(found)
        ends = frozenset({start})
        for part in parts:
            ends = frozenset(end for place in ends for end in run(part, place))
        return ends

    return len(text) in rule("root", 0)


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
