"""How messages quote what a row holds: untrusted, so cut short and without control characters."""

from __future__ import annotations

from collections.abc import Iterable


def one_line(texts: Iterable[str]) -> str:
    """What a row's inputs say, on one line, the empty ones left out."""
    return " | ".join(filter(None, texts))


def shown(value: object, longest: int = 60) -> str:
    """Return a value as a message may quote it."""
    text = repr(value)  # escapes what a terminal would obey
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def shown_error(error: Exception) -> str:
    """Return the first line of an error, or of what lies at its root, as a sentence."""
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    first = (str(error).splitlines() or [""])[0][:300].rstrip(".")
    return f"{type(error).__name__}: {''.join(c for c in first if c.isprintable())}."


def type_of(value: object) -> str:
    """Name a value's type as readers of JSON know it: `a list`, `null`."""
    names = {type(None): "null", bool: "true or false", str: "text", dict: "an object"}
    names |= {int: "a whole number", float: "a fraction", list: "a list"}
    return names.get(type(value), f"a {type(value).__name__}")
