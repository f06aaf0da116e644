"""The training rows that rows repeat are named where they are at hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from evalkit.data import Fingerprints, load_dataset
from evalkit.data.loading import join_datasets
from evalkit.records import Example
from evalkit.runs.twins import training_twins
from evalkit.systems import load_system

TEXTS = (
    "a parcel waits at the counter until six tonight",
    "the build of the main branch is red again",
    "half price on all shoes until sunday evening",
)
SYSTEM = 'task = "notifications-3level"\nformat = "json"\nengine = "tfidf"\n[recipe]\ndata = '


def write(path: Path, texts: Sequence[str]) -> None:
    rows = [
        {
            "id": f"t{number}",
            "notification": {"app": "Mail", "title": "News", "body": text},
            "classification": {"folder": "Work", "priority": 1},
        }
        for number, text in enumerate(texts)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def twins(folder: Path, asked: Sequence[Example], sha256: str) -> dict[str, str]:
    """Those of what fingerprints of all three texts find."""
    system = load_system(folder)
    write(folder.parent / "known.jsonl", TEXTS)
    known = load_dataset(str(folder.parent / "known.jsonl"), system.task)
    seen = Fingerprints.of(known.examples).match(asked)
    return training_twins(system, asked, seen, sha256)


@pytest.mark.parametrize(
    ("named", "names"),
    [
        ('"one.jsonl"', {"t0": "one.jsonl: t2", "t2": "one.jsonl: t1"}),
        ('["two.jsonl", "one.jsonl"]', {"t0": "one.jsonl: t2", "t2": "two.jsonl: t0"}),
    ],
)
def test_twins_have_a_file_and_an_id(tmp_path: Path, named: str, names: dict[str, str]) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "system.toml").write_text(f"{SYSTEM}{named}\n")
    texts = {"one.jsonl": TEXTS[::-1], "two.jsonl": TEXTS[1:2]}
    for name, content in texts.items():
        write(folder / name, content)
    task = load_system(folder).task
    asked_texts = (
        TEXTS[0],
        "nothing of the kind was ever seen here",
        TEXTS[1].replace("red", "green"),
    )
    write(tmp_path / "asked.jsonl", asked_texts)
    asked = load_dataset(str(tmp_path / "asked.jsonl"), task).examples
    listed = json.loads(f"[{named}]") if named.startswith('"') else json.loads(named)
    trained = join_datasets([load_dataset(str(folder / name), task) for name in listed])
    assert twins(folder, asked, trained.sha256) == names
    # Rows that have changed since are not those that it was trained on.
    assert twins(folder, asked, "0" * 64) == {}
    (folder / "one.jsonl").unlink()
    assert twins(folder, asked, trained.sha256) == {}
