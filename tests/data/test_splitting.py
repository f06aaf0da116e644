"""Parts that share no text."""

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.data import find_overlap, load_dataset, normalise_text, split_off_dev
from evalkit.data.splitting import read_shares, split_into_parts
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


def varied(n, groups=10**6):
    """Rows of unlike texts, with labels in uneven shares."""
    words = ["".join(random.Random(i % groups).choices("abcdefghij", k=30)) for i in range(n)]
    labels = ["rare" if i % 20 == 0 else "often" if i % 2 else "some" for i in range(n)]
    return [
        Example(str(i), {"text": word}, {"field": label})
        for i, (word, label) in enumerate(zip(words, labels, strict=True))
    ]


def test_parts_have_their_shares_of_every_label():
    examples = varied(1000)
    parts = split_into_parts(examples, {"train": 0.8, "dev": 0.1, "test": 0.1}, seed=0)
    assert (parts.groups, parts.largest_group) == (1000, 1)
    for part, share in enumerate((0.8, 0.1, 0.1)):
        labels = Counter(examples[row].labels["field"] for row in parts.rows(part))
        assert labels == {
            "rare": pytest.approx(50 * share, abs=1),
            "often": pytest.approx(500 * share, abs=2),
            "some": pytest.approx(450 * share, abs=2),
        }


@given(st.integers(0, 5), st.integers(30, 60), st.sampled_from([0.2, 0.5]))
@settings(deadline=None)
def test_no_text_stands_in_two_parts(seed, groups, share):
    examples = varied(120, groups)
    shares = {"a": 1 - share, "b": share}
    parts = split_into_parts(examples, shares, seed)
    assert parts == split_into_parts(examples, shares, seed)
    sides = [[examples[row] for row in parts.rows(part)] for part in (0, 1)]
    assert sum(map(len, sides)) == 120
    assert abs(len(sides[1]) - 120 * share) <= 120 / groups + 1
    assert not any(find_overlap(*sides).matches)


def test_where_a_row_stands_in_the_file_does_not_matter():
    examples = varied(100)
    shares = {"a": 0.5, "b": 0.5}
    found = split_into_parts(examples, shares, 0)
    turned = split_into_parts(examples[::-1], shares, 0)
    assert found.of_row == turned.of_row[::-1]
    assert found.of_row != split_into_parts(examples, shares, 1).of_row


def test_linked_rows_stay_together():
    examples = varied(60)
    links = [(n, n + 30) for n in range(30)] + [(0, 1), (1, 2)]
    parts = split_into_parts(examples, {"a": 0.5, "b": 0.5}, 0, linked=links)
    assert (parts.groups, parts.largest_group) == (28, 6)
    assert all(parts.of_row[one] == parts.of_row[other] for one, other in links)


def test_a_part_that_would_be_empty():
    with pytest.raises(UserError, match="Part 'b' gets no row"):
        split_into_parts(varied(40, groups=1), {"a": 0.5, "b": 0.5}, 0)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (["train=0.8", "test=0.1"], "come to 0.9"),
        (["train=0.8", "train=0.2"], "named twice"),
        (["train=1"], "between 0 and 1, not 'train=1'"),
        (["train"], "not 'train'"),
        (["../x=0.5", "y=0.5"], "not '../x=0.5'"),
        (["a=nan", "b=0.5"], "not 'a=nan'"),
    ],
)
def test_shares_that_make_no_sense(parts, message):
    with pytest.raises(UserError, match=message):
        read_shares(parts)


def test_shares_in_one_text_or_several():
    assert read_shares(["a=0.7,b=0.2", "c=0.1"]) == {"a": 0.7, "b": 0.2, "c": 0.1}


def test_the_published_rows_share_no_text(shared, five_levels):
    examples = load_dataset(shared("notifai/train_5level.jsonl"), five_levels).examples
    parts = split_into_parts(examples, {"train": 0.8, "dev": 0.1, "test": 0.1}, 0)
    texts = [{str(examples[row].inputs) for row in parts.rows(part)} for part in range(3)]
    assert sum(map(len, texts)) == len(set().union(*texts))
