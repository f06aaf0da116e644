"""How a training shows itself to whoever waits."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class ShowProgress(TrainerCallback):
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
            if not self.console.is_terminal and state.global_step % (5 * args.logging_steps) == 0:
                self.console.print(
                    f"training: step {state.global_step}/{state.max_steps}, loss {logs['loss']:.4f}"
                )
        if "eval_loss" in logs:
            self.console.print(f"epoch {state.epoch:.2f}: dev loss {logs['eval_loss']:.4f}")
