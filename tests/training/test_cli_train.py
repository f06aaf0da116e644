"""`evalkit train`: what the command line adds to a recipe."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evalkit.cli.train import changed
from evalkit.errors import UserError
from tiny_models import save_base

RECIPE = {"data": "rows.jsonl", "epochs": 3, "lora": {"r": 16, "alpha": 16}}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("lora.r=8", {"lora": {"r": 8, "alpha": 16}}),
        ("epochs = 0.5", {"epochs": 0.5}),
        ("learning_rate=2e-4", {"learning_rate": 2e-4}),
        ('lora.targets=["q_proj"]', {"lora": {"r": 16, "alpha": 16, "targets": ["q_proj"]}}),
        ("schedule=linear", {"schedule": "linear"}),
        ('schedule="linear"', {"schedule": "linear"}),
        ("deduplicate=false", {"deduplicate": False}),
        ("augment.field=folder", {"augment": {"field": "folder"}}),
        ("data=a=b.jsonl", {"data": "a=b.jsonl"}),
    ],
)
def test_one_key_changes_and_the_rest_stays(change: str, expected: dict[str, Any]):
    before = json.dumps(RECIPE)
    assert changed(RECIPE, [change]) == RECIPE | expected
    assert json.dumps(RECIPE) == before


def test_later_changes_win():
    assert changed(RECIPE, ["epochs=1", "epochs=2"])["epochs"] == 2
    assert changed(RECIPE, []) == RECIPE


@pytest.mark.parametrize("change", ["lora.r", "=8", "lora.=8", ""])
def test_what_is_no_change_is_refused(change: str):
    with pytest.raises(UserError, match="--set takes KEY=VALUE"):
        changed(RECIPE, [change])


def test_a_key_inside_a_value_is_refused():
    with pytest.raises(UserError, match="'epochs' is not a table"):
        changed(RECIPE, ["epochs.r=8"])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    save_base(folder / "base", layers=1)
    rows = [
        {"id": str(n), "prompt": f"{word} {n}", "output": [word]}
        for n, word in enumerate(["payment", "inventory", "none"] * 4)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "rows.jsonl").write_text(lines)
    system = folder / "adapters" / "tiny"
    system.mkdir(parents=True)
    (system / "system.toml").write_text(
        'task = "intents"\nformat = "labels"\nbase = "../../base"\n\n'
        '[recipe]\ndata = "rows.jsonl"\ndev_rows = 2\nepochs = 1\nprecision = "fp32"\n'
    )
    return folder


def train(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from evalkit.cli import main; main()", "train", "tiny", *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_dry_run_says_what_would_be_and_writes_nothing(project: Path):
    before = sorted(project.rglob("*"))
    done = train(project, "--dry-run", "--device", "cpu", "--set", "batch_size=2")
    assert done.returncode == 0, done.stderr
    assert "steps     5" in done.stdout
    assert "No training row has intents = order_management, user_auth" in done.stderr
    assert sorted(project.rglob("*")) == before


def test_a_changed_recipe_is_what_is_recorded(project: Path):
    done = train(project, "--device", "cpu", "--resume", "--set", "lora.r=2", "--set", "seed=5")
    assert done.returncode == 0, done.stderr
    provenance = json.loads((project / "adapters/tiny/provenance.json").read_text())
    assert (provenance["recipe"]["lora"]["r"], provenance["recipe"]["seed"]) == (2, 5)
    assert provenance["missing_values"] == {
        "intents": ["order_management", "user_auth", "notification"]
    }


def test_a_faulty_change_is_a_users_mistake(project: Path):
    done = train(project, "--set", "lora.rank=8")
    assert done.returncode == 4
    assert "unknown key 'lora.rank'" in done.stderr
