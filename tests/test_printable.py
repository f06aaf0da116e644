"""Untrusted text on a terminal."""

from __future__ import annotations

import doctest
import io
import re
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from evalkit import printable as module
from evalkit.printable import legible, printable, write_what_fits
from evalkit.reports.render.terminal import to_text


@given(st.text(st.characters(exclude_categories=[])), st.integers(min_value=1, max_value=50))
def test_nothing_steers_the_terminal(text: str, width: int) -> None:
    shown = printable(text, width)
    assert all(unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in shown)
    shown.encode()


HOSTILE = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text(" :#[]\n\x1b[2J\u202e\u2003dvosError"),
    st.sampled_from(
        ["::error::x", " ::stop-commands::x", "##[group]x", "##vso[task.x]y", "\x1b[2J"]
    ),
)


def is_harmless(text: str) -> bool:
    """No character steers a terminal, no line begins a command to a CI service."""
    steers = any(module.is_harmful(c) for c in text if c not in "\n\t")
    commands = any(line.strip().startswith("::") for line in text.split("\n"))
    return not (steers or commands or re.search(r"##\w*\[", text))


@given(HOSTILE)
def test_lines_steer_nothing_and_command_nothing(text: str) -> None:
    shown = legible(text)
    assert is_harmless(shown)
    assert shown.count("\n") == text.count("\n")
    assert legible(shown) == shown


@given(HOSTILE, HOSTILE, st.integers(min_value=10, max_value=80))
def test_no_cell_or_line_steers_a_terminal(cell: str, line: str, width: int) -> None:
    table = Table()
    table.add_column(Text(cell))
    table.add_column(Text(line))
    table.add_row(Text(line), Text(cell))
    assert is_harmless(to_text([Text(line), table], width, colour=False))


def test_our_own_colours_stay() -> None:
    shown = to_text([Text("red \x1b[5m", style="red")], 40, colour=True)
    assert shown == "\x1b[31mred \\x1b[5m\x1b[0m\n"


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("utf-8", "┏━┓ │ 4.2–5.0 … 你 é"),
        ("cp1252", "+-+ | 4.2–5.0 … ? é"),
        ("ascii", "+-+ | 4.2-5.0 ... ? ?"),
    ],
)
def test_an_encoding_that_lacks_characters(
    encoding: str, written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    write_what_fits()
    stream.write("┏━┓ │ 4.2–5.0 … 你 é")
    stream.flush()
    assert stream.buffer.getvalue().decode(encoding) == written


@given(st.text("abc 你好é-"))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert printable(text, 1000) == text


def test_long_text_is_cut() -> None:
    assert printable("x" * 101) == "x" * 99 + "…"


def test_examples_in_the_docstring() -> None:
    assert doctest.testmod(module).failed == 0
