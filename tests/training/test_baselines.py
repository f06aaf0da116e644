"""`train_baseline` on rows made up here."""

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
from evalkit.engines.building import EngineOptions
from evalkit.engines.pool import build_engine
from evalkit.engines.tfidf import fit_tfidf
from evalkit.formats import get_format
from evalkit.records import Example
from evalkit.systems import load_system
from evalkit.tasks import Task, load_task
from evalkit.training import baselines as module
from evalkit.training.baselines import PROVENANCE_VERSION, BaselineTraining, train_baseline
from evalkit.training.recipe import RowsRecipe, TfidfRecipe
from evalkit.training.rows import prepare_rows

TASK = load_task("intents")
WORDS = {"payment": "支付账单", "inventory": "库存数量", "none": "天气不错"}
NOISE = {"trained_sha256", "seconds", "finished"}


def examples(count: int) -> tuple[Example, ...]:
    return tuple(
        Example(
            f"r{n}",
            {"prompt": f"{list(WORDS.values())[n % 3]}{chr(ord('一') + n)}"},
            {"intents": (label,)},
        )
        for n in range(count)
        for label in [list(WORDS)[n % 3]]
    )


def dataset_of(rows: tuple[Example, ...], **changes: Any) -> Dataset:
    plain = Dataset("/home/someone/rows.jsonl", rows, (), {}, hash_examples(rows), ())
    return dataclasses.replace(plain, **changes)


def tfidf(**changes: Any) -> TfidfRecipe:
    keys = {"data": "rows.jsonl", "dev_rows": 6, "hash_bits": 8}
    keys |= {"c": 100.0, "class_weight": "balanced"}
    return TfidfRecipe.model_validate(keys | changes)


@pytest.fixture
def training(tmp_path: Path) -> BaselineTraining:
    """A TF-IDF baseline."""
    folder = tmp_path / "adapters" / "small"
    folder.mkdir(parents=True)
    return BaselineTraining(
        name="small",
        file=folder / "baseline.safetensors",
        task=TASK,
        format=get_format("json", TASK),
        recipe=tfidf(),
        dataset=dataset_of(examples(30)),
    )


def change(training: BaselineTraining, folder: str, /, **changes: Any) -> BaselineTraining:
    """Train elsewhere, with something else."""
    file = training.file.parents[1] / folder / changes.pop("file", training.file.name)
    file.parent.mkdir(parents=True)
    return dataclasses.replace(training, file=file, **changes)


def majority(training: BaselineTraining) -> BaselineTraining:
    recipe = RowsRecipe(data="rows.jsonl", dev_rows=6)
    return change(training, "majority", file="baseline.json", recipe=recipe)


def train(training: BaselineTraining) -> dict[str, Any]:
    """Train and return the provenance as written."""
    given = train_baseline(training, console=Console(file=io.StringIO()))
    written = json.loads((training.file.parent / "provenance.json").read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(given))
    assert isinstance(written, dict)
    return written


def test_a_baseline_and_where_it_comes_from(training: BaselineTraining) -> None:
    written = train(training)
    names = {path.name for path in training.file.parent.iterdir()}
    assert names == {"baseline.safetensors", "contamination.bin", "provenance.json"}
    expected = {
        "schema": PROVENANCE_VERSION,
        "system": "small",
        "engine": "tfidf",
        "task": "intents",
        "task_sha256": TASK.fingerprint,
        "data": "rows.jsonl",
        "data_sha256": training.dataset.sha256,
        "label_mappings": {},
        "recipe": training.recipe.model_dump(mode="json"),
        "fits": {"intents": {"c": 100.0, "class_weight": "balanced", "cv_accuracy": None}},
        "dev_accuracy": {"intents": 1.0, "all": 1.0},
        "commit": None,
        "dirty": None,
    }
    assert {key: written[key] for key in expected} == expected
    rows = {"read": 30, "duplicates_dropped": 0, "trained_on": 24, "dev": 6}
    assert rows.items() <= written["rows"].items()
    assert written["packages"]["scikit-learn"]


def test_edited_rows_stand_beside_those_as_they_are(
    training: BaselineTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[list[Example], list[int]]] = []

    def fit(task: Task, rows: list[Example], *args: Any, groups: list[int], **more: Any) -> Any:
        seen.append((rows, groups))
        return fit_tfidf(task, rows, *args, groups=groups, **more)

    monkeypatch.setattr(module, "fit_tfidf", fit)
    recipe = tfidf(attacks={"share": 0.5}, noise={"share": 1.0, "kinds": ["emoji"]})
    written = train(dataclasses.replace(training, recipe=recipe))
    ((rows, groups),) = seen
    plain, edited = rows[:24], rows[24:]
    assert written["rows"]["edited"] == len(edited) == 24, "an emoji goes into every row"
    for copy, group in zip(edited, groups[24:], strict=True):
        (place,) = (n for n, row in enumerate(plain) if row.id == copy.id)
        assert copy.labels == plain[place].labels
        assert copy.inputs != plain[place].inputs
        assert group == groups[place], "cross-validation would find the answer in another fold"
    longer = [row for row in edited if len(row.inputs["prompt"]) > 20]
    assert 0 < len(longer) < 24, "half of them hold an attack"
    train(change(training, "again", recipe=recipe))
    assert seen[1] == seen[0], "the same each time"


def test_what_the_recipe_leaves_open_is_chosen_and_recorded(training: BaselineTraining) -> None:
    written = train(dataclasses.replace(training, recipe=tfidf(c=None, class_weight=None)))
    fit = written["fits"]["intents"]
    assert (fit["c"], fit["class_weight"], fit["cv_accuracy"]) == (1.0, "balanced", 1.0)
    assert (written["recipe"]["c"], written["recipe"]["class_weight"]) == (None, None)


def test_the_fingerprints_are_those_of_the_rows_trained_on(training: BaselineTraining) -> None:
    train(training)
    rows = prepare_rows(training.dataset, training.recipe)
    fingerprints = load_fingerprints(training.file.with_name("contamination.bin"))
    assert (fingerprints.rows, fingerprints.data_sha256) == (24, training.dataset.sha256)
    assert all(fingerprints.match(rows.train))


def test_nothing_written_holds_a_text_or_a_path(training: BaselineTraining, tmp_path: Path) -> None:
    train(training)
    train(other := majority(training))
    for path in (*training.file.parent.iterdir(), *other.file.parent.iterdir()):
        for secret in (*WORDS.values(), "支付", str(tmp_path), "/home/someone"):
            assert secret.encode() not in path.read_bytes(), path.name


def test_the_same_rows_give_the_same_bytes(training: BaselineTraining) -> None:
    train(training)
    train(again := change(training, "again"))
    train(other := change(training, "seeded", recipe=tfidf(seed=1)))
    assert training.file.read_bytes() == again.file.read_bytes() != other.file.read_bytes()


def test_a_majority_and_where_it_comes_from(training: BaselineTraining) -> None:
    more = (Example(f"m{x}", {"prompt": x}, {"intents": ("none",)}) for x in "abcdefghij")
    rows = (*examples(30), *more)
    most = dataclasses.replace(majority(training), dataset=dataset_of(rows))
    written = train(most)
    said = json.loads(most.file.read_text())
    trained_on = prepare_rows(most.dataset, most.recipe).train
    share = sum(row.labels["intents"] == ("none",) for row in trained_on) / 34
    assert (said["answer"], said["share"]) == ({"intents": ["none"]}, {"intents": share})
    assert written["engine"] == "majority"
    assert set(written["recipe"]) == set(RowsRecipe.model_fields)
    assert (most.file.parent / "contamination.bin").is_file()


def test_without_dev_rows_there_is_no_accuracy(training: BaselineTraining) -> None:
    written = train(dataclasses.replace(training, recipe=tfidf(dev_rows=0)))
    assert written["dev_accuracy"] == {}


@pytest.mark.parametrize("engine", ["tfidf", "majority"])
def test_what_was_trained_answers(training: BaselineTraining, engine: str) -> None:
    made = training if engine == "tfidf" else majority(training)
    train(made)
    (made.file.parent / "system.toml").write_text(
        f'task = "intents"\nformat = "labels"\nengine = "{engine}"\n'
    )
    built = build_engine(load_system(made.file.parent), EngineOptions())
    assert built.describe()["engine"] == engine


CHANGES: dict[str, tuple[Callable[[BaselineTraining], dict[str, Any]], set[str]]] = {
    "nothing": (lambda _: {}, set()),
    "name": (lambda _: {"name": "tiny"}, {"system"}),
    "task": (
        lambda _: {"task": Task.model_validate(TASK.model_dump() | {"name": "wishes"})},
        {"task", "task_sha256"},
    ),
    "recipe": (lambda _: {"recipe": tfidf(hash_bits=9)}, {"recipe"}),
    "rows": (lambda _: {"recipe": tfidf(rows=20)}, {"recipe", "rows"}),
    "engine": (
        lambda _: {"recipe": RowsRecipe(data="rows.jsonl", dev_rows=6)},
        {"recipe", "engine", "fits", "dev_accuracy"},
    ),
    "data": (lambda _: {"dataset": dataset_of(examples(29))}, {"data_sha256", "rows"}),
    "source": (
        lambda t: {"dataset": dataclasses.replace(t.dataset, source="hf:owner/name:train")},
        {"data"},
    ),
    "mapping": (
        lambda t: {"dataset": dataclasses.replace(t.dataset, label_mappings={"intents": "x"})},
        {"label_mappings"},
    ),
}


def test_every_field_of_the_provenance_changes_with_what_it_names(
    training: BaselineTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train(training)
    weights = training.file
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert first["trained_sha256"] == {weights.name: digest}
    seen: set[str] = set()
    for name, (make, expected) in CHANGES.items():
        other = train(change(training, f"other {name}", **make(training)))
        changed = {key for key in first if first[key] != other[key]} - NOISE
        assert changed == expected, name
        seen |= changed
    for key in ("commit", "package_versions", "machine"):
        made = {"commit": ("abc", True), "package_versions": {"numpy": "0"}, "machine": {"m": "0"}}
        monkeypatch.setattr(module, key, lambda *_, said=made[key]: said)
    other = train(change(training, "elsewhere"))
    changed = {key for key in first if first[key] != other[key]} - NOISE
    assert changed == {"commit", "dirty", "packages", "machine"}
    assert set(first) - seen - changed - NOISE == {"schema"}


def test_a_failed_training_leaves_what_was_there(
    training: BaselineTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(training)
    before = {path.name: path.read_bytes() for path in training.file.parent.iterdir()}

    def fail(*_: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(module.Fingerprints, "save", fail)
    with pytest.raises(OSError, match="no space"):
        train(dataclasses.replace(training, recipe=tfidf(seed=5)))
    assert {path.name: path.read_bytes() for path in training.file.parent.iterdir()} == before
