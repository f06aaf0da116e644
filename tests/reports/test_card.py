"""The model card: what huggingface_hub reads back is what was judged, whatever the texts hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCard, parse_eval_result_entries
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from evalkit.printable import printable
from evalkit.reports.card.metadata import GATES, benchmark_entry, describe_subject
from evalkit.reports.card.subject import Subject
from evalkit.reports.card.text import render_card, training_card
from evalkit.reports.judged import read_judged
from evalkit.runs import read_verdicts
from evalkit.training.recipe import Recipe
from judged_runs import write_judged_run

SUBJECT = Subject(
    "mine", "notifications-3level", "json", "hf:Tiny/Model@abc", "Says where", ("title",), {}
)
HOSTILE = [
    "---\nlicense: mit\n---\n",
    "a\n---\n",
    "': x\n- [",
    '"quoted"',
    "</style><script>alert(1)</script>",
    "| cell | `code` ![x](http://e.vil/x.png)",
    "\u202egnp.exe",
    "\x1b[2J\x00",
    "{{ x }} %YAML !!python/object",
    "x" * 10_000,
    "- \t#no comment",
]


def provenance(**changes: Any) -> dict[str, Any]:
    recipe = Recipe(data="rows.jsonl", **changes.pop("recipe", {}))
    plain: dict[str, Any] = {
        "system": "tiny",
        "task": "intents",
        "format": "labels",
        "base": "hf:Tiny/Model",
        "data": "rows.jsonl",
        "recipe": recipe.model_dump(mode="json"),
        "rows": {"trained_on": 1200, "dev": 30, "duplicates_dropped": 4},
        "steps": 225,
        "train_loss": 0.25,
        "dev_loss": 0.125,
        "dev_accuracy": {"intents": 0.9333, "all": 0.9},
        "seconds": 600.0,
        "device": "cpu",
    }
    return plain | changes


def render(folder: Path, subject: Subject = SUBJECT, **kept: Any) -> tuple[ModelCard, dict]:
    """The card of a run, read back by huggingface_hub, and the run's verdicts."""
    judged, verdicts = read_judged(folder), read_verdicts(folder)
    assert verdicts is not None
    measured = verdicts["measured"]
    metadata = describe_subject(subject, provenance(), judged=judged, measured=measured, kept=kept)
    text = render_card(subject, metadata, provenance(), plotted=False, judged=judged)
    path = folder / "README.md"
    path.write_text(text, encoding="utf-8")
    return ModelCard.load(path), verdicts


def test_the_card_after_training_says_what_the_provenance_does():
    card = training_card(provenance(), plotted=True)
    assert card.startswith("---\nlibrary_name: peft\n")
    for said in (
        "base_model: Tiny/Model\n",
        "| intents | 93.3 % |",
        "1,200 rows trained on, 4 exact duplicates",
        "225 in 3 epochs of batches of 16 rows",
        "0.2500 on average, 0.1250 on held-out rows",
        "10 minutes on cpu",
        "![loss](loss.png)",
        "No gate has judged it yet",
    ):
        assert said in card
    assert "model-index" not in card


def test_a_card_leaves_out_what_there_is_not():
    bare = provenance(
        base="pypi:tiny==1",
        dev_loss=None,
        dev_accuracy={},
        recipe={"tokens_per_batch": 4000},
    )
    card = training_card(bare, plotted=False)
    assert "base_model" not in card
    assert "None were held out." in card
    assert "no test set" not in card
    assert "loss.png" not in card
    assert "batches of 4,000 tokens" in card


def test_huggingface_hub_reads_the_figures_of_the_verdicts(tmp_path: Path):
    card, verdicts = render(write_judged_run(tmp_path, seen=3))
    results = card.data.eval_results
    gates = {r.metric_name: r for r in results if r.dataset_config == GATES}
    labels = [f"{g['gate']}[{g['slice']}]" if g["slice"] else g["gate"] for g in verdicts["gates"]]
    named = [label.replace("recall[2]", "recall[medium]") for label in labels]
    assert set(gates) == set(named)
    for name, said in zip(named, verdicts["gates"], strict=True):
        found = gates[name]
        estimate = said["estimate"]
        assert found.metric_value == estimate["value"]
        assert found.metric_args["interval_95"] == [estimate["low"], estimate["high"]]
        assert found.metric_args["n"] == estimate["n"]
        assert found.metric_args["verdict"] == said["outcome"]
        for bound in ("min_value", "max_value", "min_difference"):
            assert found.metric_args.get(bound) == said["policy"][bound]
    assert gates["accuracy"].metric_args["verdict"] == "fail"
    assert gates["beats"].metric_args["against"] == "other"

    usual = {r.metric_name: r for r in results if r.dataset_config is None}
    assert {"all fields right", "folder accuracy", "priority accuracy"} <= set(usual)
    for name, found in usual.items():
        number = verdicts["measured"][name]
        assert found.metric_value == number["value"]
        assert found.metric_args["n"] == number["n"] == 17
        # Rows that were trained on count in the second figure alone.
        assert found.metric_args["on_all_rows"]["value"] == number["on_all_rows"]["value"]
        assert found.metric_args["on_all_rows"]["n"] == 20
    assert usual["priority accuracy"].metric_type == "accuracy"
    assert usual["priority macro-F1"].metric_type == "f1"
    assert usual["priority accuracy"].dataset_revision == "d" * 64
    assert usual["priority accuracy"].dataset_type == "notifications"
    assert card.data.base_model == "Tiny/Model"
    assert card.data.library_name == "peft"
    assert "**mine may NOT ship: misses priority " in card.text
    assert "All rows" in card.text


def test_without_rows_that_were_trained_on_there_is_one_figure(tmp_path: Path):
    card, _ = render(write_judged_run(tmp_path))
    assert all("on_all_rows" not in r.metric_args for r in card.data.eval_results)
    assert "All rows" not in card.text


def test_a_good_one_may_ship(tmp_path: Path):
    card, _ = render(write_judged_run(tmp_path, right=20))
    assert "**mine may ship: all 4 gates passed.**" in card.text
    assert "What failed" not in card.text


def test_rows_of_the_hub_are_named_as_the_hub_does(tmp_path: Path):
    folder = write_judged_run(tmp_path, source="hf:owner/rows@main:validation")
    card, _ = render(folder)
    assert {r.dataset_type for r in card.data.eval_results} == {"owner/rows"}
    assert {r.dataset_split for r in card.data.eval_results} == {"validation"}


def test_no_folder_of_this_machine_is_named(tmp_path: Path):
    folder = write_judged_run(tmp_path, source="/home/somebody/secret/rows.jsonl")
    render(folder)
    said = (folder / "README.md").read_text()
    assert "rows.jsonl" in said
    assert "somebody" not in said


def test_what_was_added_by_hand_stays_and_old_figures_go(tmp_path: Path):
    kept = {"license": "mit", "tags": ["ours"], "model-index": [{"name": "old", "results": []}]}
    card, _ = render(write_judged_run(tmp_path), **kept, inference=False)
    assert card.data.license == "mit"
    assert card.data.inference is False
    assert "ours" in card.data.tags
    assert "evalkit" in card.data.tags
    assert card.data.model_name == "mine"


def check(subject: Subject, text: str, found: Mapping[str, Any]) -> None:
    """No text got out of its place: neither out of the front matter nor into HTML."""
    front, _, body = text.removeprefix("---\n").partition("\n---\n")
    assert yaml.safe_load(front) == found
    assert "license" not in found
    assert "\x1b" not in text
    assert "\u202e" not in text
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(body)
    assert "<script" not in html
    assert "<img" not in html
    assert "<h1>" in html
    assert html.count("<h1>") == 1


@given(st.one_of(st.text(), st.sampled_from(HOSTILE)))
def test_a_hostile_text_stays_text(hostile: str):
    subject = replace(
        SUBJECT,
        name=hostile,
        task=hostile,
        base=f"./{hostile}",
        summary=hostile,
        inputs=(hostile,),
        values={hostile: (hostile, hostile)},
    )
    said = provenance(data=hostile, device=hostile, dev_accuracy={hostile: 0.5}, remarks=[hostile])
    metadata = describe_subject(subject, said)
    text = render_card(subject, metadata, said, plotted=False)
    check(subject, text, metadata.to_dict())


def test_hostile_texts_of_a_run_stay_text(tmp_path: Path):
    for number, hostile in enumerate(HOSTILE):
        subject = replace(SUBJECT, name=hostile, values={hostile: (hostile,)})
        folder = write_judged_run(tmp_path / str(number), source=hostile, note=hostile, why=hostile)
        card, verdicts = render(folder, subject)
        check(subject, (folder / "README.md").read_text(encoding="utf-8"), card.data.to_dict())
        assert card.data.model_name == printable(hostile)
        assert len(card.data.eval_results) > len(verdicts["gates"])


def test_the_entry_of_a_benchmark_reads_back(tmp_path: Path):
    from huggingface_hub import eval_result_entries_to_yaml

    folder = write_judged_run(tmp_path, source="hf:owner/rows:test", seen=3)
    verdicts = read_verdicts(folder)
    assert verdicts is not None
    entry = benchmark_entry(read_judged(folder), verdicts["measured"], "three", "me/mine")
    written = yaml.safe_load(yaml.safe_dump(eval_result_entries_to_yaml([entry])))
    (found,) = parse_eval_result_entries(written)
    assert (found.dataset_id, found.task_id) == ("owner/rows", "three")
    number = verdicts["measured"]["all fields right"]
    assert found.value == number["value"]
    assert f"95% {number['low']:.4f} to {number['high']:.4f}, n=17" in found.notes
    assert f"{number['on_all_rows']['value']:.4f} with them" in found.notes
    assert found.date == "2026-01-02T03:04:05Z"
    assert json.dumps(written)
