"""One training from a system's recipe to the adapter in its folder."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from evalkit.data import Dataset
from evalkit.data.fingerprints import FILE as FINGERPRINTS
from evalkit.data.fingerprints import Fingerprints
from evalkit.engines.chat import build_chat
from evalkit.engines.loading import Device, choose_device, load_base, load_tokenizer
from evalkit.environment import commit, machine, package_versions
from evalkit.formats import Format
from evalkit.formats.base import empty_prompt
from evalkit.tasks import Task
from evalkit.training.recipe import Recipe
from evalkit.training.rows import prepare_rows
from evalkit.training.trainer import TrainedAdapter, encode_rows, save_adapter, train_adapter

PROVENANCE_VERSION = 1


@dataclass(frozen=True)
class Training:
    """What is to be trained, on what, and where the adapter goes."""

    name: str
    """The system's name."""
    folder: Path
    """Where `adapter_model.safetensors` and the files beside it are written."""
    task: Task
    format: Format
    recipe: Recipe
    base_name: str
    """`base` as system.toml gives it; stands in the adapter's config."""
    base_folder: Path
    """Local folder of the base weights."""
    weights_sha256: str
    """Fingerprint of the base weights."""
    dataset: Dataset
    """The training rows, mapped to the task's labels."""


def run_training(
    training: Training, *, device: Device = "auto", restart: bool = False, console: Console
) -> Path:
    """Train, write the adapter and its `provenance.json`, and return the folder.

    A training that was interrupted goes on from its last checkpoint, unless `restart`. The
    checkpoints' folder is named by everything that decides the outcome, so a changed recipe,
    prompt or data set starts anew.
    """
    import torch

    recipe = training.recipe
    prepared = prepare_rows(training.dataset, recipe)
    console.print(f"{training.name}: {prepared.describe()}", markup=False)

    where = choose_device(device)
    chat = build_chat(load_tokenizer(training.base_folder))
    rows = encode_rows(training.task, training.format, chat, prepared.train)
    dev_rows = encode_rows(training.task, training.format, chat, prepared.dev)
    base = load_base(
        training.base_folder,
        device=where,
        dtype=torch.bfloat16 if recipe.precision == "bf16" else torch.float32,
        quantization=recipe.quantization,
        # With a shared prefix the eager kernels train faster on a CPU (batches of 32: 6.1 rows/s
        # against 4.5): torch's flash attention for CPUs is slow backwards.
        attention="eager" if where.type == "cpu" else "sdpa",
    )
    prompt_sha256 = chat.prompt_sha256(empty_prompt(training.task, training.format))
    identity = _identity(training, prompt_sha256)
    checkpoints = training.folder / "checkpoints" / identity[:16]
    if restart:
        shutil.rmtree(checkpoints, ignore_errors=True)
    # What is checked out may change while a training runs; what was loaded does not.
    head, dirty = commit(training.folder)
    trained = train_adapter(
        base, chat.end_of_answer, rows, dev_rows, recipe, checkpoints, resume=True, console=console
    )
    provenance = _provenance(training, trained, prompt_sha256, where.type) | {
        "commit": head,
        "dirty": dirty,
        "rows": prepared.counts(),
    }
    # Before the weights: an adapter is never here without what tells its training rows.
    fingerprints = Fingerprints.of(prepared.train, data_sha256=training.dataset.sha256)
    fingerprints.save(training.folder / FINGERPRINTS)
    save_adapter(trained.model, training.base_name, provenance, training.folder)
    shutil.rmtree(checkpoints)
    return training.folder


def _identity(training: Training, prompt_sha256: str) -> str:
    parts = {
        "recipe": training.recipe.model_dump(mode="json"),
        "base": training.weights_sha256,
        "data": training.dataset.sha256,
        "prompt": prompt_sha256,
        "format": training.format.name,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _provenance(
    training: Training, trained: TrainedAdapter, prompt_sha256: str, device: str
) -> dict[str, Any]:
    source = training.dataset.source
    return {
        "schema": PROVENANCE_VERSION,
        "system": training.name,
        "task": training.task.name,
        "task_sha256": training.task.fingerprint,
        "format": training.format.name,
        "prompt_sha256": prompt_sha256,
        "base": training.base_name,
        "weights_sha256": training.weights_sha256,
        # A local path says nothing elsewhere; the hash below identifies the data.
        "data": source if source.startswith("hf:") else Path(source).name,
        "data_sha256": training.dataset.sha256,
        "label_mappings": dict(training.dataset.label_mappings),
        "recipe": training.recipe.model_dump(mode="json"),
        "steps": trained.steps,
        "train_loss": round(trained.train_loss, 5),
        "dev_loss": None if trained.dev_loss is None else round(trained.dev_loss, 5),
        "seconds": round(trained.seconds, 1),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": device,
        "packages": package_versions(),
        "machine": machine(),
    }
