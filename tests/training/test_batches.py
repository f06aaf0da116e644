from __future__ import annotations

import random

import pytest

from evalkit.errors import UserError
from evalkit.training.batches import ByLength, PlacedRows, TokenBatches, TopicBatches
from evalkit.training.places import OWN, Kind, Place
from evalkit.training.prefix_sharing import Row, SharedPrefixCollator
from evalkit.training.recipe import LabelSpaces
from evalkit.training.topics import Topic

SHARED = 10


def ragged(count: int, seed: int = 0) -> list[Row]:
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        own = [number, *(draw.randrange(9) for _ in range(draw.randrange(40)))]
        prompt = [*range(100, 100 + SHARED), *own]
        rows.append(Row(input_ids=[*prompt, 7, 8], prompt_length=len(prompt)))
    return rows


def numbers(batches: TokenBatches) -> list[list[int]]:
    return [[place.row for place in batch] for batch in batches]


@pytest.mark.parametrize("tokens", [60, 200, 1000])
def test_batches_hold_every_row_once_and_no_more_tokens_than_asked(tokens: int):
    rows = ragged(101)
    batches = TokenBatches(rows, tokens, seed=3)
    taken = list(batches)
    assert sorted(place.row for batch in taken for place in batch) == list(range(101))
    assert len(taken) == len(batches)
    collate = SharedPrefixCollator(0)
    sizes = []
    for batch in taken:
        made = collate([rows[place.row] for place in batch])
        sizes.append(made["prefix_ids"].numel() + made["input_ids"].numel())
    # Within a batch the prefix may be longer than what all rows share, never shorter.
    assert max(sizes) <= tokens
    # Not one row to a batch, either.
    assert sum(sizes) / len(sizes) > 0.6 * min(tokens, sum(sizes))


def test_every_epoch_has_the_same_batches_in_another_order():
    batches = TokenBatches(ragged(50), 150, seed=1)
    first, again = numbers(batches), numbers(batches)
    batches.set_epoch(1)
    second = numbers(batches)
    assert first == again != second
    assert sorted(first) == sorted(second)
    assert numbers(TokenBatches(ragged(50), 150, seed=1)) == first
    assert numbers(TokenBatches(ragged(50), 150, seed=2)) != first


def test_every_place_says_its_epoch():
    batches, order = TokenBatches(ragged(9), 150, seed=1), ByLength(ragged(9), 4, seed=1)
    for epoch in (0, 3):
        batches.set_epoch(epoch)
        order.set_epoch(epoch)
        assert {place.epoch for batch in batches for place in batch} == {epoch}
        assert {place.epoch for place in order} == {epoch}


def test_a_row_that_fits_into_no_batch_is_named():
    rows = ragged(20)
    longest = max(len(row["input_ids"]) for row in rows)
    with pytest.raises(UserError, match=f"longest row has {longest} tokens, and 20 are to be"):
        TokenBatches(rows, 20, seed=0)


def test_rows_of_like_length_follow_each_other():
    rows = ragged(640)
    sampler = ByLength(rows, 8, seed=0)
    sampler.set_epoch(0)
    order = [place.row for place in sampler]
    assert sorted(order) == list(range(640))
    lengths = [len(rows[index]["input_ids"]) for index in order]
    spreads = [max(b) - min(b) for s in range(0, 640, 8) if (b := lengths[s : s + 8])]
    assert sum(spreads) / len(spreads) < 5


# Topics

NAMES = [f"topic {n}" for n in range(12)]
TOPICS = {
    name: Topic(description=name, near=(NAMES[n ^ 1],) if n < 4 else ())
    for n, name in enumerate(NAMES)
}
"""Of the first four, each is near one other."""


def topic_order(
    rows: int = 600, size: int = 8, **changes: float
) -> tuple[ByLength, list[str | None]]:
    """Two thirds of the rows have a topic."""
    of_row = [None if n % 3 == 0 else NAMES[(n * 7) % 12] for n in range(rows)]
    spaces = LabelSpaces.model_validate({"field": "folder", "most": 5, **changes})
    topics = TopicBatches(of_row, TOPICS, spaces)
    return ByLength(ragged(rows), size, seed=4, topics=topics), of_row


def cut(order: ByLength, size: int = 8) -> list[list[Place]]:
    places = list(order)
    return [places[at : at + size] for at in range(0, len(places), size)]


def test_every_row_comes_once_an_epoch_in_batches_of_one_space():
    order, _ = topic_order(rows=605)
    assert len(order) == 605
    epochs = []
    for epoch in (0, 1):
        order.set_epoch(epoch)
        batches = cut(order)
        assert sorted(place.row for batch in batches for place in batch) == list(range(605))
        assert all(len({place.space for place in batch}) == 1 for batch in batches)
        epochs.append(batches)
    assert [[p.row for p in b] for b in epochs[0]] != [[p.row for p in b] for b in epochs[1]]
    assert list(order) == [place for batch in epochs[1] for place in batch]


def test_lists_of_topics_fit_their_rows():
    order, of_row = topic_order(topic_share=0.5, beside_share=0.5)
    seen = dict.fromkeys(Kind, 0)
    for batch in cut(order):
        space, topics = batch[0].space, [of_row[place.row] for place in batch]
        seen[space.kind] += 1
        if space.kind is Kind.OWN:
            assert space == OWN
            continue
        assert None not in topics
        near = {other for name in space.topics for other in TOPICS[name].near}
        assert not near & set(topics)
        if space.kind is Kind.TOPICS:
            assert set(topics) == set(space.topics)
            assert len(space.topics) <= 5
        else:
            assert 1 <= len(space.topics) <= 2
            inside = sum(topic in space.topics for topic in topics)
            assert 1 <= inside <= 4
    # 400 rows have a topic: 200 for each kind, less what is left over.
    assert 20 <= seen[Kind.TOPICS] <= 25
    assert 20 <= seen[Kind.BESIDE] <= 25


@pytest.mark.parametrize(
    ("kind", "share"), [(Kind.TOPICS, "topic_share"), (Kind.BESIDE, "beside_share")]
)
def test_a_share_of_nothing_draws_none(kind: Kind, share: str):
    order, _ = topic_order(**{share: 0.0})
    kinds = {place.space.kind for place in order}
    assert kind not in kinds
    assert len(kinds) == 2


def test_rows_with_few_topics_are_left_to_the_tasks_own_values():
    of_row = [NAMES[0], NAMES[1]] * 5
    topics = TopicBatches(
        of_row, TOPICS, LabelSpaces(field="folder", topic_share=1, beside_share=0)
    )
    order = ByLength(ragged(10), 8, seed=0, topics=topics)
    # The two are near each other, and neither has eight rows.
    assert {place.space for place in order} == {OWN}


def test_batches_of_topics_are_of_like_length():
    order, _ = topic_order(rows=3000, topic_share=0.5, beside_share=0.5)
    rows = ragged(3000)
    for kind in (Kind.TOPICS, Kind.BESIDE):
        spreads = []
        for batch in cut(order):
            lengths = [len(rows[place.row]["input_ids"]) for place in batch]
            if batch[0].space.kind is kind:
                spreads.append(max(lengths) - min(lengths))
        assert sum(spreads) / len(spreads) < 6


def test_pairs_come_into_one_batch():
    rows = ragged(203)
    # Pairs of rows of all lengths, a trio, a group larger than a batch, and rows of their own.
    pairs: list[str | None] = [f"p{n % 60}" if n < 120 else None for n in range(203)]
    pairs[120:123] = ["trio"] * 3
    pairs[123:134] = ["many"] * 11
    order = ByLength(rows, 16, seed=2, batch_size=8, pairs=pairs)
    batches = cut(order)
    assert sorted(place.row for batch in batches for place in batch) == list(range(203))
    where: dict[str, set[int]] = {}
    for number, batch in enumerate(batches):
        for place in batch:
            where.setdefault(pairs[place.row] or "", set()).add(number)
    assert len(where.pop("many")) == 2
    where.pop("")
    assert {len(found) for found in where.values()} == {1}
    # What has no partner is where it would be, by length.
    lengths = [[len(rows[p.row]["input_ids"]) for p in b if pairs[p.row] is None] for b in batches]
    spreads = [max(some) - min(some) for some in lengths if some]
    assert sum(spreads) / len(spreads) < 12
    plain = ByLength(rows, 16, seed=2, batch_size=8, pairs=[None] * 203)
    assert list(plain) == list(ByLength(rows, 16, seed=2))


def test_rows_of_like_length_follow_each_other_as_long_as_an_epoch_makes_them():
    rows, draw = ragged(640), random.Random(0)
    made = {epoch: [draw.randrange(10, 300) for _ in rows] for epoch in (0, 1)}
    order = ByLength(rows, 8, seed=0, lengths=lambda epoch: made[epoch])
    for epoch in (0, 1):
        order.set_epoch(epoch)
        lengths = [[made[epoch][place.row] for place in batch] for batch in cut(order)]
        assert sum(max(b) - min(b) for b in lengths) / len(lengths) < 30
        assert sorted(place.row for place in order) == list(range(640))


def test_a_placed_row_is_the_row_and_its_place():
    rows = ragged(3)
    place = Place(2, 1)
    assert PlacedRows(rows)[place] == {**rows[2], "place": place}
    assert "place" not in rows[2]
    assert len(PlacedRows(rows)) == 3
