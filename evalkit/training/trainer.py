"""Examples -> adapter, with transformers' Trainer and PEFT."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import save_file
from transformers import (
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_pt_utils import LengthGroupedSampler

from evalkit.engines.chat import Chat
from evalkit.errors import UserError, did_you_mean
from evalkit.formats import Format
from evalkit.records import Example
from evalkit.tasks import Task
from evalkit.training.fused_lora import fuse_lora
from evalkit.training.prefix_sharing import Row, SharedPrefixCollator, share_prefix
from evalkit.training.recipe import Recipe

LOG_STEPS = 10
SAVE_STEPS = 100
"""Between checkpoints; a multiple of LOG_STEPS, so that no loss is lost between two logs."""


@dataclass(frozen=True)
class TrainedAdapter:
    """A trained adapter in memory, and how its training went."""

    model: PeftModel
    steps: int
    train_loss: float
    """Mean over all steps, in nats per answer token."""
    dev_loss: float | None
    """After the last step; None without dev rows."""
    seconds: float
    """Wall-clock, from the start or the last interruption."""


def encode_rows(task: Task, fmt: Format, chat: Chat, examples: Sequence[Example]) -> list[Row]:
    """Examples -> token ids, with the renderer and chat template that inference uses."""
    rows = []
    for example in examples:
        prompt = chat.encode_prompt(fmt.prompt(task, example.inputs))
        answer = chat.encode_answer(fmt.render(task, example.labels, example.inputs))
        rows.append(Row(input_ids=prompt + answer, prompt_length=len(prompt)))
    return rows


def train_adapter(
    base: PreTrainedModel,
    pad_id: int,
    train: Sequence[Row],
    dev: Sequence[Row],
    recipe: Recipe,
    checkpoints: Path,
    *,
    resume: bool = False,
    console: Console | None = None,
) -> TrainedAdapter:
    """Train a LoRA adapter on completion tokens only.

    Args:
        base: the base model, on its device; its weights are not changed.
        pad_id: token id that fills the right side of a micro-batch.
        train: rows to learn from.
        dev: rows to watch the loss on, once an epoch; may be empty.
        recipe: how.
        checkpoints: folder for Trainer's checkpoints, one every 100 steps and after the last.
        resume: go on from the last checkpoint there, if there is one.
        console: where progress is shown.

    Raises:
        UserError: the recipe adapts a layer that the base does not have.
    """
    _check_targets(base, recipe.lora.targets)
    set_seed(recipe.seed)
    share_prefix(base)
    if recipe.quantization == "nf4":
        # What peft's helper for 4-bit bases does, less its casting of every embedding to fp32.
        base.requires_grad_(False)
    model = get_peft_model(
        base,
        LoraConfig(
            r=recipe.lora.r,
            lora_alpha=recipe.lora.alpha,
            lora_dropout=recipe.lora.dropout,
            target_modules=list(recipe.lora.targets),
            task_type="CAUSAL_LM",
        ),
    )
    fuse_lora(model)
    device = next(base.parameters()).device
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        seed=recipe.seed,
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=recipe.batch_size,
        gradient_accumulation_steps=recipe.gradient_accumulation,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.schedule if recipe.warmup == 0 else _with_warmup(recipe.schedule),
        warmup_steps=recipe.warmup,
        weight_decay=recipe.weight_decay,
        bf16=recipe.precision == "bf16",
        optim="adamw_8bit" if recipe.optimizer == "adamw-8bit" else "adamw_torch",
        use_cpu=device.type == "cpu",
        eval_strategy="epoch" if dev else "no",
        save_strategy="steps",
        save_steps=SAVE_STEPS,
        save_total_limit=1,
        logging_steps=LOG_STEPS,
        disable_tqdm=True,
        report_to="none",
        remove_unused_columns=False,
        dataloader_pin_memory=device.type == "cuda",
    )
    # Trainer would spread a micro-batch over several devices with DataParallel, which cuts
    # `prefix_ids` to pieces as if they were rows.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    progress = _ShowProgress(console or Console(stderr=True))
    trainer = _Trainer(
        model=model,
        args=arguments,
        train_dataset=list(train),
        eval_dataset=list(dev) or None,
        data_collator=SharedPrefixCollator(pad_id),
        callbacks=[progress],
    )
    # Trainer prints every log line as a dict; ours are shown by _ShowProgress.
    trainer.remove_callback(_printer())
    last = _last_checkpoint(checkpoints) if resume else None
    started = time.monotonic()
    try:
        done = trainer.train(resume_from_checkpoint=None if last is None else str(last))
        dev_loss = _dev_loss(trainer) if dev else None
    finally:
        # A bar that is left running hides the terminal's cursor.
        progress.bar.stop()
    return TrainedAdapter(
        model=model,
        steps=done.global_step,
        train_loss=_mean_loss(trainer.state),
        dev_loss=dev_loss,
        seconds=time.monotonic() - started,
    )


def save_adapter(
    trained: PeftModel, base_name: str, provenance: Mapping[str, Any], folder: Path
) -> None:
    """Write an adapter as peft reads it, in bf16, with its provenance; whole or not at all.

    Three files are made in a folder beside and moved in one by one, the weights last: an
    adapter counts as here only when its weights are.
    """
    making = folder / f".making-{os.getpid()}"
    # A killed process may have left it, and process ids come again.
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    try:
        weights = get_peft_model_state_dict(trained, save_embedding_layers=False)
        save_file(
            {
                name: w.detach().to("cpu", torch.bfloat16).contiguous()
                for name, w in weights.items()
            },
            making / "adapter_model.safetensors",
            metadata={"format": "pt"},
        )
        config = copy.copy(trained.peft_config["default"])
        config.inference_mode = True
        # peft writes the local path of the base here; a shelf's folder must mean the same
        # everywhere.
        config.base_model_name_or_path = base_name
        config.save_pretrained(str(making))
        text = json.dumps(provenance, indent=2, ensure_ascii=False) + "\n"
        (making / "provenance.json").write_text(text, encoding="utf-8")
        (folder / "adapter_model.safetensors").unlink(missing_ok=True)
        for name in ("adapter_config.json", "provenance.json", "adapter_model.safetensors"):
            (making / name).replace(folder / name)
    finally:
        shutil.rmtree(making)


def _check_targets(base: PreTrainedModel, targets: Sequence[str]) -> None:
    """Refuse names that peft would leave out without a word where others are found."""
    layers = [name for name, _ in base.named_modules()]
    for target in targets:
        if not any(f".{layer}".endswith(f".{target}") for layer in layers):
            raise UserError(
                f"[recipe.lora] targets: the base has no layer '{target}'."
                + did_you_mean(target, {layer.rpartition(".")[2] for layer in layers})
            )


class _ByLength(LengthGroupedSampler):
    """Rows of similar length together, in an order that the seed and the epoch alone decide.

    Trainer's own order is drawn anew in the middle of an epoch that is resumed, which then goes
    through some rows twice and through others not at all.
    """

    def __init__(self, rows: Sequence[Row], batch_size: int, seed: int) -> None:
        super().__init__(batch_size, lengths=[len(row["input_ids"]) for row in rows])
        self.seed = seed

    def set_epoch(self, epoch: int) -> None:
        """Called by Trainer before each epoch."""
        self.generator = torch.Generator().manual_seed(self.seed + epoch)


class _Trainer(Trainer):
    def _get_train_sampler(self, train_dataset: Any = None) -> _ByLength:
        rows: Any = self.train_dataset if train_dataset is None else train_dataset
        step = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return _ByLength(rows, step, self.args.seed)


def _with_warmup(schedule: str) -> str:
    return "constant_with_warmup" if schedule == "constant" else schedule


def _printer() -> type[TrainerCallback]:
    from transformers.trainer_callback import PrinterCallback

    return PrinterCallback


def _last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint.

    Trainer writes the state last. From a checkpoint without one it would silently start again
    at step 0, with weights that are already trained.
    """
    whole: dict[int, Path] = {}
    for state in folder.glob("checkpoint-*/trainer_state.json"):
        with contextlib.suppress(ValueError):
            whole[json.loads(state.read_text(encoding="utf-8"))["global_step"]] = state.parent
    return whole[max(whole)] if whole else None


def _dev_loss(trainer: Trainer) -> float:
    """The last evaluation, made up for where an interruption came between training and it."""
    logged = [entry for entry in trainer.state.log_history if "eval_loss" in entry]
    if not logged or logged[-1]["step"] < trainer.state.global_step:
        return float(trainer.evaluate()["eval_loss"])
    return float(logged[-1]["eval_loss"])


def _mean_loss(state: TrainerState) -> float:
    """The mean over all steps; Trainer's own counts those since the last interruption."""
    total, before = 0.0, 0
    for entry in state.log_history:
        if "loss" in entry:
            total += entry["loss"] * (entry["step"] - before)
            before = int(entry["step"])
    return total / before


class _ShowProgress(TrainerCallback):
    """A bar on a terminal, a line every so often elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar = Progress(
            TextColumn("training"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f} steps, loss {task.fields[loss]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    def on_train_begin(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        """Start the bar where training starts (a later step when resumed)."""
        self.task = self.bar.add_task(
            "", total=state.max_steps, completed=state.global_step, loss="-"
        )
        self.bar.start()

    def on_step_end(
        self, args: Any, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        """Log the last step too, so that the losses logged are those of all steps."""
        control.should_log |= state.global_step >= state.max_steps
        return control

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Show the latest loss."""
        if logs is None:
            return
        if "loss" in logs:
            self.bar.update(self.task, completed=state.global_step, loss=f"{logs['loss']:.4f}")
            if not self.console.is_terminal and state.global_step % (5 * LOG_STEPS) == 0:
                self.console.print(
                    f"training: step {state.global_step}/{state.max_steps}, loss {logs['loss']:.4f}"
                )
        if "eval_loss" in logs:
            self.console.print(f"epoch {state.epoch:.2f}: dev loss {logs['eval_loss']:.4f}")
