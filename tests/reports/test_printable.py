"""Untrusted text on a terminal."""

from __future__ import annotations

import doctest
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from evalkit.reports import printable as module
from evalkit.reports.printable import printable


@given(st.text(st.characters(exclude_categories=[])), st.integers(min_value=1, max_value=50))
def test_nothing_steers_the_terminal(text: str, width: int) -> None:
    shown = printable(text, width)
    assert all(unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in shown)
    shown.encode()


@given(st.text("abc 你好é-"))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert printable(text, 1000) == text


def test_long_text_is_cut() -> None:
    assert printable("x" * 101) == "x" * 99 + "…"


def test_examples_in_the_docstring() -> None:
    assert doctest.testmod(module).failed == 0
