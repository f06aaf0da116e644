"""A development split that shares no text with training."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.data import normalise_text, split_off_dev
from evalkit.errors import UserError
from evalkit.records import Example


def examples_of(texts):
    return [Example(str(i), {"text": text}, {"field": "a"}) for i, text in enumerate(texts)]


def ids(examples):
    return [example.id for example in examples]


@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("Order #123-4567 arrived", "order #9 ARRIVED"),
        ("50% off", "5% off!"),
        ("Pay 1,299.00 now", "pay 7  now."),
        ("at 10:30", "at 9"),
        ("STRASSE", "straße"),
        ("支付成功。", "支付成功"),
    ],
)
def test_near_identical_texts_are_the_same(text, other):
    assert normalise_text(text) == normalise_text(other)


def test_different_words_stay_different():
    assert normalise_text("order arrived") != normalise_text("order delayed")


def test_sizes_order_and_repeatability():
    examples = examples_of(f"text {'x' * i}" for i in range(100))
    train, dev = split_off_dev(examples, 20, seed=0)
    assert (len(train), len(dev)) == (80, 20)
    assert sorted([*ids(train), *ids(dev)], key=int) == ids(examples)
    assert ids(dev) == sorted(ids(dev), key=int)
    assert split_off_dev(examples, 20, seed=0) == (train, dev)
    assert split_off_dev(examples, 20, seed=1)[1] != dev


def test_one_more_row_moves_at_most_one_group():
    examples = examples_of(f"text {'x' * i}" for i in range(100))
    dev = set(ids(split_off_dev(examples, 20, seed=0)[1]))
    more = [*examples, Example("new", {"text": "something else"}, {"field": "a"})]
    assert len(dev - set(ids(split_off_dev(more, 20, seed=0)[1]))) <= 1


words = st.lists(st.sampled_from(["Pay 1", "pay 22!", "ship", "Ship.", "a", "b", "c"]), min_size=9)


@given(words, st.integers(1, 8), st.integers(0, 5))
def test_no_text_stands_on_both_sides(texts, n, seed):
    # A text of its own makes sure that some group fits.
    texts = [*texts, "one of a kind"]
    train, dev = split_off_dev(examples_of(texts), n, seed)
    assert 0 < len(dev) <= n
    assert train
    assert len(train) + len(dev) == len(texts)
    sides = [{normalise_text(e.inputs["text"]) for e in side} for side in (train, dev)]
    assert not sides[0] & sides[1]


def test_no_dev_asked_is_no_dev():
    examples = examples_of(["a", "b"])
    assert split_off_dev(examples, 0, seed=0) == (tuple(examples), ())


@pytest.mark.parametrize("n", [-1, 2, 3])
def test_impossible_sizes(n):
    with pytest.raises(UserError, match="Choose a size from 0 to 1"):
        split_off_dev(examples_of(["a", "b"]), n, seed=0)


def test_one_text_over_and_over_gives_no_dev():
    with pytest.raises(UserError, match="every text repeats in more than 1"):
        split_off_dev(examples_of(["a 1", "A 2", "a 3!"]), 1, seed=0)
