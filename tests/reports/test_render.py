"""Reports as Markdown: whatever a row holds stays text."""

import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from evalkit.printable import printable
from evalkit.reports.render.markdown import escaped, to_markdown
from evalkit.reports.render.terminal import to_terminal, to_text
from evalkit.reports.sheets import Chart, draw
from evalkit.reports.view import Column, Heading, Picture, bullets, grid, table

PNG = b"\x89PNG\r\n\x1a\n"
hostile = st.one_of(
    st.text(max_size=30),
    st.text(alphabet="<>&[]()!`*_|\\#-+1.) ~^$:/@wx\n\x1b", max_size=20),
    st.sampled_from(["<script>x</script>", "![a](b)", "&lt;", "1. x", "# x", "`a`", "a|b", "- x"]),
)


def tokens(text):
    """Every token of a text, with those inside lines."""
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        yield token
        yield from token.children or ()


@given(hostile)
def test_an_escaped_text_reads_as_itself(text):
    text = printable(text).strip()
    inline = [t for t in tokens(f"- {escaped(text)}") if t.type == "inline"]
    assert [t.content for t in inline] == ([escaped(text)] if text else [])
    read = [t for line in inline for t in line.children]
    assert {t.type for t in read} <= {"text", "text_special"}
    assert "".join(t.content for t in read) == text


@given(st.lists(hostile, min_size=3, max_size=3))
def test_markdown_holds_no_html_and_the_table_stands(texts):
    blocks = [
        Heading(1, texts[1]),
        *bullets([texts[2], texts[0]]),
        *grid(texts[0], ("a", "b"), ((texts[1], texts[2]), ("1", "2"))),
        Picture(texts[0], "a <b>.png"),
    ]
    found = list(tokens(to_markdown(blocks)))
    assert not [t for t in found if t.type.startswith("html")]
    assert len([t for t in found if t.type == "image"]) == 1
    assert len([t for t in found if t.type == "tr_open"]) == 3
    cells = [found[i + 1].children for i, t in enumerate(found) if t.type == "td_open"]
    read = ["".join(t.content for t in children) for children in cells]
    assert read == [*(printable(text, 300).strip() for text in texts[1:]), "1", "2"]


def test_the_terminal_gets_no_control_characters():
    blocks = [*bullets(["a\x1b[2J"]), *grid("g\x1b", ("a",), (("b\x1b[31m",),))]
    assert "\x1b" not in to_text(to_terminal(blocks), 80, colour=False)


@given(st.lists(st.text("ab_ 1", min_size=1, max_size=10), min_size=1, max_size=5), st.booleans())
def test_names_stay_whole_and_columns_go_first(names, wide):
    heads = [Column("name", is_text=True), *(Column(f"number {i}", drop=i) for i in (1, 2, 3))]
    shown = to_text(
        to_terminal(table(heads, [[name.strip() or "x", 1, 2, 3] for name in names])),
        200 if wide else 30,
        colour=False,
    )
    for name in names:
        assert any((name.strip() or "x") in line for line in shown.splitlines())
    assert ("number 3" in shown) is wide
    assert max(map(len, shown.splitlines())) <= (200 if wide else 30)


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_names_break_between_their_parts_or_not_at_all(width):
    names = [
        "attack_success_rate[instruction-zh]",
        "accuracy_under_changes[priority]",
        "forgetting",
    ]
    heads = [
        Column("gate", is_text=True),
        Column("value"),
        *(Column(f"how many of them {i}", drop=i) for i in (1, 2)),
        Column("n", drop=3),
    ]
    rows = [[name, "100.0%", "12.5", "a long reason for it", 500] for name in names]
    lines = to_text(to_terminal(table(heads, rows)), width, colour=False).splitlines()
    assert max(map(len, lines)) <= width
    rule = next(at for at, line in enumerate(lines) if "──" in line)
    shown = [re.split(r"\s{2,}", line.strip())[0] for line in lines[rule + 1 :] if line.strip()]
    assert "".join(shown) == "".join(names)
    joints = {part for name in names for part in re.split(r"(?<=[_-])|(?=\[)", name)}
    assert all(line.endswith(tuple(joints)) for line in shown)
    assert ("500" in "".join(lines)) is (width > 40), "a narrow column comes back"


def test_charts_are_pictures_whatever_the_labels_are():
    series = {"$x": {"$\\frac": 1.0, "b": 2.0}, "after": {"$\\frac": 3.0, "b": 0.0}}
    picture = draw(Chart("x", "$$ title", "rows", series))
    assert picture.startswith(PNG)
    assert picture == draw(Chart("x", "$$ title", "rows", series))


def test_without_matplotlib_there_is_no_picture(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert draw(Chart("x", "t", "rows", {"n": {"a": 1.0}})) is None
