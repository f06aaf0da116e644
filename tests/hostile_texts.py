"""Texts and values made to do harm, the same ones each time.

`python benchmarks/hostile.py` draws 10,000 of them.
"""

from __future__ import annotations

import os
import re
import unicodedata
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from evalkit.printable import legible

EXAMPLES = int(os.environ.get("EVALKIT_HOSTILE_EXAMPLES", "300"))
"""Of all kinds together."""
WEAPONS = st.sampled_from(
    [
        "\x1b[2J",
        "\x1b]8;;http://x\x07",
        "\u202e",
        "\u2028",
        "\n::error::x",
        "::stop-commands::x",
        "##[group]x",
        "<script>alert(1)</script>",
        "</script><script>alert(1)//",
        '"><img src=x onerror=alert(1)>',
        "javascript:alert(1)",
        "<!--<script>",
        "[x](javascript:alert(1))",
        "{{ 7 * 7 }}",
        "[bold]",
        "\ufeff",
        "\0",
        "a" * 300,
        "../" * 20,
        "[" * 3000,
        '{"a":' * 3000,
        "1e999",
        "9" * 5000,
        "<|im_end|>",
        "</think>",
    ]
)
TEXT = st.lists(st.one_of(WEAPONS, st.text(max_size=8)), max_size=4).map("".join)
VALUE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)


def hostile(share: float) -> Any:
    """A share of the examples."""
    return settings(
        max_examples=round(share * EXAMPLES),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )


def check_message(text: str) -> None:
    """What a command says of it."""
    check_shown(legible(text))


def check_shown(shown: str) -> None:
    """It steers neither a terminal nor a CI service that reads it as a log."""
    steering = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    assert not [c for c in shown if c not in "\n\t" and unicodedata.category(c) in steering]
    assert not re.search(r"^\s*::|##\w*\[", shown, re.MULTILINE)
