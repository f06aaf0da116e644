"""Rows -> adapter, with transformers' Trainer and PEFT."""

from __future__ import annotations

import importlib.util
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from rich.console import Console
from torch.utils.data import DataLoader
from transformers import (
    EarlyStoppingCallback,
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainerState,
    TrainingArguments,
    set_seed,
)

from evalkit.console import LegibleConsole
from evalkit.errors import UserError, did_you_mean
from evalkit.training.batches import ByLength, PlacedRows, TokenBatches, TopicBatches
from evalkit.training.checkpoints import explain_full_disk, last_checkpoint
from evalkit.training.fused_lora import fuse_lora
from evalkit.training.hard_rows import fill_slots, rate_rows, remember
from evalkit.training.prefix_sharing import Row, SharedPrefixCollator, divisor_of, share_prefix
from evalkit.training.progress import ShowProgress
from evalkit.training.recipe import Recipe

LOG_STEPS = 10
SAVE_STEPS = 100
"""Between checkpoints; a multiple of LOG_STEPS, so that no loss is lost between two logs."""
KEPT_CHECKPOINTS = 2
"""One more than is needed, in case the newest cannot be read."""

Collator = Callable[[Sequence[Row]], dict[str, torch.Tensor]]


@dataclass(frozen=True)
class TrainedAdapter:
    """A trained adapter in memory, and how its training went."""

    model: PeftModel
    steps: int
    train_loss: float
    """Mean over all steps, in nats per answer token; with what `keep` adds."""
    dev_loss: float | None
    """Of the weights that are kept; None without dev rows."""
    seconds: float
    """Wall-clock, from the start or the last interruption."""
    curve: tuple[tuple[int, float], ...]
    """(step, mean loss since the step before)."""
    dev_curve: tuple[tuple[int, float], ...]
    """(step, dev loss)."""


def build_adapter(base: PreTrainedModel, recipe: Recipe) -> PeftModel:
    """Put an untrained adapter on a base that shares prefixes from now on.

    Raises:
        UserError: the recipe adapts a layer that the base does not have, or the base's
            architecture cannot share prefixes.
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
            use_rslora=recipe.lora.rslora,
            use_dora=recipe.lora.dora,
            target_modules=list(recipe.lora.targets),
            task_type="CAUSAL_LM",
        ),
    )
    assert isinstance(model, PeftModel)
    fuse_lora(model)
    return model


def train_adapter(
    base: PreTrainedModel,
    pad_id: int,
    train: Sequence[Row],
    dev: Sequence[Row],
    recipe: Recipe,
    checkpoints: Path,
    *,
    collate: Collator | None = None,
    topics: TopicBatches | None = None,
    pairs: Sequence[str | None] | None = None,
    lengths: Callable[[int], Sequence[int]] | None = None,
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
        checkpoints: folder for Trainer's checkpoints, one every 100 steps and after the last
            (with early stopping, after every epoch).
        collate: rows -> micro-batch; a `SharedPrefixCollator` by default.
        topics: which rows come together for the sake of their topics.
        pairs: for each row a name that it shares with those it comes together with.
        lengths: epoch -> tokens of each row in it, where edits make that another number.
        resume: go on from the last checkpoint there, if there is one.
        console: where progress is shown.

    Raises:
        UserError: the recipe does not fit the base or the rows, the training diverged, or the disk
            is full.
    """
    _check_loggers(recipe)
    model = build_adapter(base, recipe)
    device = next(base.parameters()).device
    stops_early = recipe.early_stopping is not None
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        seed=recipe.seed,
        num_train_epochs=recipe.epochs,
        max_steps=recipe.max_steps or -1,
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
        save_strategy="epoch" if stops_early else "steps",
        save_steps=SAVE_STEPS,
        save_total_limit=KEPT_CHECKPOINTS,
        load_best_model_at_end=stops_early,
        metric_for_best_model="eval_loss" if stops_early else None,
        restore_callback_states_from_checkpoint=stops_early,
        logging_steps=LOG_STEPS,
        # It would put the mean so far in the place of a loss that is not a number.
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to=list(recipe.report_to) or "none",
        remove_unused_columns=False,
        dataloader_pin_memory=device.type == "cuda",
        # Every adapter weight has a gradient at every step.
        ddp_find_unused_parameters=False,
        ddp_backend="gloo" if device.type == "cpu" and "RANK" in os.environ else None,
    )
    # Trainer would spread a micro-batch over several devices with DataParallel, which cuts
    # `prefix_ids` to pieces as if they were rows.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    if recipe.tokens_per_batch and arguments.world_size > 1:
        raise UserError(
            "[recipe] tokens_per_batch: batches of different numbers of rows cannot be shared "
            "out over processes. Use batch_size, or one process."
        )
    if recipe.hard_share and arguments.world_size > 1:
        raise UserError("[recipe] hard_share is for one process. Leave it out, or use one.")
    progress = ShowProgress(console or LegibleConsole(stderr=True))
    callbacks: list[TrainerCallback] = [progress]
    if recipe.early_stopping is not None:
        callbacks.append(EarlyStoppingCallback(recipe.early_stopping))
    plain = SharedPrefixCollator(pad_id)
    trainer = _Trainer(
        recipe,
        dev,
        collate or plain,
        topics,
        pairs,
        lengths,
        plain,
        model=model,
        args=arguments,
        train_dataset=PlacedRows(train),
        callbacks=callbacks,
    )
    # Trainer prints every log line as a dict; ours are shown by ShowProgress.
    trainer.remove_callback(_printer())
    last = last_checkpoint(checkpoints) if resume else None
    started = time.monotonic()
    try:
        with explain_full_disk(checkpoints):
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
        curve=_logged(trainer.state, "loss"),
        dev_curve=_logged(trainer.state, "eval_loss"),
    )


def _check_targets(base: PreTrainedModel, targets: Sequence[str]) -> None:
    """Refuse names that peft would leave out without a word where others are found."""
    layers = [name for name, _ in base.named_modules()]
    for target in targets:
        if not any(f".{layer}".endswith(f".{target}") for layer in layers):
            raise UserError(
                f"[recipe.lora] targets: the base has no layer '{target}'."
                + did_you_mean(target, {layer.rpartition(".")[2] for layer in layers})
            )


class _Trainer(Trainer):
    """Trainer with our batches and our divisor."""

    def __init__(
        self,
        recipe: Recipe,
        dev: Sequence[Row],
        collate: Collator,
        topics: TopicBatches | None,
        pairs: Sequence[str | None] | None,
        lengths: Callable[[int], Sequence[int]] | None,
        plain: SharedPrefixCollator,
        **arguments: Any,
    ) -> None:
        super().__init__(eval_dataset=list(dev) or None, data_collator=collate, **arguments)
        self.recipe = recipe
        self.collate = collate
        # By length, so that little is padding.
        self.dev = sorted(dev, key=lambda row: len(row["input_ids"]))
        self.topics = topics
        self.pairs = pairs
        self.lengths = lengths
        self.plain = plain
        self.order: ByLength | None = None

    def get_train_dataloader(self) -> DataLoader[Row]:
        """Batches of so many tokens where the recipe asks for them."""
        tokens = self.recipe.tokens_per_batch
        if tokens is None:
            return super().get_train_dataloader()
        rows: Any = self.train_dataset
        loader: DataLoader[Row] = DataLoader(
            rows,
            batch_sampler=TokenBatches(rows.rows, tokens, self.args.seed),
            collate_fn=self.data_collator,
            pin_memory=self.args.dataloader_pin_memory,
        )
        prepared: DataLoader[Row] = self.accelerator.prepare(loader)
        return prepared

    def _get_train_sampler(self, train_dataset: Any = None) -> ByLength:
        rows: Any = self.train_dataset if train_dataset is None else train_dataset
        # Rows of one step, over all processes: two processes take the rows of one with
        # batches twice as large.
        size = self.args.train_batch_size
        step = size * self.args.gradient_accumulation_steps * self.args.world_size
        self.order = ByLength(
            rows.rows, step, self.args.seed, size, self.topics, self.pairs, self.lengths
        )
        return self.order

    def _run_epoch(self, model: Any, epoch: int, *given: Any, **named: Any) -> None:
        # Trainer does not reach the sampler in an epoch that several processes resume: they
        # would go through the first epoch's order again, and nothing says so.
        if self.order is not None:
            self.order.set_epoch(epoch)
            if self.recipe.hard_share and epoch:
                kept = Path(str(self.args.output_dir)) / f"hard-{epoch}.json"
                self.order.fill(remember(kept, self._hard_slots))
        super()._run_epoch(model, epoch, *given, **named)  # type: ignore[no-untyped-call]

    def _hard_slots(self) -> list[int]:
        model: Any = self.model
        rows: Any = self.train_dataset
        model.eval()
        with self.compute_loss_context_manager():
            base, size = model.get_base_model(), self.args.per_device_eval_batch_size
            rated = rate_rows(base, rows.rows, self.plain, size)
        model.train()
        return fill_slots(rated, self.recipe.hard_share)

    def training_step(self, *given: Any, **named: Any) -> torch.Tensor:
        """One micro-batch; a loss that is not finite ends the training before the step is made."""
        loss = super().training_step(*given, **named)
        if not torch.isfinite(loss):
            raise self._diverged(f"the loss became {float(loss)}")
        return loss

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        # The last step may have spoilt weights that no loss has been computed with yet.
        for name, weight in self.model.named_parameters():  # type: ignore[union-attr]
            if weight.requires_grad and not torch.isfinite(weight).all():
                raise self._diverged(f"the weight {name} became NaN or infinite")
        super()._save_checkpoint(model, trial)

    def _diverged(self, what: str) -> UserError:
        kept = last_checkpoint(Path(str(self.args.output_dir)))
        return UserError(
            f"The training diverged: {what} after {self.state.global_step} steps. No adapter was "
            "written. "
            + (f"The last checkpoint that is sound is {kept}. " if kept else "")
            + "Lower learning_rate or raise warmup in [recipe]; where batches are in 16 bits, "
            'precision = "fp32" may help.'
        )

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """The loss per answer token of all dev rows, in every process alike.

        Trainer's is a mean of the batches' means, which depends on how they are cut.
        """
        model, collate, device = self.model, self.collate, self.args.device
        assert model is not None
        model.eval()
        total = divisor = 0.0
        size = self.args.per_device_eval_batch_size
        for start in range(0, len(self.dev), size):
            batch = collate(self.dev[start : start + size])
            here = {name: tensor.to(device) for name, tensor in batch.items()}
            weight = float(divisor_of(batch))
            with torch.no_grad(), self.compute_loss_context_manager():
                total += float(model(**here).loss) * weight
            divisor += weight
        model.train()
        if not math.isfinite(total):
            raise self._diverged(f"the dev loss became {total}")
        metrics = {"eval_loss": total / divisor}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def _get_num_items_in_batch(
        self, batch_samples: list[Any], device: torch.device
    ) -> torch.Tensor | None:
        """Tokens, or their weights, of all micro-batches of a step, over all processes."""
        if not batch_samples:
            return None
        divisor = torch.stack([divisor_of(batch) for batch in batch_samples]).sum().to(device)
        if self.args.world_size > 1:
            divisor = self.accelerator.gather(divisor).sum()
        return divisor


def _with_warmup(schedule: str) -> str:
    return "constant_with_warmup" if schedule == "constant" else schedule


def _printer() -> type[TrainerCallback]:
    from transformers.trainer_callback import PrinterCallback

    return PrinterCallback


def _check_loggers(recipe: Recipe) -> None:
    for name in recipe.report_to:
        if importlib.util.find_spec(name) is None:
            raise UserError(
                f"[recipe] report_to: '{name}' is not installed here. Install it "
                f"(pip install {name}), or leave it out."
            )


def _dev_loss(trainer: Trainer) -> float:
    """The dev loss of the weights that are kept.

    The last evaluation's; made up for where an interruption came between training and it.
    """
    if trainer.args.load_best_model_at_end and trainer.state.best_metric is not None:
        return float(trainer.state.best_metric)
    logged = _logged(trainer.state, "eval_loss")
    if not logged or logged[-1][0] < trainer.state.global_step:
        return float(trainer.evaluate()["eval_loss"])
    return logged[-1][1]


def _logged(state: TrainerState, name: str) -> tuple[tuple[int, float], ...]:
    return tuple(
        (int(entry["step"]), float(entry[name])) for entry in state.log_history if name in entry
    )


def _mean_loss(state: TrainerState) -> float:
    """The mean over all steps; Trainer's own counts those since the last interruption."""
    total, before = 0.0, 0
    for step, loss in _logged(state, "loss"):
        total += loss * (step - before)
        before = step
    return total / before
