"""One training from a baseline's recipe to the file in its folder."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from evalkit.data import Dataset, duplicate_groups
from evalkit.data.fingerprints import FILE as FINGERPRINTS
from evalkit.data.fingerprints import Fingerprints
from evalkit.data.sources import shown_source
from evalkit.engines.baseline import BaselineModel
from evalkit.engines.embeddings import Embeddings
from evalkit.engines.majority import fit_majority
from evalkit.engines.tfidf import Hashing, TfidfModel, fit_tfidf
from evalkit.engines.tuning import Settings
from evalkit.environment import commit, machine, package_versions
from evalkit.formats import Format
from evalkit.records import Example
from evalkit.tasks import Task
from evalkit.training.edits import edit, row_names
from evalkit.training.recipe import RowsRecipe, TfidfRecipe
from evalkit.training.rows import prepare_rows
from evalkit.weights.cache import hash_file

PROVENANCE_VERSION = 1


@dataclass(frozen=True)
class BaselineTraining:
    """What is to be trained, on what, and where it goes."""

    name: str
    """The system's name."""
    file: Path
    """What is written; `provenance.json` and the fingerprints go beside it."""
    task: Task
    format: Format
    """How its answers are written, which forged ones imitate."""
    recipe: RowsRecipe
    """A `TfidfRecipe`, or one of rows alone: the majority."""
    dataset: Dataset
    """The training rows, mapped to the task's labels."""
    repeats: Mapping[str, int] = field(default_factory=dict)
    """Example id -> how often it counts, where that is more than once."""
    dev: tuple[Example, ...] = ()
    """Rows to hold out, beside those split off."""
    base: str | None = None
    """Where its embeddings come from, as `base` of its system.toml has it."""
    embeddings: Embeddings | None = None
    sources: tuple[Mapping[str, Any], ...] = ()
    """What the provenance says of each source, where there are several."""


def train_baseline(training: BaselineTraining, *, console: Console) -> dict[str, Any]:
    """Train, write the baseline and what belongs beside it, and return its provenance.

    Raises:
        UserError: the development split does not fit the rows.
    """
    task, recipe, dataset = training.task, training.recipe, training.dataset
    rows = prepare_rows(dataset, recipe, training.repeats, training.dev)
    console.print(f"{training.name}: {rows.describe()}", markup=False)
    started = time.monotonic()
    model: BaselineModel
    edited: dict[int, Example] = {}
    if isinstance(recipe, TfidfRecipe):
        hashing = Hashing(
            recipe.words,
            recipe.characters,
            recipe.hash_bits,
            name_weight=recipe.name_weight,
        )
        plain = rows.seen
        edited = _edited(plain, recipe, task, training.format)
        if edited:
            console.print(
                f"{training.name}: {len(edited):,} of them once more, edited", markup=False
            )
        groups = duplicate_groups(plain)
        model = fit_tfidf(
            task,
            [*plain, *edited.values()],
            hashing,
            c=recipe.c,
            class_weight=recipe.class_weight,
            # However it is edited, a row is no other case than the one it was.
            groups=[*groups, *(groups[place] for place in edited)],
            embeddings=training.embeddings,
        )
        for name, settings in model.settings.items():
            console.print(f"{training.name}: {name}: {settings.describe()}", markup=False)
    else:
        model = fit_majority(task, rows.seen)
    seconds = time.monotonic() - started
    accuracy = _accuracy(model, task, rows.dev)
    for name, value in accuracy.items():
        console.print(f"{training.name}: dev accuracy of {name}: {100 * value:.1f}", markup=False)
    head, dirty = commit(training.file.parent)
    made_of: dict[str, Any] = (
        {"sources": [dict(s) for s in training.sources]} if training.sources else {}
    )
    if training.embeddings:
        made_of |= {"base": training.base, **training.embeddings.identity}
    provenance = made_of | {
        "schema": PROVENANCE_VERSION,
        "system": training.name,
        "engine": model.describe()["engine"],
        "task": task.name,
        "task_sha256": task.fingerprint,
        # The hash below identifies the data.
        "data": ", ".join(part["data"] for part in training.sources)
        or shown_source(dataset.source),
        "data_sha256": dataset.sha256,
        "label_mappings": dict(dataset.label_mappings),
        "recipe": recipe.model_dump(mode="json"),
        "fits": {name: found.content() for name, found in _settings(model).items()},
        "rows": rows.counts() | ({"edited": len(edited)} if edited else {}),
        "dev_accuracy": {name: round(value, 4) for name, value in accuracy.items()},
        "seconds": round(seconds, 1),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "packages": package_versions(),
        "machine": machine(),
        "commit": head,
        "dirty": dirty,
    }
    fingerprints = Fingerprints.of(rows.train, data_sha256=dataset.sha256)
    return _save(model, provenance, fingerprints, training.file)


def _edited(
    rows: Sequence[Example], recipe: TfidfRecipe, task: Task, fmt: Format
) -> dict[int, Example]:
    """The rows for which noise or an attack is drawn, by their places."""
    found = {
        place: edit(row, name, 0, task, fmt, recipe)
        for place, (row, name) in enumerate(zip(rows, row_names(rows), strict=True))
    }
    return {place: row for place, row in found.items() if row is not rows[place]}


def _settings(model: BaselineModel) -> Mapping[str, Settings]:
    """How each field's regression was fitted; of a majority there is none."""
    return model.settings if isinstance(model, TfidfModel) else {}


def _accuracy(model: BaselineModel, task: Task, rows: Sequence[Example]) -> dict[str, float]:
    """Field name -> share of right values, and `all` -> of rows with no wrong one."""
    if not rows:
        return {}
    answers = model.answer([row.inputs for row in rows])
    right = [
        {name: answer.labels[name] == row.labels[name] for name in task.fields}
        for row, answer in zip(rows, answers, strict=True)
    ]
    found = {name: sum(row[name] for row in right) / len(rows) for name in task.fields}
    return found | {"all": sum(all(row.values()) for row in right) / len(rows)}


def _save(
    model: BaselineModel, provenance: dict[str, Any], fingerprints: Fingerprints, file: Path
) -> dict[str, Any]:
    """Write everything aside and move it in, the baseline last: without it, none is here.

    Returns the provenance with the hash of what was trained.
    """
    making = file.parent / f".making-{os.getpid()}"
    # A killed process may have left it, and process ids come again.
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    try:
        model.save(making / file.name)
        fingerprints.save(making / FINGERPRINTS)
        trained = {file.name: hash_file(making / file.name)}
        provenance = {**provenance, "trained_sha256": trained}
        text = json.dumps(provenance, indent=2, ensure_ascii=False) + "\n"
        (making / "provenance.json").write_text(text, encoding="utf-8")
        file.unlink(missing_ok=True)
        for name in ("provenance.json", FINGERPRINTS, file.name):
            (making / name).replace(file.with_name(name))
    finally:
        shutil.rmtree(making)
    return provenance
