from __future__ import annotations

import random
import unicodedata
from collections.abc import Sequence

import pytest

from evalkit.data import perturbing
from evalkit.data.app_names import app_names
from evalkit.data.normalising import normalise_text
from evalkit.records import Example
from evalkit.training.noise import APPS, EDITS, EMOJI, add_noise

INPUTS = {
    "app_name": "Outlook",
    "title": "Nadia, from the legal team",
    "body": "The notary reads the deed aloud at 3: please send the right page! He won't start.",
}
EXAMPLE = Example("1", INPUTS, {"folder": "Work", "priority": 3}, {"topic": "Contracts"})


def noisy(kinds: Sequence[str], seeds: int = 200, second: float = 0.0) -> list[Example]:
    return [add_noise(EXAMPLE, kinds, second, random.Random(n)) for n in range(seeds)]


def changed(example: Example) -> set[str]:
    return {name for name, text in example.inputs.items() if text != INPUTS[name]}


@pytest.mark.parametrize("kind", EDITS)
def test_labels_and_tags_stay_and_some_input_changes(kind: str):
    for example in noisy([kind]):
        assert (example.id, example.labels, example.tags) == ("1", EXAMPLE.labels, EXAMPLE.tags)
        assert list(example.inputs) == list(INPUTS)
    edited = [example for example in noisy([kind]) if changed(example)]
    assert len(edited) > 100
    assert len({tuple(example.inputs.items()) for example in edited}) > 3


@pytest.mark.parametrize("kind", ["case", "width"])
def test_case_and_width_change_nothing_else(kind: str):
    for example in noisy([kind]):
        for name, text in example.inputs.items():
            folded = unicodedata.normalize("NFKC", text).casefold()
            assert folded == INPUTS[name].casefold()
    assert {"app_name", "title", "body"} == set().union(*map(changed, noisy([kind])))


@pytest.mark.parametrize("kind", ["spacing", "punctuation", "emoji"])
def test_no_word_changes(kind: str):
    for example in noisy([kind]):
        for name, text in example.inputs.items():
            words = normalise_text(text).replace(" ", "")
            assert words == normalise_text(INPUTS[name]).replace(" ", "")


@pytest.mark.parametrize("kind", ["punctuation", "emoji", "typo"])
def test_names_are_left_alone(kind: str):
    assert "app_name" not in set().union(*map(changed, noisy([kind])))


def test_a_typo_is_small():
    for example in noisy(["typo"]):
        for name, text in example.inputs.items():
            assert abs(len(text) - len(INPUTS[name])) <= 2
            assert len(text.split()) == len(INPUTS[name].split())


def test_an_app_goes_by_its_other_name():
    names = {example.inputs["app_name"] for example in noisy(["app-name"])}
    assert {"微软邮箱", "outlook"} < names
    assert all(changed(example) <= {"app_name"} for example in noisy(["app-name"]))


def test_a_second_kind_joins_at_times():
    kinds = ["width", "typo"]
    both = [
        any(ord(c) > 0xFF00 for c in "".join(e.inputs.values()))
        and normalise_text("".join(e.inputs.values())) != normalise_text("".join(INPUTS.values()))
        for e in noisy(kinds, second=0.5)
    ]
    assert 0.2 < sum(both) / len(both) < 0.6


def test_the_draw_decides():
    kinds = list(EDITS)
    assert noisy(kinds) == noisy(kinds)
    assert len({tuple(e.inputs.items()) for e in noisy(kinds)}) > 100


def test_where_nothing_can_change_the_example_is_handed_back():
    bare = Example("1", {"app_name": "", "title": "", "body": ""}, {})
    for seed in range(30):
        example = add_noise(bare, ["emoji", "typo", "app-name"], 0.5, random.Random(seed))
        assert example is bare


def test_tables_are_not_those_that_the_suites_ask_with():
    assert not set(EMOJI) & set(perturbing._EMOJI)
    assert len(EMOJI) == len(set(EMOJI)) >= 30
    names = [
        name.casefold()
        for pairs in (APPS, app_names("dev"), app_names("suites"))
        for pair in pairs
        for name in pair
    ]
    assert len(names) == len(set(names))
    assert len(app_names("dev")) >= 100
    assert len(APPS) >= 60
