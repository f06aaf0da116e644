"""The cases of folders never trained on are what their README says."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from evalkit.data import load_dataset
from evalkit.data.overlap import find_duplicates, find_overlap
from evalkit.records import Example
from evalkit.tasks import load_task
from evalkit.tasks.variants import with_values

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "fixtures" / "unseen_folders"
TASK = load_task("notifications-3level")
# Apps and titles of seed 004, as published.
SEED = {
    ("Chase", "Payment received", "Finance"),
    ("Venmo", "Payment complete", "Finance"),
    ("Robinhood", "Stock alert", "Finance"),
    ("Target", "Order ready", "Shopping"),
    ("Amazon", "Your order shipped", "Shopping"),
    ("FedEx", "Package delivered", "Shopping"),
    ("Instagram", "New follower", "Social"),
    ("Twitter", "New mention", "Social"),
    ("TikTok", "Video liked", "Social"),
    ("MyFitnessPal", "Daily reminder", "Health"),
    ("Apple Health", "Stand reminder", "Health"),
    ("CVS Pharmacy", "Prescription ready", "Health"),
    ("United Airlines", "Flight reminder", "Travel"),
    ("Uber", "Trip completed", "Travel"),
    ("Marriott", "Check-in available", "Travel"),
}


@pytest.fixture(scope="module")
def spaces() -> dict[str, dict[str, str]]:
    return tomllib.loads((FOLDER / "spaces.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    lines = (FOLDER / "cases.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def examples(spaces: dict[str, dict[str, str]]) -> tuple[Example, ...]:
    every = {name: says for space in spaces.values() for name, says in space.items()}
    return load_dataset(str(FOLDER / "cases.jsonl"), with_values(TASK, "folder", every)).examples


def test_two_spaces_of_five_new_folders(spaces: dict[str, dict[str, str]]) -> None:
    names = [name for space in spaces.values() for name in space]
    assert [len(space) for space in spaces.values()] == [5, 5]
    assert len(set(names)) == 10
    assert not set(names) & set(TASK.fields["folder"].labels)


def test_twenty_cases_of_each_folder(rows: list[dict], spaces: dict[str, dict[str, str]]) -> None:
    counts = Counter(row["classification"]["folder"] for row in rows if "slice" not in row)
    assert set(counts) == {name for space in spaces.values() for name in space}
    assert min(counts.values()) >= 20


def test_each_row_is_of_its_space(rows: list[dict], spaces: dict[str, dict[str, str]]) -> None:
    strays = [
        row["id"] for row in rows if row["classification"]["folder"] not in spaces[row["space"]]
    ]
    assert strays == []


def test_the_seed_is_a_slice_of_its_own(rows: list[dict]) -> None:
    of_seed = [row for row in rows if row.get("slice") == "seed-004"]
    found = {
        (
            row["notification"]["app_display_name"],
            row["notification"]["title"],
            row["classification"]["folder"],
        )
        for row in of_seed
    }
    assert len(of_seed) == 15
    assert found == SEED
    # The suite knows them by their ids.
    assert {row["id"] for row in rows if row["id"].startswith("seed-")} == {
        row["id"] for row in of_seed
    }


def test_every_level_of_priority_stands_in_the_cases(rows: list[dict]) -> None:
    assert {row["classification"]["priority"] for row in rows} == {1, 2, 3, 4, 5}


def test_no_case_repeats_another(examples: tuple[Example, ...]) -> None:
    assert find_duplicates(examples).groups == ()


def test_no_case_stands_in_the_ordinary_test_set(examples: tuple[Example, ...]) -> None:
    source = str(ROOT / "fixtures" / "notifications" / "test.jsonl")
    ordinary = load_dataset(source, TASK).examples
    assert not any(find_overlap(ordinary, examples).matches)


def test_the_readme_counts_right(rows: list[dict]) -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert f"{len(rows)} phone notifications" in text
    for folder, space in {(r["classification"]["folder"], r["space"]) for r in rows}:
        own = [
            row["language"]
            for row in rows
            if row["classification"]["folder"] == folder and "slice" not in row
        ]
        languages = [own.count(language) for language in ("en", "zh", "mixed")]
        assert f"| {' | '.join(map(str, [space, folder, len(own), *languages]))} |" in text
