"""One training from a system's recipe to the adapter in its folder."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rich.console import Console

from evalkit.data import Dataset
from evalkit.data.fingerprints import FILE as FINGERPRINTS
from evalkit.data.fingerprints import Fingerprints
from evalkit.data.loading import hash_examples
from evalkit.data.sources import shown_source
from evalkit.engines.chat import Chat, build_chat
from evalkit.engines.loading import Device, choose_device, choose_dtype, load_base, load_tokenizer
from evalkit.engines.spelling import check_spelling
from evalkit.engines.transformers_engine import TransformersEngine
from evalkit.environment import commit, machine, package_versions, peak_memory
from evalkit.errors import UserError
from evalkit.formats import Format, Normalisation
from evalkit.formats.base import empty_prompt
from evalkit.records import Example
from evalkit.tasks import Task
from evalkit.training.batches import TopicBatches
from evalkit.training.dev_accuracy import dev_accuracy
from evalkit.training.edits import row_names
from evalkit.training.encoding import encode_rows, label_weights, missing_values
from evalkit.training.keeping import KeepBatches, encode_general_rows
from evalkit.training.label_spaces import check_label_spaces
from evalkit.training.loss_plot import can_plot, plot_loss
from evalkit.training.places import PAIR
from evalkit.training.plan import Plan, plan_training
from evalkit.training.prefix_sharing import Row, SharedPrefixCollator
from evalkit.training.recipe import Recipe
from evalkit.training.rows import TrainingRows, prepare_rows
from evalkit.training.saving import save_adapter
from evalkit.training.topics import TAG, Topic, check_rows
from evalkit.training.trainer import Collator, TrainedAdapter, train_adapter
from evalkit.training.varying import VaryingCollator

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PROVENANCE_VERSION = 2
Card = Callable[[Mapping[str, Any], bool], str]
"""Provenance, and whether `loss.png` is there -> the text of `README.md`."""


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
    """`base` as system.toml gives it; is in the adapter's config."""
    base_folder: Path
    """Local folder of the base weights."""
    weights_sha256: str
    """Fingerprint of the base weights."""
    dataset: Dataset
    """The training rows, mapped to the task's labels."""
    repeats: Mapping[str, int] = field(default_factory=dict)
    """Example id -> how often it is seen in an epoch, where that is more than once."""
    dev: tuple[Example, ...] = ()
    """Rows to hold out, beside those split off."""
    sources: tuple[Mapping[str, Any], ...] = ()
    """What the provenance says of each source, where there are several."""
    topics: Mapping[str, Topic] | None = None
    """The topics that label spaces are drawn from."""
    normalize: Normalisation = "none"
    """What `format` does to inputs."""
    general: tuple[Mapping[str, str], ...] = ()
    """General prompts on which the base's behaviour is kept."""


def run_training(
    training: Training,
    card: Card,
    *,
    device: Device = "auto",
    restart: bool = False,
    console: Console,
) -> Path:
    """Train, write the adapter and what belongs beside it, and return the folder.

    A training that was interrupted goes on from its last checkpoint, unless `restart`. The
    checkpoints' folder is named by everything that decides the outcome, so a changed recipe,
    prompt or data set starts anew. Under torchrun, the first process writes.

    Raises:
        UserError: the recipe does not fit the task, the rows or the base, the training diverged,
            or the disk is full.
    """
    first = os.environ.get("RANK", "0") == "0"
    console = console if first else Console(quiet=True)
    training = _on_device(training, device)
    ready = _prepare(training, device, console)
    recipe, rows = training.recipe, ready.rows
    prompt_sha256 = ready.chat.prompt_sha256(empty_prompt(training.task, training.format))
    identity = _identity(training, prompt_sha256)
    checkpoints = training.folder / "checkpoints" / identity[:16]
    if restart and first:
        shutil.rmtree(checkpoints, ignore_errors=True)
    # What is checked out may change while a training runs; what was loaded does not.
    head, dirty = commit(training.folder)
    trained = train_adapter(
        ready.base,
        ready.chat.end_of_answer,
        ready.train,
        ready.dev,
        recipe,
        checkpoints,
        collate=ready.collate,
        topics=ready.topics,
        pairs=ready.pairs,
        lengths=ready.lengths,
        # Not what is there: another process may be quicker to look than this one to delete.
        resume=not restart,
        console=console,
    )
    if not first:
        return training.folder
    memory = peak_memory()
    trained.model.eval()
    engine = TransformersEngine(
        cast("PreTrainedModel", trained.model), ready.chat, batch_size=recipe.batch_size
    )
    accuracy = dev_accuracy(engine, training.task, training.format, rows.dev)
    for name, share in accuracy.items():
        console.print(f"{training.name}: dev accuracy of {name}: {100 * share:.1f}", markup=False)
    provenance = _provenance(training, trained, prompt_sha256, ready.base.device.type) | {
        "dev_accuracy": accuracy,
        "peak_memory": memory,
        "missing_values": missing_values(training.task, rows.train),
        "commit": head,
        "dirty": dirty,
        "rows": rows.counts(),
    }
    fingerprints = Fingerprints.of(rows.train, data_sha256=training.dataset.sha256)
    text = card(provenance, can_plot())
    beside: dict[str, Callable[[Path], object]] = {
        FINGERPRINTS: fingerprints.save,
        "README.md": lambda path: path.write_text(text, encoding="utf-8"),
    }
    if can_plot():
        beside["loss.png"] = partial(plot_loss, trained.curve, trained.dev_curve)
    else:
        console.print("loss.png is left out: matplotlib is not installed.")
    save_adapter(trained.model, training.base_name, provenance, training.folder, beside)
    shutil.rmtree(checkpoints)
    return training.folder


def plan(training: Training, *, device: Device = "auto", console: Console) -> Plan:
    """Say what a training would be, and measure one step of it; nothing is written.

    Raises:
        UserError: as `run_training`.
    """
    training = _on_device(training, device)
    ready = _prepare(training, device, console)
    pad_id = ready.chat.end_of_answer
    return plan_training(
        ready.base,
        pad_id,
        ready.train,
        ready.dev,
        training.recipe,
        collate=ready.collate,
        keep=ready.keep,
        lengths=ready.lengths,
    )


def _on_device(training: Training, device: Device) -> Training:
    """The training with the precision that it is computed in."""
    import torch

    dtype = choose_dtype(training.recipe.precision, choose_device(device))
    precision = "bf16" if dtype == torch.bfloat16 else "fp32"
    return replace(training, recipe=training.recipe.model_copy(update={"precision": precision}))


@dataclass(frozen=True)
class _Ready:
    """All that a training needs, in memory."""

    rows: TrainingRows
    chat: Chat
    base: PreTrainedModel
    train: list[Row]
    dev: list[Row]
    collate: Collator
    keep: KeepBatches | None
    topics: TopicBatches | None
    pairs: list[str | None] | None
    lengths: Callable[[int], Sequence[int]] | None


def _prepare(training: Training, device: Device, console: Console) -> _Ready:
    import torch

    task, fmt, recipe = training.task, training.format, training.recipe
    if recipe.labels:
        check_label_spaces(task, recipe.labels, training.topics)
    rows = prepare_rows(training.dataset, recipe, training.repeats, training.dev)
    seen = rows.seen
    if training.topics is not None:
        check_rows(seen, training.topics)
    console.print(f"{training.name}: {rows.describe()}", markup=False)
    if not rows.train:
        raise UserError(f"{training.dataset.source}: no rows are left to train on.")
    for name, values in missing_values(task, rows.train).items():
        console.print(
            f"No training row has {name} = {', '.join(map(str, values))}; the adapter will "
            "hardly ever answer so.",
            markup=False,
        )
    where = choose_device(device)
    if where.type == "cuda" and "LOCAL_RANK" in os.environ:
        where = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(where)
    chat = build_chat(load_tokenizer(training.base_folder))
    check_spelling(training.name, chat, task, fmt)
    weights = label_weights(task, recipe, seen)
    console.print(f"{training.name}: tokenising {len(seen):,} rows", markup=False)
    plain = SharedPrefixCollator(chat.end_of_answer, multiple=4 if where.type == "cpu" else 1)
    train = encode_rows(task, fmt, chat, seen, weights)
    keep = _keep_batches(training, chat, plain)
    varied = (
        VaryingCollator(
            seen,
            train,
            task,
            fmt,
            chat,
            recipe,
            plain,
            topics=training.topics,
            weights=weights,
            keep=keep,
        )
        if recipe.varies_rows
        else None
    )
    console.print(f"{training.name}: loading {training.base_name}", markup=False)
    base = load_base(
        training.base_folder,
        device=where,
        dtype=torch.bfloat16 if recipe.precision == "bf16" else torch.float32,
        quantization=recipe.quantization,
    )
    pairs = _pairs(recipe, seen)
    return _Ready(
        rows,
        chat,
        base,
        train,
        encode_rows(task, fmt, chat, rows.dev),
        varied or plain,
        keep,
        _topic_batches(training, seen, pairs),
        pairs,
        varied.lengths if varied and (recipe.noise or recipe.attacks) else None,
    )


def _keep_batches(
    training: Training, chat: Chat, collate: SharedPrefixCollator
) -> KeepBatches | None:
    keep = training.recipe.keep
    if keep is None:
        return None
    rows = encode_general_rows(training.general, chat, keep.tokens)
    if not rows:
        raise UserError(f"[recipe.keep] tokens: no prompt is shorter than {keep.tokens} tokens.")
    # Losses are summed over the micro-batches of a step, in all processes.
    parts = training.recipe.gradient_accumulation * int(os.environ.get("WORLD_SIZE", "1"))
    return KeepBatches(rows, keep, collate, keep.weight / parts)


def _pairs(recipe: Recipe, seen: Sequence[Example]) -> list[str | None] | None:
    """For each row its pair, each repeat of it apart; None where pairs are not asked for."""
    if not recipe.pairs:
        return None
    copies = [name.rpartition(" ")[2] for name in row_names(seen)]
    return [
        f"{row.tags[PAIR]} {copy}" if PAIR in row.tags else None
        for row, copy in zip(seen, copies, strict=True)
    ]


def _topic_batches(
    training: Training, seen: Sequence[Example], pairs: Sequence[str | None] | None
) -> TopicBatches | None:
    """Rows of a pair are left out: they stay together, under the task's own values."""
    spaces = training.recipe.labels
    if spaces is None or training.topics is None:
        return None
    of_row = [row.tags.get(TAG) for row in seen]
    if pairs is not None:
        of_row = [None if pair else topic for topic, pair in zip(of_row, pairs, strict=True)]
    return TopicBatches(of_row, training.topics, spaces)


def _identity(training: Training, prompt_sha256: str) -> str:
    recipe = training.recipe.model_dump(mode="json")
    if not recipe["hard_share"]:
        del recipe["hard_share"]  # it came later
    parts: dict[str, Any] = {
        "recipe": recipe,
        "base": training.weights_sha256,
        "data": training.dataset.sha256,
        "prompt": prompt_sha256,
        "format": training.format.name,
    }
    if training.normalize != "none":
        parts["normalize"] = training.normalize
    if not training.recipe.has_one_source:
        parts["repeats"] = dict(training.repeats)
    if training.dev:
        parts["dev"] = hash_examples(training.dev)
    if training.topics is not None:
        parts["topics"] = {name: topic.model_dump() for name, topic in training.topics.items()}
    if any(example.tags for example in training.dataset.examples):
        parts["tags"] = [dict(example.tags) for example in training.dataset.examples]
    if training.general:
        parts["general"] = [dict(row) for row in training.general]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _provenance(
    training: Training, trained: TrainedAdapter, prompt_sha256: str, device: str
) -> dict[str, Any]:
    source = training.dataset.source
    made_of = {"sources": [dict(s) for s in training.sources]} if training.sources else {}
    return made_of | {
        "schema": PROVENANCE_VERSION,
        "system": training.name,
        "task": training.task.name,
        "task_sha256": training.task.fingerprint,
        "format": training.format.name,
        "normalize": training.normalize,
        "prompt_sha256": prompt_sha256,
        "base": training.base_name,
        "weights_sha256": training.weights_sha256,
        # The hash below identifies the data.
        "data": ", ".join(part["data"] for part in training.sources) or shown_source(source),
        "data_sha256": training.dataset.sha256,
        "label_mappings": dict(training.dataset.label_mappings),
        "recipe": training.recipe.model_dump(mode="json"),
        "steps": trained.steps,
        "train_loss": round(trained.train_loss, 5),
        "dev_loss": None if trained.dev_loss is None else round(trained.dev_loss, 5),
        "loss_curve": [[step, round(loss, 5)] for step, loss in trained.curve],
        "dev_loss_curve": [[step, round(loss, 5)] for step, loss in trained.dev_curve],
        "seconds": round(trained.seconds, 1),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": device,
        "packages": package_versions(),
        "machine": machine(),
    }
