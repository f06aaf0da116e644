"""The training rows written for the project: their form, and that no held-out row is among them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from evalkit.data import load_dataset
from evalkit.data.overlap import find_twins
from evalkit.tasks import load_task
from evalkit.training.topics import load_topics

ROOT = Path(__file__).parents[1]
NOTIFICATIONS = ROOT / "data" / "notifications"
TASK = "notifications-5level"


@cache
def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def notifications() -> list[dict[str, Any]]:
    return rows(NOTIFICATIONS / "train.jsonl")


def labels(row: dict[str, Any]) -> tuple[str, int]:
    return row["classification"]["folder"], row["classification"]["priority"]


def in_three(row: dict[str, Any]) -> tuple[str, str]:
    folder, level = labels(row)
    return folder, {1: "low", 2: "low", 3: "medium", 4: "high", 5: "high"}[level]


def test_there_are_enough_of_every_kind():
    found = notifications()
    cells = Counter(labels(row) for row in found)
    assert len(found) >= 4000
    assert len(cells) == 20
    assert min(cells.values()) >= 30
    assert 0.22 <= sum(row["language"] == "zh" for row in found) / len(found) <= 0.30
    assert len({row["notification"]["app_display_name"] for row in found}) >= 600


def test_ids_and_texts_are_there_once():
    found = notifications()
    texts = [(r["notification"]["title"], r["notification"]["body"]) for r in found]
    assert len({row["id"] for row in found}) == len(found)
    assert len(set(texts)) == len(texts)


def test_a_pair_is_two_rows_of_one_app_with_other_labels():
    pairs = defaultdict(list)
    for row in notifications():
        if "pair" in row:
            pairs[row["pair"]].append(row)
    assert len(pairs) >= 240
    assert {len(both) for both in pairs.values()} == {2}
    for one, other in pairs.values():
        apps = {row["notification"]["app_display_name"] for row in (one, other)}
        assert (len(apps), in_three(one) != in_three(other)) == (1, True), one["id"]


def test_every_topic_is_described():
    named = {row["topic"] for row in notifications() if "topic" in row}
    assert named == set(load_topics(NOTIFICATIONS / "topics.toml"))


@pytest.mark.parametrize(("data", "task"), [("notifications", TASK), ("intents", "intents")])
def test_no_held_out_row_is_among_them(data: str, task: str):
    spec = load_task(task)
    trained = load_dataset(str(ROOT / "data" / data / "train.jsonl"), spec).examples
    held_out = sorted((ROOT / "fixtures" / data).glob("*.jsonl"))
    assert "test" in {path.stem for path in held_out}
    asked = [e for path in held_out for e in load_dataset(str(path), spec).examples]
    found = zip(asked, find_twins(trained, asked), strict=True)
    assert [example.id for example, twin in found if twin] == []


def test_no_unseen_folder_is_a_topic():
    """What suites and dev sets ask for as new stays new."""
    import tomllib

    topics = load_topics(NOTIFICATIONS / "topics.toml")
    named = {n.casefold() for name, topic in topics.items() for n in (name, *topic.names)}
    for file in ("spaces.toml", "dev_spaces.toml"):
        spaces = tomllib.loads((ROOT / "fixtures" / "unseen_folders" / file).read_text("utf-8"))
        asked = {folder.casefold() for space in spaces.values() for folder in space}
        assert asked & named == set()


def test_no_probe_is_kept_as_a_general_prompt():
    kept = {row["prompt"].casefold() for row in rows(ROOT / "data" / "general" / "prompts.jsonl")}
    probes = (
        rows(ROOT / "fixtures" / "forgetting" / f"{name}.jsonl") for name in ("probes", "dev")
    )
    asked = {row["prompt"].casefold() for found in probes for row in found}
    assert len(kept) >= 400
    assert kept & asked == set()
