"""Whole datasets: what is kept, what is said, what identifies them."""

import subprocess
import sys

import pytest

from evalkit.data import load_dataset
from evalkit.data.loading import hash_examples
from evalkit.errors import UserError
from evalkit.records import Example


def test_rows_left_out_are_listed_and_counted(write, row, three_levels):
    source = write(row(1), row(2, folder="Wrok"), "{", row(4))
    dataset = load_dataset(source, three_levels, on_bad_row="skip")
    assert [example.id for example in dataset.examples] == ["n1", "n4"]
    assert [bad.where for bad in dataset.skipped] == [f"{source}:2", f"{source}:3"]
    assert dataset.notes[-1].startswith(f"{source}: 2 of 4 rows left out as bad; first {source}:2")


def test_a_file_of_bad_rows_is_refused(write, row, three_levels):
    source = write(row(1, folder="a"), row(2, folder="b"))
    with pytest.raises(UserError, match=r"all 2 rows are bad .* The first: .*:1: field 'folder'"):
        load_dataset(source, three_levels, on_bad_row="skip")


def test_rows_after_the_limit_are_not_checked(write, row, three_levels):
    dataset = load_dataset(write(row(1), row(2), "{"), three_levels, limit=2)
    assert (len(dataset.examples), dataset.skipped) == (2, ())


def test_a_limit_counts_good_rows(write, row, three_levels):
    source = write(row(1), "{", row(2), row(3))
    dataset = load_dataset(source, three_levels, on_bad_row="skip", limit=2)
    assert [example.id for example in dataset.examples] == ["n1", "n2"]


def test_options_are_checked(write, row, three_levels):
    with pytest.raises(UserError, match="A limit of 0"):
        load_dataset(write(row()), three_levels, limit=0)
    with pytest.raises(UserError, match=r"not 'skp'\. Did you mean 'skip'"):
        load_dataset(write(row()), three_levels, on_bad_row="skp")


def test_the_hash_follows_the_examples_and_nothing_else(write, row, three_levels, five_levels):
    def sha(*rows, task=three_levels, name="a.jsonl", **options):
        return load_dataset(write(*rows, name=name), task, **options).sha256

    base = sha(row(1), row(2))
    assert sha(row(1), row(2), name="other.jsonl") == base
    assert sha(row(1), row(2), row(3), limit=2) == base
    assert sha({**row(1), "more": 1}, row(2)) == base
    assert sha(row(1), row(2), task=five_levels) == base  # the same ids, inputs and labels
    changes = [row(3), row(2, body="Hi"), row(2, folder="Alerts"), row(2, priority=2)]
    hashes = {base, sha(row(2), row(1)), *(sha(row(1), changed) for changed in changes)}
    assert len(hashes) == 6


def test_the_hash_does_not_follow_the_order_of_keys():
    one = Example("1", {"a": "x", "b": "y"}, {"f": 1, "g": ("p", "q")})
    other = Example("1", {"b": "y", "a": "x"}, {"g": ("p", "q"), "f": 1})
    assert hash_examples([one]) == hash_examples([other])


def test_nothing_heavy_is_imported():
    heavy = ("datasets", "pyarrow", "pandas", "scipy", "numpy", "torch")
    code = (
        "import sys, evalkit.data, evalkit.metrics;"
        f"print(*(name for name in {heavy} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_published_training_rows(shared, three_levels):
    dataset = load_dataset(shared("notifai/train_5level.jsonl"), three_levels)
    levels = [example.labels["priority"] for example in dataset.examples]
    assert [levels.count(level) for level in (1, 2, 3)] == [5380, 3333, 3287]
    assert dataset.label_mappings == {"priority": "five-level"}
    assert dataset.skipped == ()
    by_id = {example.id: example for example in dataset.examples}
    assert by_id["00001"].labels == {"folder": "Work", "priority": 3}


def test_a_published_batch_with_a_broken_line(shared, three_levels):
    source = shared("notifai/batch_15_as_published.jsonl")
    with pytest.raises(UserError, match=r":278: not valid JSON .* a '}' seems to be missing"):
        load_dataset(source, three_levels)
    dataset = load_dataset(source, three_levels, on_bad_row="skip")
    assert len(dataset.examples) == 299  # of 300 lines
    assert [bad.where for bad in dataset.skipped] == [f"{source}:278"]


def test_the_published_intents(shared, intents):
    dataset = load_dataset(shared("tokenflow/intents.jsonl"), intents)
    assert len(dataset.examples) == 1416
    order = intents.fields["intents"].labels
    for example in dataset.examples:
        label = example.labels["intents"]
        assert label == tuple(sorted(label, key=order.index))
