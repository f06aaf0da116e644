"""Notes: the same sentence in every language, and back from disk."""

from __future__ import annotations

import ast
import copy
import json
import re
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import evalkit
from evalkit.locale import LANGUAGES, Note, Speaker, in_a_row, phrases, revived, say, sentences

PACKAGE = Path(evalkit.__file__).parent


def speaker(lang: Any) -> Speaker[str]:
    return Speaker(lang, str, lambda text: f"<{text}>")


def names(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_language_has_the_same_codes_with_the_same_values(lang: Any) -> None:
    assert list(phrases(lang)) == list(phrases("en"))
    for code, template in phrases(lang).items():
        missing = names(phrases("en")[code]) - names(template)
        assert missing <= {"who"}, code  # Chinese leaves a subject out
        assert names(template) <= names(phrases("en")[code]), code


def test_english_is_not_chinese_and_the_reverse() -> None:
    han = re.compile(r"[\u4e00-\u9fff]")
    assert [code for code, text in phrases("en").items() if han.search(text)] == []
    for code, text in phrases("zh").items():
        words = re.sub(r"\{.*?\}|[\W\d_]", "", text)
        assert han.search(text) or words in ("", "A", "AB", "F", "GB"), code


def test_every_code_that_is_said_exists_with_all_that_fills_it() -> None:
    said = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id not in ("say", "phrase") or not isinstance(node.args[0], ast.Constant):
                continue
            code = str(node.args[0].value)
            said.add(code)
            given = {keyword.arg for keyword in node.keywords}
            assert None in given or names(phrases("en")[code]) == given, (path.name, code)
    assert len(said) > 100


def test_a_note_is_its_english_text_and_says_itself_in_chinese() -> None:
    note = say("worst.read_as", right="x", said=say("said.out_of_enum_value", text="z"), n=7)
    assert note == "most often x read as out of enum: z (7)"
    row = in_a_row([say("worst.count", name="a", count=1, n=2), note])
    assert row == f"a 1/2; {note}"
    assert speaker("zh").text(row) == "<a> 1/2；最常见的是 <x> 被判为 枚举外：<z>（7 次）"
    assert speaker("zh").text("a sentence of somebody else's") == "<a sentence of somebody else's>"
    assert copy.deepcopy(note).code == note.code


def test_what_was_written_comes_back_and_speaks_chinese() -> None:
    note = in_a_row([say("worst.after", after=0.25, before=0.5), "a suite's own"])
    content = {"notes": [note, "plain"], "why": say("unjudged")}
    table = json.loads(json.dumps(sentences(content)))
    back = revived(json.loads(json.dumps(content)), table)
    assert back == content
    assert speaker("zh").text(back["why"]) == "尚未评判"
    assert speaker("zh").text(back["notes"][0]) == "由 50.0% 变为 25.0%；<a suite's own>"
    assert not isinstance(back["notes"][1], Note)


@given(
    st.recursive(
        st.none() | st.text(max_size=3) | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(
            st.sampled_from(["code", "params", "parts", "text", "right", "said", "n"]), inner
        ),
        max_leaves=9,
    )
)  # fmt: skip
def test_a_table_that_is_none_of_ours_leaves_the_text(found: Any) -> None:
    for table in ({"it": found}, {"it": {"code": "worst.read_as", "params": found}}):
        back = revived("it", table)
        assert back == "it"
        assert isinstance(speaker("zh").text(back), str)
