"""Recipes with every remedy at once, trained end to end on a tiny base."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from evalkit.data import Dataset
from evalkit.data.loading import hash_examples
from evalkit.errors import UserError
from evalkit.formats import get_format
from evalkit.records import Example
from evalkit.reports.card.text import training_card
from evalkit.tasks import load_task
from evalkit.training import run as run_module
from evalkit.training import trainer as trainer_module
from evalkit.training.recipe import Recipe
from evalkit.training.run import Training, plan, run_training
from evalkit.training.topics import Topic
from evalkit.weights import weights_fingerprint
from tiny_models import save_base

TASK = load_task("notifications-3level")
TOPICS = {name: Topic(description=f"about {name}") for name in ("Builds", "Chess", "Boats", "Tea")}
GENERAL = (
    {"prompt": "Who are you?", "answer": "A model for tests"},
    {"text": "Your parcel arrives today between 10:00 and 12:00."},
)
REMEDIES: dict[str, Any] = {
    "labels": {
        "field": "folder",
        "share": 0.5,
        "drop": 0.3,
        "topics": "topics.toml",
        "topic_share": 0.5,
        "beside_share": 0.5,
        "most": 3,
        "blank_names": list("ABCDEFGH"),
    },
    "noise": {"share": 0.5},
    "attacks": {"share": 0.5},
    "keep": {"data": "general.jsonl", "share": 0.5, "batch_size": 2},
    "hard_share": 0.25,
}


def example(number: int) -> Example:
    folder = str(TASK.fields["folder"].labels[number % 4])
    inputs = {"app_name": "Mail", "title": f"#{number}", "body": "The build is red again"}
    labels = {"folder": folder, "priority": 1 + number % 3}
    tags = {"topic": [*TOPICS][number % 4]} if number % 5 else {}
    return Example(f"r{number}", inputs, labels, tags)


ROWS = tuple(example(number) for number in range(20))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tmp_path_factory.mktemp("base"), layers=1)


@pytest.fixture
def training(base: Path, tmp_path: Path) -> Training:
    return Training(
        name="tiny",
        folder=tmp_path / "all",
        task=TASK,
        format=get_format("json", TASK),
        recipe=recipe_of(**REMEDIES),
        base_name="hf:Tiny/Model",
        base_folder=base,
        weights_sha256=weights_fingerprint(base),
        dataset=Dataset("rows.jsonl", ROWS, (), {}, hash_examples(ROWS), ()),
        repeats={"r3": 3, "r8": 2},
        topics=TOPICS,
        general=GENERAL,
    )


def recipe_of(**changes: Any) -> Recipe:
    plain = {
        "data": "rows.jsonl",
        "epochs": 2,
        "batch_size": 4,
        "learning_rate": 1e-3,
        "precision": "fp32",
        "lora": {"r": 2, "alpha": 4, "targets": ["q_proj", "v_proj"]},
    }
    return Recipe.model_validate(plain | changes)


def train(training: Training, folder: str = "all", **changes: Any) -> bytes:
    training = dataclasses.replace(training, folder=training.folder.parent / folder, **changes)
    run_training(
        training, training_card, device="cpu", console=Console(file=io.StringIO(), width=200)
    )
    return (training.folder / "adapter_model.safetensors").read_bytes()


def test_an_interrupted_training_ends_as_if_nothing_had_been(
    training: Training, monkeypatch: pytest.MonkeyPatch
):
    """Cut in the middle of the second epoch, with every remedy at work."""
    monkeypatch.setattr(trainer_module, "SAVE_STEPS", 2)
    monkeypatch.setattr(trainer_module, "LOG_STEPS", 2)
    whole = train(training, "whole")
    steps = json.loads((training.folder.parent / "whole" / "provenance.json").read_text())["steps"]
    # 23 rows, as two repeat, in batches of 4.
    assert steps == 12

    class Interrupted(trainer_module.ShowProgress):
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 9:
                raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(trainer_module, "ShowProgress", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(training, "cut")
    assert list((training.folder.parent / "cut").glob("checkpoints/*/checkpoint-8"))
    assert train(training, "cut") == whole


def test_every_remedy_makes_a_difference(training: Training):
    found = {train(training, "all")}
    for remedy in REMEDIES:
        less = {name: said for name, said in REMEDIES.items() if name != remedy}
        topics = None if remedy == "labels" else TOPICS
        found.add(train(training, remedy, recipe=recipe_of(**less), topics=topics))
    assert len(found) == 1 + len(REMEDIES)


def test_what_decides_the_outcome_decides_where_checkpoints_lie(
    training: Training, monkeypatch: pytest.MonkeyPatch
):
    from evalkit.training.run import _identity

    other_topics = {**TOPICS, "Tea": Topic(description="cups")}
    rows = (*ROWS[:-1], dataclasses.replace(ROWS[-1], tags={"topic": "Chess"}))
    changes: list[dict[str, Any]] = [
        {},
        {"topics": other_topics},
        {"general": GENERAL[:1]},
        {"repeats": {"r3": 2}},
        {"dev": ROWS[:1]},
        {"dataset": dataclasses.replace(training.dataset, examples=rows)},
    ]
    several = recipe_of(**REMEDIES, sources=[{"data": "more.jsonl"}])
    start = dataclasses.replace(training, recipe=several)
    found = {_identity(dataclasses.replace(start, **change), "x") for change in changes}
    assert len(found) == len(changes)


def test_pairs_train_together_and_not_as_topics(
    training: Training, monkeypatch: pytest.MonkeyPatch
):
    rows = tuple(
        dataclasses.replace(row, tags={**row.tags, "pair": f"p{n % 4}"}) if n < 8 else row
        for n, row in enumerate(ROWS)
    )
    seen: list[list[tuple[str, str]]] = []
    plain = run_module.VaryingCollator.__call__

    def watch(collator: Any, batch: Any) -> Any:
        places = [row["place"] for row in batch]
        seen.append([(collator.examples[p.row].id, p.space.kind) for p in places])
        return plain(collator, batch)

    monkeypatch.setattr(run_module.VaryingCollator, "__call__", watch)
    paired = recipe_of(**REMEDIES, pairs=True, epochs=1)
    train(
        training,
        recipe=paired,
        repeats={"r0": 2, "r4": 2},
        dataset=dataclasses.replace(training.dataset, examples=rows),
    )
    where = {
        name: [n for n, batch in enumerate(seen) if name in dict(batch)]
        for name in (f"r{n}" for n in range(8))
    }
    for n in range(4):
        assert where[f"r{n}"] == where[f"r{n + 4}"]
    assert sum(batch.count(("r0", "own")) for batch in seen) == 2
    kinds = {kind for batch in seen for name, kind in batch if name in where}
    assert kinds == {"own"}


def test_rows_of_a_topic_that_is_not_described_are_refused(training: Training):
    few = {name: topic for name, topic in TOPICS.items() if name != "Tea"}
    with pytest.raises(UserError, match="of topic 'Tea', which is not described"):
        train(training, topics=few)


def test_general_prompts_longer_than_is_allowed_are_refused(training: Training):
    keep = REMEDIES["keep"] | {"tokens": 8}
    with pytest.raises(UserError, match="no prompt is shorter than 8 tokens"):
        train(training, recipe=recipe_of(**REMEDIES | {"keep": keep}), general=GENERAL[:1])


def test_a_plan_counts_the_rows_of_an_epoch(training: Training, monkeypatch: pytest.MonkeyPatch):
    # No clock: a busy machine may take longer for less.
    def second_for_each_tensor(model: object, recipe: object, make: Callable[[], Any]) -> float:
        return float(len(make()))

    monkeypatch.setattr("evalkit.training.plan._seconds", second_for_each_tensor)
    planned = plan(training, device="cpu", console=Console(file=io.StringIO()))
    assert (planned.rows, planned.steps) == (23, 12)
    kept = planned.seconds_with_keep
    assert kept is not None
    assert 0 < planned.seconds_per_step < kept, "half of the steps have no general prompts"
    assert planned.seconds == 12 * planned.seconds_per_step + planned.seconds_between
    assert f"{kept:.2f} s with general prompts" in planned.describe()
