"""Guesses at answers, and what their tokens' probabilities say of each field."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.engines.drafts import RESUMED, Drafts
from evalkit.formats.base import canonical_labels
from evalkit.records import Answer
from evalkit.tasks import load_task

END = 99
ANSWERS = [  # two fields: 10 opens, 1x is a folder (12 in two tokens), 20 parts, 3x is a level
    ({"folder": "A", "level": 1}, [10, 11, 20, 31, END]),
    ({"folder": "A", "level": 2}, [10, 11, 20, 32, END]),
    ({"folder": "B", "level": 1}, [10, 12, 13, 20, 31, END]),
    ({"folder": "B", "level": 2}, [10, 12, 13, 20, 32, END]),
]
DRAFTS = Drafts([Answer(labels, "") for labels, _ in ANSWERS], [ids for _, ids in ANSWERS])


def test_the_commonest_answer_is_guessed():
    assert DRAFTS.guess([], Counter()) == (10, 11, 20, 31)
    assert DRAFTS.guess([], Counter({3: 2, 1: 1})) == (10, 12, 13, 20, 32)
    assert DRAFTS.guess([10, 11], Counter({3: 2, 1: 1})) == (20, 32)
    assert DRAFTS.guess([10, 12, 13, 20, 31], Counter()) == ()


def test_a_cautious_guess_ends_where_answers_part_too_evenly():
    assert DRAFTS.guess([], Counter(), 0.6) == (10,)
    # Of 10 answers 7 went to folder B, but only 4 of these to one level.
    draft_counts = Counter({0: 3, 2: 3, 3: 4})
    assert DRAFTS.guess([], draft_counts, 0.6) == (10, 12, 13, 20)
    assert DRAFTS.guess([], draft_counts, 0.5) == (10, 12, 13, 20, 32)
    assert DRAFTS.guess([10, 11], draft_counts, 0.95) == (20,)
    assert DRAFTS.guess([10, 11], draft_counts, 0.8) == (20, 31)


def test_nothing_is_guessed_of_another_answer():
    assert DRAFTS.guess([11], Counter()) == ()
    assert DRAFTS.number([10, 11, 20]) is None
    assert DRAFTS.number([10, 11, 20, 32]) == 1


def test_an_answer_that_went_astray_is_expected_to_come_back():
    # Both repeat 1 to 9 before they part; the third to fifth token stand there twice.
    copied = [1, 2, 3, 4, 5, 6, 3, 4, 5, 7, 8, 9]
    drafts = Drafts([Answer({}, "")] * 2, [[*copied, 21, END], [*copied, 22, END]])
    assert drafts.guess([1, 2, 40], Counter()) == ()
    assert drafts.guess([1, 40, 2, 3], Counter()) == ()
    # Behind the last of the places that look like the last three tokens.
    assert drafts.guess([1, 40, 3, 4, 5], Counter({1: 1})) == (7, 8, 9, 22)
    assert drafts.guess([1, 40, 3, 4, 5], Counter(), 0.6) == (7, 8, 9)
    assert drafts.guess([1, 40, 2, 3, 4], Counter(), 0.6) == (5, 6, 3, 4, 5, 7, 8, 9)
    assert drafts.guess([40, 8, 9, 22], Counter()) == ()


def test_confidence_is_that_of_the_tokens_that_part_the_answers():
    logs = [math.log(p) for p in (0.5, 0.8, 0.9, 0.7, 0.6, 0.1)]
    found = DRAFTS.confidences(3, logs)
    assert found == pytest.approx({"folder": 0.8, "level": 0.6})


def test_an_answer_that_goes_on_where_another_ends_parts_from_it_there():
    answers = [Answer({"set": ("a",)}, "a"), Answer({"set": ("a", "b")}, "a, b")]
    drafts = Drafts(answers, [[1, END], [1, 2, END]])
    logs = [math.log(0.5), math.log(0.75), math.log(0.9)]
    assert drafts.confidences(0, logs[:2]) == pytest.approx({"set": 0.75})
    assert drafts.confidences(1, logs) == pytest.approx({"set": 0.75})


@given(st.data())
def test_guesses_go_on_as_some_answer_does(data: st.DataObject):
    tokens = st.lists(st.integers(0, 2), max_size=7)
    found = data.draw(st.lists(tokens, min_size=1, max_size=8, unique_by=tuple))
    drafts = Drafts([Answer({"x": i}, "") for i in range(len(found))], [[*f, END] for f in found])
    written = data.draw(tokens)
    draft_counts = Counter(data.draw(st.lists(st.integers(0, len(found) - 1))))
    guess = drafts.guess(written, draft_counts)
    if any(f[: len(written)] == written for f in found):
        assert [*written, *guess] in found
    elif guess:
        tail = written[-RESUMED:]
        assert len(tail) == RESUMED
        # An answer ends with the tail and the guess.
        assert any(f[-len(guess) - RESUMED :] == [*tail, *guess] for f in found)
    for number, ids in enumerate(found):
        assert drafts.number(ids) == number
        confidences = drafts.confidences(number, [math.log(0.5)] * (len(ids) + 1))
        assert 0 < confidences["x"] <= 1
        assert (confidences["x"] == 1) is (len(found) == 1)


def test_every_combination_of_labels_is_an_answer():
    assert len(canonical_labels(load_task("notifications-3level"))) == 12
    assert len(canonical_labels(load_task("notifications-5level"))) == 20
    sets = [labels["intents"] for labels in canonical_labels(load_task("intents"))]
    assert len(sets) == len(set(sets)) == 2**5
    assert sets.count(("none",)) == 1
    assert canonical_labels(load_task("intents"), most=31) == ()
    assert canonical_labels(load_task("notifications-5level"), most=19) == ()
