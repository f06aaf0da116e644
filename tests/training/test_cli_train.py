"""`evalkit train`: what the command line adds to a recipe."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from evalkit.cli.train import changed, changed_recipe, train
from evalkit.errors import UserError
from evalkit.systems import load_system, missing_parts
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
    draw = random.Random(0)
    rows = [
        {"id": str(n), "prompt": f"{word} {draw.randbytes(12).hex()}", "output": [word]}
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


def test_a_dry_run_says_what_would_be_and_writes_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(project)
    before = sorted(project.rglob("*"))
    train("tiny", device="cpu", dry_run=True, change=["batch_size=2"])
    shown = capsys.readouterr()
    assert "steps     5" in shown.out
    begun = ["loading torch and", "10 rows to", "tokenising 10 rows", "loading ../../base"]
    places = [" ".join(shown.err.split()).find(f"tiny: {line}") for line in begun]
    assert places == sorted(places), shown.err
    assert places[0] == 0
    assert "No training row has intents = order_management, user_auth" in shown.err
    assert sorted(project.rglob("*")) == before


def test_a_changed_recipe_is_what_is_recorded(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(project)
    train("tiny", device="cpu", resume=True, change=["lora.r=2", "seed=5"])
    provenance = json.loads((project / "adapters/tiny/provenance.json").read_text())
    assert (provenance["recipe"]["lora"]["r"], provenance["recipe"]["seed"]) == (2, 5)
    assert provenance["missing_values"] == {
        "intents": ["order_management", "user_auth", "notification"]
    }


def test_what_is_trained_may_lie_elsewhere_and_is_a_system_there(
    project: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(project)
    before = sorted((project / "adapters").rglob("*"))
    train("tiny", device="cpu", change=["lora.r=2"], out_folder=Path("tries/one"))
    made = load_system("tries/one")
    assert (made.name, made.is_trained, missing_parts(made)) == ("one", True, [])
    assert made.source is not None
    assert made.source.locate() == (project / "base").resolve()
    assert json.loads((made.folder / "provenance.json").read_text())["recipe"]["lora"]["r"] == 2
    lock = project / "adapters/tiny/checkpoints"
    assert [path for path in before if not path.is_relative_to(lock)] == [
        path for path in sorted((project / "adapters").rglob("*")) if not path.is_relative_to(lock)
    ]


def test_a_fault_is_blamed_on_what_has_it(tmp_path: Path) -> None:
    """And not on the file, where a change on the command line has it."""
    toml = tmp_path / "system.toml"
    head = 'task = "intents"\nformat = "labels"\nengine = "ENGINE"\nbase = "x"\n[recipe]\n'

    def blamed(said: str, engine: str, change: str) -> str:
        table = head.replace("ENGINE", engine) + said
        toml.write_text(table.replace('base = "x"\n', "") if engine == "tfidf" else table)
        with pytest.raises(UserError) as error:
            changed_recipe(load_system(tmp_path), [change])
        return str(error.value).partition(", [recipe]")[0]

    for engine, key in (("transformers", "epochs"), ("tfidf", "c")):
        assert blamed('data = "x"', engine, f"{key}=banana") == f"--set {key}=banana"
        assert blamed(f'data = "x"\n{key} = "x"', engine, "rows=2") == str(toml)
    toml.write_text(head.replace("ENGINE", "transformers") + "epochs = 1")
    assert changed_recipe(load_system(tmp_path), ["data=x.jsonl"]).data == "x.jsonl"


def test_a_faulty_change_is_a_users_mistake(project: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(project)
    with pytest.raises(UserError, match=r"unknown key 'lora\.rank'"):
        train("tiny", change=["lora.rank=8"])
    with pytest.raises(UserError, match="contradict each other"):
        train("tiny", resume=True, restart=True)
