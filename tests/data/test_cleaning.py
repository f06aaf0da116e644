"""Exact duplicates."""

from evalkit.data import deduplicate, load_dataset
from evalkit.records import Example


def example(number, text, label="a"):
    return Example(f"e{number}", {"text": text}, {"field": label})


def test_the_first_of_each_group_is_kept_in_order():
    examples = [example(1, "x"), example(2, "y"), example(3, "x"), example(4, "x")]
    result = deduplicate(examples)
    assert [e.id for e in result.kept] == ["e1", "e2"]
    assert (result.dropped, result.conflicts) == (2, ())


def test_only_the_very_same_characters_are_duplicates():
    assert deduplicate([example(1, "x"), example(2, "X"), example(3, "x ")]).dropped == 0


def test_groups_that_disagree_are_reported_whole():
    group = (example(1, "x", "a"), example(2, "x", "b"), example(3, "x", "a"))
    result = deduplicate([*group, example(4, "y"), example(5, "y")])
    assert result.conflicts == (group,)
    assert result.dropped == 3


def test_no_examples():
    assert deduplicate([]).kept == ()


def test_the_published_intents_hold_one_conflict(shared, intents):
    result = deduplicate(load_dataset(shared("tokenflow/intents.jsonl"), intents).examples)
    assert (len(result.kept), result.dropped, len(result.conflicts)) == (1080, 336, 1)
