"""The hand-written requests are what their README says."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from evalkit.data import load_dataset
from evalkit.data.overlap import find_duplicates
from evalkit.tasks import load_task

FOLDER = Path(__file__).parents[1] / "fixtures" / "intents"
TASK = load_task("intents")


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    lines = (FOLDER / "test.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_all_rows_are_read_as_the_task_reads_them(rows: list[dict]) -> None:
    examples = load_dataset(str(FOLDER / "test.jsonl"), TASK).examples
    assert [example.id for example in examples] == [f"i-{n:03}" for n in range(1, len(rows) + 1)]
    # Sets come in the task's order, as they are written.
    assert [list(e.labels["intents"]) for e in examples] == [row["output"] for row in rows]


def test_there_is_enough_of_everything(rows: list[dict]) -> None:
    assert len(rows) >= 300
    several = sum(len(row["output"]) > 1 for row in rows)
    assert several / len(rows) >= 0.3
    counts = Counter(intent for row in rows for intent in row["output"])
    assert set(counts) == set(TASK.fields["intents"].labels)
    assert min(counts.values()) >= 30  # what the gate on recall asks for
    languages = Counter(row["language"] for row in rows)
    assert abs(languages["zh"] - languages["en"]) <= 0.1 * len(rows)


def test_languages_are_what_they_say(rows: list[dict]) -> None:
    def has_chinese(text: str) -> bool:
        return any("\u4e00" <= character <= "\u9fff" for character in text)

    wrong = [row["id"] for row in rows if has_chinese(row["prompt"]) is (row["language"] == "en")]
    assert wrong == []


def test_no_request_repeats_another() -> None:
    examples = load_dataset(str(FOLDER / "test.jsonl"), TASK).examples
    assert find_duplicates(examples, threshold=0.6).groups == ()


def test_the_readme_counts_right(rows: list[dict]) -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    languages = Counter(row["language"] for row in rows)
    sizes = Counter(len(row["output"]) for row in rows)
    intents = Counter(intent for row in rows for intent in row["output"])
    alone = Counter(row["output"][0] for row in rows if len(row["output"]) == 1)
    several = 1 - sizes[1] / len(rows)
    assert f"{len(rows)} requests" in text
    assert f"| language | {listed(languages)} |" in text
    assert f"| one {sizes[1]}, two {sizes[2]}, three {sizes[3]} (several: {several:.1%}) |" in text
    assert f"| rows with the intent | {listed(intents)} |" in text
    assert f"| alone | {listed(alone)} |" in text
    assert f"| different sets | {len({tuple(row['output']) for row in rows})} |" in text


def listed(counts: Counter[str]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {count}" for name, count in ordered)
