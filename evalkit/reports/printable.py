"""Untrusted text made fit to be shown on a terminal."""

from __future__ import annotations

import unicodedata

_HARMFUL = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
"""Control, format (bidi marks among them), surrogate, private-use, line and paragraph breaks."""


def printable(text: str, width: int = 100) -> str:
    r"""One line that a terminal shows as it stands, of at most `width` characters.

    Characters that steer a terminal or reorder text are written as escapes.

    >>> printable("safe" + chr(27) + "[2J")
    'safe\\x1b[2J'
    """
    shown = text if len(text) <= width else text[: width - 1] + "…"
    return "".join(c.encode("unicode_escape").decode() if is_harmful(c) else c for c in shown)


def is_harmful(character: str) -> bool:
    """Whether a character steers a terminal or a page, reorders text, or stands for none."""
    return unicodedata.category(character) in _HARMFUL
