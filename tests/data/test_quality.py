"""Texts that are poor, and rows that are not examples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.data.quality import Limits, Rule, garbled, low_quality, rule_of_fault
from evalkit.data.rows import RowFault, row_reader
from evalkit.data.sources import RawRow
from evalkit.errors import UserError
from evalkit.records import Example


def judged(*texts, limits=None):
    inputs = {f"input{i}": text for i, text in enumerate(texts)}
    found = low_quality(Example("e", inputs, {}), limits or Limits())
    return found and found[0]


@pytest.mark.parametrize(
    ("texts", "rule"),
    [
        (["a"], Rule.SHORT),
        ([" a ", "\t"], Rule.SHORT),
        (["ab"], None),
        (["a", "b"], None),
        (["x" * 2000], None),
        (["x" * 1999, "yy"], Rule.LONG),
        (["12:30 !!"], Rule.NO_WORDS),
        (["🎉🎉", "42"], Rule.NO_WORDS),
        (["🎉🎉", "ok"], None),
        (["支付"], None),
        (["caf\ufffd"], Rule.GARBLED),
        (["red\x1b[31m"], Rule.GARBLED),
        (["two\nlines\tand a tab"], None),
    ],
)
def test_the_rules_on_texts(texts, rule):
    assert judged(*texts) == rule


def test_limits_are_the_users():
    assert judged("abc", limits=Limits(4, 9)) is Rule.SHORT
    assert judged("abcdefghij", limits=Limits(4, 9)) is Rule.LONG
    with pytest.raises(UserError, match="--min-chars 5 and --max-chars 4"):
        Limits(5, 4).check()


@pytest.mark.parametrize("text", ["für", "naïve café", "“quoted” — 5 €", "你好", "приве́т", "日本"])
def test_utf8_read_as_latin_is_seen(text):
    broken = text.encode().decode("latin-1")
    assert garbled(broken)
    assert not garbled(text)


def test_utf8_read_as_cp1252_is_seen():
    assert garbled("It\u00e2\u20ac\u2122s here") == "\u00e2\u20ac\u2122 stands for \u2019"


@pytest.mark.parametrize("text", ["«MARCHÉ»", "NÃO", "Å 5°", "¡Olé! ¿Qué?", "½ Ä²", "Ñ°"])
def test_good_latin_text_is_not_garbled(text):
    assert not garbled(text)


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"])))
def test_plain_text_is_never_garbled(text):
    assert garbled(text) == ""


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (None, Rule.UNREADABLE),
        ({"output": ["payment"]}, Rule.INPUT),
        ({"prompt": 5, "output": ["payment"]}, Rule.INPUT),
        ({"prompt": " ", "output": ["payment"]}, Rule.EMPTY),
        ({"prompt": "pay"}, Rule.NO_LABEL),
        ({"prompt": "pay", "output": "payment"}, Rule.NO_LABEL),
        ({"prompt": "pay", "output": ["paymnt"]}, Rule.UNKNOWN_LABEL),
        ({"prompt": "pay", "output": ["none", "payment"]}, Rule.UNKNOWN_LABEL),
    ],
)
def test_which_rule_a_row_that_is_no_example_falls_under(intents, content, rule):
    reader = row_reader(intents, is_table=False, is_text=False)
    row = RawRow(1, "rows:1", content, "broken")
    with pytest.raises(RowFault) as caught:
        reader.example(row, {})
    assert rule_of_fault(row, reader, caught.value, {}) is rule
