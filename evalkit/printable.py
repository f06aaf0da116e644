"""Untrusted text made fit to be shown on a terminal, and in the encoding that it has."""

from __future__ import annotations

import codecs
import re
import sys
import unicodedata

_HARMFUL = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
"""Control, format (bidi marks among them), surrogate, private-use, line and paragraph breaks."""


_COMMAND = re.compile(r"^(\s*:)(?=:)|(#)(?=#\w*\[)", re.MULTILINE)
"""What begins a command to a CI service, as the log is read: `::error::`, `##[group]`."""
_PLAIN = {
    **dict.fromkeys("─━═╌╍┄┅╴╶╸╺", "-"),
    **dict.fromkeys("│┃║╎╏╵╷╹╻", "|"),
    "…": "...",
    "–": "-",
    "—": "-",
    "−": "-",
    "×": "x",
    "≥": ">=",
    "≤": "<=",
    "±": "+-",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "→": "->",
    "·": ".",
}
"""What stands for a character that an encoding lacks; `+` for a corner, `?` for any other."""


def printable(text: str, width: int = 100) -> str:
    r"""One line that a terminal shows as it is, of at most `width` characters.

    Characters that steer a terminal or reorder text are written as escapes.

    >>> printable("safe" + chr(27) + "[2J")
    'safe\\x1b[2J'
    """
    shown = text if len(text) <= width else text[: width - 1] + "…"
    if shown.isascii() and shown.isprintable():
        return shown
    return "".join(c.encode("unicode_escape").decode() if is_harmful(c) else c for c in shown)


def legible(text: str) -> str:
    r"""Lines that a terminal shows as they are, and that no CI service takes for its commands.

    >>> legible("safe" + chr(27) + "[2J\n ::error::no")
    'safe\\x1b[2J\n : :error::no'
    """
    shown = "".join(
        c.encode("unicode_escape").decode() if c not in "\n\t" and is_harmful(c) else c
        for c in text
    )
    return _COMMAND.sub(r"\1\2 ", shown)


def write_what_fits() -> None:
    """Let standard output and error write what their encoding lacks in plain characters."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_plain.__name__)


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    corner = {c: "+" for c in lacking if "\u2500" <= c <= "\u257f"}
    return "".join((corner | _PLAIN).get(c, "?") for c in lacking), error.end


codecs.register_error(_plain.__name__, _plain)


def is_harmful(character: str) -> bool:
    """Whether a character steers a terminal or a page, reorders text, or stands for none."""
    return unicodedata.category(character) in _HARMFUL
