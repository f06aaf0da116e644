"""Examples -> adapter, with transformers' Trainer and PEFT."""

from __future__ import annotations

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

from evalkit.engines.chat import Chat
from evalkit.formats import Format
from evalkit.records import Example
from evalkit.tasks import Task
from evalkit.training.prefix_sharing import Row, SharedPrefixCollator, share_prefix
from evalkit.training.recipe import Recipe

LOG_STEPS = 10


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
        checkpoints: folder for Trainer's checkpoints, one an epoch and every 100 steps.
        resume: go on from the last checkpoint there, if there is one.
        console: where progress is shown.
    """
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
        save_steps=100,
        save_total_limit=1,
        logging_steps=LOG_STEPS,
        disable_tqdm=True,
        report_to="none",
        remove_unused_columns=False,
        dataloader_pin_memory=device.type == "cuda",
        train_sampling_strategy="group_by_length",
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=list(train),
        eval_dataset=list(dev) or None,
        data_collator=SharedPrefixCollator(pad_id),
        callbacks=[_ShowProgress(console or Console(stderr=True))],
    )
    # Trainer prints every log line as a dict; ours are shown by _ShowProgress.
    trainer.remove_callback(_printer())
    last = _last_checkpoint(checkpoints) if resume else None
    started = time.monotonic()
    done = trainer.train(resume_from_checkpoint=None if last is None else str(last))
    dev_loss = None
    if dev:
        dev_loss = next(
            e["eval_loss"] for e in reversed(trainer.state.log_history) if "eval_loss" in e
        )
    return TrainedAdapter(
        model=model,
        steps=done.global_step,
        train_loss=done.training_loss,
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
        config = trained.peft_config["default"]
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


def _with_warmup(schedule: str) -> str:
    return "constant_with_warmup" if schedule == "constant" else schedule


def _printer() -> type[TrainerCallback]:
    from transformers.trainer_callback import PrinterCallback

    return PrinterCallback


def _last_checkpoint(folder: Path) -> Path | None:
    from transformers.trainer_utils import get_last_checkpoint

    found = get_last_checkpoint(str(folder)) if folder.is_dir() else None
    return None if found is None else Path(found)


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

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop the bar."""
        self.bar.stop()
