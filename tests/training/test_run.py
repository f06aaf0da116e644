"""`run_training` end to end, with a tiny base folder."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from evalkit.data import Dataset
from evalkit.data.fingerprints import load_fingerprints
from evalkit.data.loading import hash_examples
from evalkit.data.overlap import Kind
from evalkit.engines.building import EngineOptions
from evalkit.engines.pool import build_engine
from evalkit.formats import get_format
from evalkit.formats.base import empty_prompt
from evalkit.records import Example
from evalkit.reports.card.text import training_card
from evalkit.systems import load_system
from evalkit.tasks import Task, load_task
from evalkit.training import run as run_module
from evalkit.training import trainer as trainer_module
from evalkit.training.recipe import LoraRecipe, Recipe
from evalkit.training.run import PROVENANCE_VERSION, Training, run_training
from evalkit.weights import weights_fingerprint
from tiny_models import save_base

TASK = load_task("intents")
NOISE = {
    "trained_sha256",
    "seconds",
    "finished",
    "train_loss",
    "dev_loss",
    "loss_curve",
    "dev_loss_curve",
}
NOISE |= {"dev_accuracy", "peak_memory", "trained_sha256"}
"""What differs from run to run, or follows from everything else."""


def examples(count: int) -> tuple[Example, ...]:
    labels = [str(label) for label in TASK.fields["intents"].labels]
    return tuple(
        Example(
            f"r{n}",
            {"prompt": f"{labels[n % 6]} {'abcdefghijkl'[n]}"},
            {"intents": (labels[n % 6],)},
        )
        for n in range(count)
    )


def dataset_of(rows: tuple[Example, ...], **changes: Any) -> Dataset:
    plain = Dataset("/home/someone/rows.jsonl", rows, (), {}, hash_examples(rows), ())
    return dataclasses.replace(plain, **changes)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tmp_path_factory.mktemp("secret") / "base", layers=1)


@pytest.fixture
def training(base: Path, tmp_path: Path) -> Training:
    return Training(
        name="tiny",
        folder=tmp_path / "adapters" / "tiny",
        task=TASK,
        format=get_format("labels", TASK),
        recipe=Recipe(
            data="rows.jsonl",
            dev_rows=2,
            epochs=1,
            batch_size=8,
            precision="fp32",
            lora=LoraRecipe(r=2, alpha=4, targets=("q_proj", "v_proj")),
        ),
        base_name="hf:Tiny/Model",
        base_folder=base,
        weights_sha256=weights_fingerprint(base),
        dataset=dataset_of(examples(12)),
    )


def change(training: Training, folder: str = "other", /, **changes: Any) -> Training:
    """Train elsewhere, with something else."""
    return dataclasses.replace(training, folder=training.folder.parent / folder, **changes)


def recipe(training: Training, **changes: Any) -> Recipe:
    return training.recipe.model_copy(update=changes)


def train(training: Training, **options: Any) -> dict[str, Any]:
    """Train and return the provenance."""
    shown = io.StringIO()
    console = Console(file=shown, width=200)
    folder = run_training(training, training_card, device="cpu", console=console, **options)
    assert folder == training.folder
    provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    return provenance | {"shown": shown.getvalue()}


def weights(training: Training) -> bytes:
    return (training.folder / "adapter_model.safetensors").read_bytes()


@pytest.fixture
def unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask no adapter the dev rows and plot nothing: both take longer than the training."""
    monkeypatch.setattr(run_module, "dev_accuracy", lambda *_, **__: {})
    monkeypatch.setattr(run_module, "can_plot", lambda: False)


def test_an_adapter_and_where_it_comes_from(training: Training, tmp_path: Path):
    written = train(training)
    files = {path.name for path in training.folder.rglob("*") if path.is_file()}
    assert files == {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "contamination.bin",
        "loss.png",
        "provenance.json",
    }
    fingerprints = load_fingerprints(training.folder / "contamination.bin")
    assert fingerprints.data_sha256 == training.dataset.sha256
    assert fingerprints.rows == 10
    matches = fingerprints.match(training.dataset.examples)
    assert sum(m is not None and m.kind is Kind.EXACT for m in matches) == 10
    expected = {
        "schema": PROVENANCE_VERSION,
        "system": "tiny",
        "task": "intents",
        "task_sha256": TASK.fingerprint,
        "format": "labels",
        "base": "hf:Tiny/Model",
        "weights_sha256": training.weights_sha256,
        "data": "rows.jsonl",
        "data_sha256": training.dataset.sha256,
        "label_mappings": {},
        "recipe": training.recipe.model_dump(mode="json"),
        "steps": 2,
        "device": "cpu",
        "commit": None,
        "dirty": None,
    }
    assert {key: written[key] for key in expected} == expected
    rows = {"read": 12, "duplicates_dropped": 0, "trained_on": 10, "dev": 2}
    assert rows.items() <= written["rows"].items()
    assert written["train_loss"] > 0
    assert written["dev_loss"] > 0
    assert written["packages"]["torch"]
    assert written["loss_curve"] == [[2, written["train_loss"]]]
    assert written["dev_loss_curve"] == [[2, written["dev_loss"]]]
    assert written["peak_memory"]["process"] > 1e8
    assert set(written["dev_accuracy"]) == {"intents", "all"}
    card = (training.folder / "README.md").read_text()
    assert "# tiny" in card
    assert "base_model: Tiny/Model" in card
    assert "10 rows trained on" in card
    assert (training.folder / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert "tiny: 10 rows to train on, 2 held out for dev, 0 exact duplicates" in written["shown"]


def test_no_path_of_this_machine_is_written(training: Training, base: Path, tmp_path: Path):
    train(training)
    for path in training.folder.rglob("*"):
        if path.is_file():
            for secret in (str(base), base.parent.name, str(tmp_path), "/home/someone"):
                assert secret.encode() not in path.read_bytes(), path.name


def test_the_adapter_answers_as_it_was_taught(training: Training, base: Path):
    written = train(training)
    (training.folder / "system.toml").write_text(
        f'task = "intents"\nformat = "labels"\nbase = "{base}"\n'
    )
    engine = build_engine(load_system(training.folder), EngineOptions(device="cpu"))
    asked = engine.prompt_sha256(empty_prompt(TASK, training.format))
    assert asked == written["prompt_sha256"]


@pytest.mark.usefixtures("unasked")
def test_the_same_seed_gives_the_same_bytes(training: Training):
    train(training)
    train(again := change(training))
    train(other := change(training, "seeded", recipe=recipe(training, seed=1)))
    assert weights(training) == weights(again) != weights(other)


def task_of(**changes: str) -> Task:
    return Task.model_validate(TASK.model_dump() | changes)


CHANGES: dict[str, tuple[Callable[[Training], dict[str, Any]], set[str]]] = {
    "nothing": (lambda _: {}, set()),
    "name": (lambda _: {"name": "small"}, {"system"}),
    "task": (lambda _: {"task": task_of(instruction="Sort it.")}, {"task_sha256", "prompt_sha256"}),
    "task name": (
        lambda _: {"task": task_of(name="wishes")},
        {"task", "task_sha256"},
    ),
    "format": (lambda _: {"format": get_format("json", TASK)}, {"format", "prompt_sha256"}),
    "normalize": (
        lambda _: {"normalize": "nfkc", "format": get_format("labels", TASK, normalize="nfkc")},
        {"normalize"},
    ),
    "recipe": (lambda t: {"recipe": recipe(t, learning_rate=1e-3)}, {"recipe"}),
    "epochs": (lambda t: {"recipe": recipe(t, epochs=2)}, {"recipe", "steps"}),
    "rows": (
        lambda t: {"recipe": recipe(t, rows=6)},
        {"recipe", "rows", "steps", "missing_values"},
    ),
    "seed": (lambda t: {"recipe": recipe(t, seed=7)}, {"recipe", "rows"}),
    "base": (lambda _: {"base_name": "../model"}, {"base"}),
    "weights": (lambda _: {"weights_sha256": "0" * 64}, {"weights_sha256"}),
    "data": (
        lambda _: {"dataset": dataset_of(examples(11))},
        {"data_sha256", "rows"},
    ),
    "source": (
        lambda t: {"dataset": dataclasses.replace(t.dataset, source="hf:owner/name:train")},
        {"data"},
    ),
    "mapping": (
        lambda t: {"dataset": dataclasses.replace(t.dataset, label_mappings={"intents": "x"})},
        {"label_mappings"},
    ),
    "duplicates": (
        lambda t: {
            "dataset": dataset_of((*examples(12), dataclasses.replace(examples(1)[0], id="z")))
        },
        {"data_sha256", "rows"},
    ),
}


@pytest.mark.usefixtures("unasked")
def test_every_field_of_the_provenance_changes_with_what_it_names(
    training: Training, monkeypatch: pytest.MonkeyPatch
):
    first = train(training)
    weights = training.folder / "adapter_model.safetensors"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert first["trained_sha256"] == {weights.name: digest}
    seen: set[str] = set()
    for name, (make, expected) in CHANGES.items():
        other = train(change(training, f"other {name}", **make(training)))
        changed = {key for key in first if first[key] != other[key]} - NOISE - {"shown"}
        assert changed == expected, name
        seen |= changed
    for key in ("commit", "package_versions", "machine"):
        made = {"commit": ("abc", True), "package_versions": {"torch": "0"}, "machine": {"m": "0"}}
        monkeypatch.setattr(run_module, key, lambda *_, said=made[key]: said)
    other = train(change(training, "elsewhere"))
    changed = {key for key in first if first[key] != other[key]} - NOISE - {"shown"}
    assert changed == {"commit", "dirty", "packages", "machine"}
    assert set(first) - seen - changed - NOISE - {"shown"} == {"schema", "device"}


@pytest.mark.usefixtures("unasked")
@pytest.mark.parametrize(("fast", "precision"), [(True, "bf16"), (False, "fp32")])
def test_it_is_computed_in_what_the_machine_is_fast_at(
    training: Training, fast: bool, precision: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: fast)
    written = train(change(training, recipe=recipe(training, precision="auto")))
    assert written["recipe"]["precision"] == precision


@pytest.mark.usefixtures("unasked")
def test_contradicting_labels_are_reported(training: Training):
    one, two, three = examples(3)
    others = ({"intents": ("payment",)}, {"intents": ("none",)})
    contradicting = tuple(
        dataclasses.replace(one, id=f"x{n}", labels=labels) for n, labels in enumerate(others)
    )
    rows = (one, two, *contradicting, three)
    written = train(change(training, dataset=dataset_of(rows), recipe=recipe(training, dev_rows=0)))
    assert "1 inputs are in the data with different labels; the first label" in written["shown"]
    assert written["rows"]["duplicates_dropped"] == 2
    assert (written["rows"]["trained_on"], written["dev_loss"]) == (3, None)

    kept = recipe(training, dev_rows=0, deduplicate=False)
    written = train(change(training, "kept", dataset=dataset_of(rows), recipe=kept))
    assert "different labels" not in written["shown"]
    assert written["rows"]["trained_on"] == 5


# Interruptions


def checkpoints_of(training: Training, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Path:
    """Interrupt a training at once; return where its checkpoints would be."""
    found = []

    def stop(*given: Any, resume: bool, **_: Any) -> None:
        assert resume is not options.get("restart", False)
        found.append(given[5])
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(run_module, "train_adapter", stop)
        with pytest.raises(KeyboardInterrupt):
            run_training(
                training,
                training_card,
                device="cpu",
                console=Console(file=io.StringIO()),
                **options,
            )
    (folder,) = found
    assert isinstance(folder, Path)
    return folder


def test_a_training_resumes_only_what_is_the_same(
    training: Training, monkeypatch: pytest.MonkeyPatch
):
    first = checkpoints_of(training, monkeypatch)
    assert first == checkpoints_of(training, monkeypatch)
    assert first.parent == training.folder / "checkpoints"
    decisive = {
        "task",
        "format",
        "normalize",
        "recipe",
        "epochs",
        "rows",
        "seed",
        "weights",
        "data",
    }
    for name, (make, _) in CHANGES.items():
        changed = dataclasses.replace(training, **make(training))
        same = checkpoints_of(changed, monkeypatch) == first
        assert same == (name not in decisive | {"duplicates"}), name


def test_restart_forgets_the_checkpoints(training: Training, monkeypatch: pytest.MonkeyPatch):
    left = checkpoints_of(training, monkeypatch) / "checkpoint-100"
    left.mkdir(parents=True)
    checkpoints_of(training, monkeypatch)
    assert left.is_dir()
    checkpoints_of(training, monkeypatch, restart=True)
    assert not left.is_dir()


@pytest.mark.usefixtures("unasked")
def test_an_interrupted_training_ends_as_if_nothing_had_been(
    training: Training, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(trainer_module, "SAVE_STEPS", 6)
    monkeypatch.setattr(trainer_module, "LOG_STEPS", 2)
    long = change(training, "long", recipe=recipe(training, epochs=2, batch_size=2))
    train(long)
    cut = change(long, "cut")

    class Interrupted(trainer_module.ShowProgress):
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 8:
                raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(trainer_module, "ShowProgress", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(cut)
    assert not (cut.folder / "adapter_model.safetensors").exists()
    assert list(cut.folder.glob("checkpoints/*/checkpoint-6"))
    written = train(cut)
    assert written["steps"] == 10
    assert weights(cut) == weights(long)
    assert not [path for path in cut.folder.rglob("*") if "checkpoint-" in path.name]
