"""Rows with several labels made of rows with one."""

import json

import pytest

from evalkit.data import load_dataset
from evalkit.data.combining import combine, synthetic_links
from evalkit.data.row_files import open_task_rows
from evalkit.errors import UserError

ENGLISH = {
    "payment": ["Pay my bill.", "Refund the shoes", "Which cards do you take?"],
    "user_auth": ["Sign me in", "I forgot my password!"],
    "inventory": ["Is the lamp in stock?", "How many chairs are left"],
}
CHINESE = {"payment": ["我要退款", "怎么付款？"], "notification": ["关闭提醒", "发短信给我。"]}


def rows_of(*texts, **more):
    number = 0
    for by_label in texts:
        for label, prompts in by_label.items():
            for prompt in prompts:
                number += 1
                yield {"id": f"r{number}", "prompt": prompt, "output": [label], **more}


@pytest.fixture
def rows(write):
    both = {"id": "both", "prompt": "pay and sign in", "output": ["payment", "user_auth"]}
    none = {"id": "none", "prompt": "nice weather", "output": ["none"]}
    return write(*rows_of(ENGLISH, CHINESE, intent_type="single"), both, none)


def test_the_share_is_reached_and_no_more(rows, intents, tmp_path):
    found = combine(open_task_rows(rows, "augment"), share=0.5, seed=0)
    assert (len(found.before), found.multi_before, len(found.made)) == (13, 1, 11)
    assert found.share_after == 0.5
    path = tmp_path / "made.jsonl"
    path.write_bytes(b"".join(made.raw + b"\n" for made in found.made))
    for example in load_dataset(str(path), intents).examples:
        assert len(example.labels["intents"]) == 2


def test_labels_are_united_and_the_sources_named(rows):
    found = combine(open_task_rows(rows, "augment"), share=0.6, seed=3, most=3)
    by_id = {example.id: example for example in found.before}
    assert {len(made.labels) for made in found.made} == {2, 3}
    for made in found.made:
        content = json.loads(made.raw)
        sources = [by_id[name] for name in content["synthetic"]["sources"]]
        assert {*content["output"]} == {s.labels["intents"][0] for s in sources}
        assert len(content["output"]) == len(sources)
        assert "none" not in content["output"]
        assert set(content) == {"id", "prompt", "output", "synthetic"}  # intent_type is untrue
        for source in sources:
            assert source.inputs["prompt"].rstrip(".!?？。") in content["prompt"]


def test_a_script_keeps_to_itself(rows):
    found = combine(open_task_rows(rows, "augment"), share=0.6, seed=0)
    languages = [{int(name[1:]) <= 7 for name in made.sources} for made in found.made]
    assert all(len(both) == 1 for both in languages)
    assert {True} in languages
    assert {False} in languages


def test_no_text_is_made_twice(rows):
    found = combine(open_task_rows(rows, "augment"), share=0.7, seed=0, connectives=[" + "])
    texts = [made.text for made in found.made]
    assert len({*texts}) == len(texts)
    assert all(" + " in text for text in texts)


def test_the_seed_decides(rows):
    made = [combine(open_task_rows(rows, "augment"), share=0.5, seed=n).made for n in (0, 0, 1)]
    assert made[0] == made[1]
    assert made[0] != made[2]


def test_enough_is_enough(rows):
    assert combine(open_task_rows(rows, "augment"), share=0.05, seed=0).made == ()


def test_rows_that_cannot_be_combined(write, row):
    one = open_task_rows(write(*rows_of({"payment": ["pay", "refund"]})), "augment", "intents")
    with pytest.raises(UserError, match="only 0 could be"):
        combine(one, share=0.3, seed=0)
    few = open_task_rows(write(*rows_of({"payment": ["pay"], "inventory": ["stock"]})), "augment")
    with pytest.raises(UserError, match=r"2 rows would have to be made|Ask for a smaller share"):
        combine(few, share=0.9, seed=0)
    with pytest.raises(UserError, match="for multi-label tasks"):
        combine(open_task_rows(write(row()), "augment"), share=0.3, seed=0)


@pytest.mark.parametrize("options", [{"share": 1}, {"share": 0.3, "most": 1}])
def test_options_that_make_no_sense(rows, options):
    with pytest.raises(UserError, match="--"):
        combine(open_task_rows(rows, "augment"), **{"seed": 0, **options})


def test_csv_has_no_place_for_the_sources(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("prompt,output\npay,payment\nsign in,user_auth\n")
    with pytest.raises(UserError, match="Save the rows as JSON lines"):
        combine(open_task_rows(str(path), "augment"), share=0.3, seed=0)


def test_made_rows_are_linked_to_what_they_are_made_of(write):
    made = {"prompt": "b", "output": ["payment"], "synthetic": {"sources": ["r2", "gone", 3]}}
    path = write(*rows_of({"payment": ["a", "c"]}), made, {**made, "synthetic": "yes"})
    read = [(line.row, e) for line, e in open_task_rows(path, "split").read_examples("stop")]
    assert synthetic_links(read) == [(2, 1)]
