"""evalkit's trainer against TRL's SFTTrainer and a plain Trainer, on the same model and rows.

    pip install trl
    python benchmarks/training.py --steps 10
    python benchmarks/training.py --precision fp32 --steps 5
    python benchmarks/training.py --device cuda --shape qwen3-0.6b --steps 200

LoRA of rank 16 on all linear layers, batches of 16, the loss on the answer alone, no packing.
Every side gets the same token ids in the same order and the same first adapter, and runs in a
process of its own, so that peak memory is its own. TRL runs as it comes (activation
checkpointing on) and with checkpointing off; its loss already skips the head where nothing is
learned. The rows come grouped by length, which spares the others padding they would have.

`of peak` is the matrix work that a batch with a shared prefix needs, per second, as a share of
the rate at which the machine multiplies large bf16 matrices.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from rich.console import Console
from transformers import (
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from evalkit.data import load_dataset
from evalkit.engines.chat import build_chat
from evalkit.engines.loading import choose_device, load_base, load_tokenizer, quiet_libraries
from evalkit.engines.matmul_rate import matmul_rate
from evalkit.environment import peak_memory
from evalkit.systems import load_system
from evalkit.training.batches import ByLength
from evalkit.training.encoding import encode_rows
from evalkit.training.prefix_sharing import IGNORED, Row, SharedPrefixCollator
from evalkit.training.recipe import SEVEN_LINEARS, LoraRecipe, Recipe
from evalkit.training.trainer import train_adapter
from shapes import SHAPES, random_model

SIDES = {
    "evalkit": "evalkit",
    "trl": "TRL SFTTrainer, as it comes",
    "trl-cheapest": "TRL SFTTrainer, no checkpointing",
    "plain": "plain Trainer",
}
BATCH = 16
RATE = 2e-4
PROTOCOL = 36_000
"""Rows of seed 002's protocol: 12,000, three times."""


class Losses(TrainerCallback):
    """The loss of every step."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any
    ) -> None:
        """Keep a step's loss."""
        if logs and "loss" in logs:
            self.losses.append(logs["loss"])


def load(options: argparse.Namespace) -> tuple[PreTrainedModel, list[Row], int]:
    """The base, as many rows as the steps take, and the padding's token id."""
    quiet_libraries()
    system = load_system("smollm2-3level")
    assert system.source is not None
    folder = system.source.locate()
    assert folder is not None, "evalkit fetch smollm2-3level"
    chat = build_chat(load_tokenizer(folder))
    examples = load_dataset(options.data, system.task).examples
    encoded = encode_rows(system.task, system.format, chat, examples)
    count = options.steps * BATCH
    rows = (encoded * (count // len(encoded) + 1))[:count]
    device = choose_device(options.device)
    dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32
    if options.shape == "smollm2":
        return load_base(folder, device=device, dtype=dtype), rows, chat.end_of_answer
    model: Any = random_model(options.shape, len(chat.tokenizer), chat.end_of_answer)
    return model.to(device=device, dtype=dtype), rows, chat.end_of_answer


def run_evalkit(options: argparse.Namespace) -> dict[str, float]:
    """Train with evalkit; returns seconds, the last step's loss and the matrix work."""
    base, rows, pad = load(options)
    work = matrix_work(base, rows)
    recipe = Recipe(
        data="benchmark",
        epochs=1,
        batch_size=BATCH,
        learning_rate=RATE,
        schedule="constant",
        warmup=0,
        precision=options.precision,
        lora=LoraRecipe(r=16, alpha=16),
    )
    with tempfile.TemporaryDirectory() as folder:
        from evalkit.training import trainer

        trainer.LOG_STEPS = 1
        quiet = Console(quiet=True)
        trained = train_adapter(base, pad, rows, (), recipe, Path(folder), console=quiet)
    return {"seconds": trained.seconds, "loss": trained.curve[-1][1], "work": work}


def run_peer(options: argparse.Namespace) -> dict[str, float]:
    """Train with one of the others; returns seconds and the last step's loss."""
    base, rows, pad = load(options)
    # The order that evalkit gives them.
    sampler = ByLength(rows, BATCH, seed=0)
    sampler.set_epoch(0)
    rows = [rows[place.row] for place in sampler]
    set_seed(0)
    lora = LoraConfig(
        r=16, lora_alpha=16, target_modules=list(SEVEN_LINEARS), task_type="CAUSAL_LM"
    )
    model = get_peft_model(base, lora)
    losses = Losses()
    with tempfile.TemporaryDirectory() as folder:
        arguments: dict[str, Any] = {
            "output_dir": folder,
            "per_device_train_batch_size": BATCH,
            "num_train_epochs": 1,
            "learning_rate": RATE,
            "lr_scheduler_type": "constant",
            "bf16": options.precision == "bf16",
            "use_cpu": base.device.type == "cpu",
            "train_sampling_strategy": "sequential",
            "logging_steps": 1,
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "dataloader_pin_memory": base.device.type == "cuda",
        }
        make = plain_trainer if options.side == "plain" else trl_trainer
        trainer = make(model, rows, pad, arguments, options.side)
        trainer.add_callback(losses)
        started = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - started
    return {"seconds": seconds, "loss": losses.losses[-1]}


def plain_trainer(
    model: Any, rows: list[Row], pad: int, arguments: dict[str, Any], side: str
) -> Trainer:
    """What the documentation shows: padded rows, and -100 on the prompt."""

    def collate(batch: Sequence[Row]) -> dict[str, torch.Tensor]:
        width = max(len(row["input_ids"]) for row in batch)
        ids = torch.full((len(batch), width), pad)
        labels = torch.full((len(batch), width), IGNORED)
        mask = torch.zeros((len(batch), width), dtype=torch.long)
        for index, row in enumerate(batch):
            end, start = len(row["input_ids"]), row["prompt_length"]
            ids[index, :end] = torch.tensor(row["input_ids"])
            labels[index, start:end] = ids[index, start:end]
            mask[index, :end] = 1
        return {"input_ids": ids, "labels": labels, "attention_mask": mask}

    return Trainer(
        model=model,
        args=TrainingArguments(**arguments, remove_unused_columns=False),
        train_dataset=rows,
        data_collator=collate,
    )


def trl_trainer(
    model: Any, rows: list[Row], pad: int, arguments: dict[str, Any], side: str
) -> Trainer:
    """TRL with tokenised rows and a mask over the answer."""
    from datasets import Dataset  # type: ignore[import-untyped]
    from trl import SFTConfig, SFTTrainer  # type: ignore[import-not-found]

    if side == "trl-cheapest":
        arguments["gradient_checkpointing"] = False
    masks = [
        [int(place >= row["prompt_length"]) for place in range(len(row["input_ids"]))]
        for row in rows
    ]
    ids = [row["input_ids"] for row in rows]
    system = load_system("smollm2-3level")
    assert system.source is not None
    folder = system.source.locate()
    assert folder is not None
    trainer: Trainer = SFTTrainer(
        model=model,
        args=SFTConfig(**arguments, completion_only_loss=True, max_length=None),
        train_dataset=Dataset.from_dict({"input_ids": ids, "completion_mask": masks}),
        processing_class=load_tokenizer(folder),
    )
    return trainer


def matrix_work(base: PreTrainedModel, rows: Sequence[Row]) -> float:
    """Floating-point operations of the matrix products of one epoch with shared prefixes."""
    linears = sum(
        module.weight.numel()
        for name, module in base.named_modules()
        if name.endswith(SEVEN_LINEARS)
    )
    head = int(base.get_output_embeddings().weight.numel())
    sampler = ByLength(rows, BATCH, seed=0)
    sampler.set_epoch(0)
    order = list(sampler)
    collate = SharedPrefixCollator(0)
    tokens = learned = 0
    for start in range(0, len(order), BATCH):
        batch = collate([rows[place.row] for place in order[start : start + BATCH]])
        tokens += batch["prefix_ids"].numel() + batch["input_ids"].numel()
        learned += int((batch["labels"] != IGNORED).sum())
    # A product forward and one backward, two operations each; the weights are frozen.
    return 4.0 * float(linears * tokens + head * learned)


def in_process(arguments: list[str], side: str) -> dict[str, Any] | str:
    """Run one side by itself; returns its numbers, or why there are none."""
    command = [sys.executable, __file__, *arguments, "--side", side]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    last = (done.stdout or done.stderr).strip().splitlines()[-1:]
    if done.returncode or not last:
        return f"failed: {(done.stderr.strip().splitlines() or ['no output'])[-1]}"
    numbers: dict[str, Any] = json.loads(last[0])
    return numbers


def main() -> None:
    """Run every side and print them under each other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--data", default="fixtures/notifications/test.jsonl")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda", "mps"])
    parser.add_argument("--precision", default="bf16", choices=["fp32", "bf16"])
    parser.add_argument("--shape", default="smollm2", choices=["smollm2", *SHAPES])
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=list(SIDES))
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        run: Callable[[argparse.Namespace], dict[str, float]] = (
            run_evalkit if options.side == "evalkit" else run_peer
        )
        numbers = run(options)
        sys.stdout.write(json.dumps(numbers | {"memory": peak_memory()}) + "\n")
        return
    show = Console(highlight=False, markup=False, soft_wrap=True).print
    device = choose_device(options.device)
    rate = matmul_rate(device)
    show(f"{options.shape} on {device.type}, {options.precision}, {options.steps} steps of {BATCH}")
    show(f"bf16 matrix products: {rate / 1e9:,.0f} GFLOP/s")
    show(f"{'':34} {'rows/s':>8} {'ratio':>6} {'peak GB':>8} {'last loss':>10} {'of peak':>8}")
    work: float | None = None
    fastest: float | None = None
    figures: dict[str, Any] = {"matmul_rate": rate, "rows": options.steps * BATCH}
    for side in options.sides:
        found = in_process(sys.argv[1:], side)
        if isinstance(found, str):
            show(f"{SIDES[side]:34} {found}")
            continue
        figures[side] = found
        speed = options.steps * BATCH / found["seconds"]
        work, fastest = found.get("work", work), fastest or speed
        share = f"{work / found['seconds'] / rate:8.0%}" if work else ""
        memory = found["memory"].get(device.type, found["memory"]["process"]) / 1e9
        show(
            f"{SIDES[side]:34} {speed:8.2f} {speed / fastest:6.2f} {memory:8.1f} "
            f"{found['loss']:10.5f} {share}"
        )
        if side == "evalkit":
            show(f"{'':34} {PROTOCOL:,} rows would take {PROTOCOL / speed / 60:,.1f} minutes")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
