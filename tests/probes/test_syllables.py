from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.probes.syllables import count_syllables

WORDS = {
    1: "the moon through leaves walked makes called night queue eye cat's strength",
    2: "water silver gentle quiet waited houses hopeful table crying lonely lion",
    3: "library beautiful September radio idea's animal everyone remember serious",
    4: "January evaporate mysterious community America",
    5: "university imagination",
}


@pytest.mark.parametrize(
    ("word", "count"), [(word, n) for n, words in WORDS.items() for word in words.split()]
)
def test_common_words(word, count):
    assert count_syllables(word) == count


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("Cold rain on the roof", 5),
        ("The kettle begins to sing", 7),
        ("Nobody at home", 5),
        ("  Cold -- rain, on *the* roof!", 5),
        ("", 0),
        ("{ 3, 4 }", 0),
        ("月亮", 0),
    ],
)
def test_lines(line, count):
    assert count_syllables(line) == count


@given(st.text())
def test_any_text_has_a_count(text):
    assert count_syllables(text) >= 0


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz", min_size=1))
def test_a_word_has_a_syllable_and_no_more_than_letters(word):
    assert 1 <= count_syllables(word) <= len(word)
