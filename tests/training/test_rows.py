from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from evalkit.data import Dataset
from evalkit.data.loading import hash_examples
from evalkit.errors import UserError
from evalkit.records import Example
from evalkit.training.recipe import Recipe, RowsRecipe, TfidfRecipe
from evalkit.training.rows import prepare_rows

TEXTS = ("apple", "pear", "fig", "apple", "plum", "pear", "lime", "kiwi")


def dataset_of(*texts: str) -> Dataset:
    rows = tuple(
        Example(str(n), {"prompt": text}, {"intents": ("none",)}) for n, text in enumerate(texts)
    )
    return Dataset("rows.jsonl", rows, (), {}, hash_examples(rows), ())


def ids(examples: tuple[Example, ...]) -> str:
    return "".join(example.id for example in examples)


def test_rows_are_cut_then_cleaned_then_split() -> None:
    recipe = RowsRecipe(data="x", rows=6, dev_rows=2)
    rows = prepare_rows(dataset_of(*TEXTS), recipe)
    assert sorted(ids(rows.train) + ids(rows.dev)) == list("0124")
    assert len(rows.dev) == 2
    assert (rows.read, rows.duplicates_dropped, rows.conflicts) == (8, 2, 0)
    assert rows.counts() == {
        "read": 8,
        "duplicates_dropped": 2,
        "trained_on": 2,
        "dev": 2,
        "dev_sha256": hash_examples(rows.dev),
    }
    assert rows.describe() == (
        "2 rows to train on, 2 held out for dev, 2 exact duplicates dropped."
    )


def test_duplicates_may_be_kept() -> None:
    rows = prepare_rows(dataset_of(*TEXTS), RowsRecipe(data="x", deduplicate=False))
    assert ids(rows.train) == "01234567"
    assert (rows.dev, rows.duplicates_dropped) == ((), 0)


def test_contradictions_are_counted_and_said() -> None:
    dataset = dataset_of("apple", "apple", "pear")
    one, two, three = dataset.examples
    two = dataclasses.replace(two, labels={"intents": ("payment",)})
    dataset = dataclasses.replace(dataset, examples=(one, two, three))
    rows = prepare_rows(dataset, RowsRecipe(data="x"))
    assert (ids(rows.train), rows.conflicts) == ("02", 1)
    assert "1 inputs are in the data with different labels" in rows.describe()


def test_a_dev_split_that_does_not_fit_is_a_user_error() -> None:
    with pytest.raises(UserError, match="development split"):
        prepare_rows(dataset_of("a", "b"), RowsRecipe(data="x", dev_rows=2))


@pytest.mark.parametrize("seed", [0, 3])
def test_the_same_keys_give_the_same_rows_whatever_is_trained(seed: int) -> None:
    dataset = dataset_of(*(f"{text} {n % 7}" for n in range(60) for text in TEXTS))
    keys: dict[str, Any] = {"data": "x", "rows": 300, "dev_rows": 9, "seed": seed}
    adapter = prepare_rows(dataset, Recipe(**keys, epochs=9))
    assert adapter == prepare_rows(dataset, TfidfRecipe(**keys, hash_bits=9))
    assert adapter == prepare_rows(dataset, RowsRecipe(**keys))
