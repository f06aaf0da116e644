"""A tiny training in a process of its own, alone or as one of several."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Mapping
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

from forked import forking
from ports import reserved_port
from tiny_models import VOCABULARY

END = 399


def toy_rows(count: int) -> list[Any]:
    """The last prompt token decides the answer; before it stand a prefix and some noise.

    Answers are of two lengths, so that a mean of means would not be the mean.
    """
    noise = random.Random(3)
    rows = []
    for number in range(count):
        kind = number % 3
        prompt = [*range(20, 32), *(noise.randrange(VOCABULARY) for _ in range(number % 4)), kind]
        answer = [100 + kind, 110 - kind, END][: 3 - (number % 5 == 0)]
        rows.append({"input_ids": [*prompt, *answer], "prompt_length": len(prompt)})
    return rows


def run_processes(
    folder: Path,
    processes: int = 1,
    kill_at: int | None = None,
    keep: float = 0.0,
    **recipe: Any,
) -> list[int | None]:
    """Train in so many processes, as torchrun would; returns their exit codes.

    What came out is in `folder / "adapter.safetensors"` and `folder / "losses.json"`. With
    `kill_at`, the last process ends itself with SIGKILL before that step, and the others are
    ended with it. With `keep`, the same general rows stand beside every micro-batch, with that
    weight.
    """
    with reserved_port() as port:
        return _run_processes(forking(), port, folder, processes, kill_at, keep, recipe)


def _run_processes(
    context: ForkServerContext,
    port: int,
    folder: Path,
    processes: int,
    kill_at: int | None,
    keep: float,
    recipe: dict[str, Any],
) -> list[int | None]:
    started = []
    for rank in range(processes):
        places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "MASTER_PORT": port}
        environment = {name: str(value) for name, value in places.items()}
        environment["MASTER_ADDR"] = "127.0.0.1"
        die = kill_at if rank == processes - 1 else None
        given = (str(folder), environment if processes > 1 else {}, die, keep, recipe)
        process = context.Process(target=_train, args=given)
        process.start()
        started.append(process)
    started[-1].join(120)
    for process in started[:-1]:
        if kill_at is not None:
            process.terminate()
        process.join(120)
    return [process.exitcode for process in started]


def _train(
    folder: str,
    environment: Mapping[str, str],
    kill_at: int | None,
    keep: float,
    options: Mapping[str, Any],
) -> None:
    os.environ.update(environment)
    import io
    import json

    import torch
    from rich.console import Console
    from safetensors.torch import save_file

    from evalkit.training import trainer
    from evalkit.training.prefix_sharing import KEEP, SharedPrefixCollator
    from evalkit.training.progress import ShowProgress
    from evalkit.training.recipe import LoraRecipe, Recipe
    from tiny_models import model

    torch.set_num_threads(1)

    class Killed(ShowProgress):
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    plainly = SharedPrefixCollator(END)
    kept = plainly([{**row, "prompt_length": 3} for row in toy_rows(5)])
    parts = int(environment.get("WORLD_SIZE", "1")) * options.get("gradient_accumulation", 1)
    beside = {f"{KEEP}{name}": tensor for name, tensor in kept.items()}
    beside[f"{KEEP}weight"] = torch.tensor(keep / parts)

    def collate(rows: Any) -> dict[str, torch.Tensor]:
        return plainly(rows) | beside if keep and "place" in rows[0] else plainly(rows)

    trainer.SAVE_STEPS, trainer.LOG_STEPS = 4, 2
    trainer.ShowProgress = Killed  # type: ignore[misc]
    plain: dict[str, Any] = {
        "data": "toy",
        "epochs": 3,
        "batch_size": 4,
        "learning_rate": 1e-3,
        "precision": "fp32",
        "lora": LoraRecipe(r=4, alpha=8),
    }
    trained = trainer.train_adapter(
        model("llama", layers=1),
        END,
        toy_rows(32),
        toy_rows(6),
        Recipe(**plain | dict(options)),
        Path(folder) / "checkpoints",
        collate=collate,
        resume=True,
        console=Console(file=io.StringIO()),
    )
    if environment.get("RANK", "0") == "0":
        weights = {n: w.detach() for n, w in trained.model.named_parameters() if w.requires_grad}
        save_file(weights, Path(folder) / "adapter.safetensors")
        text = json.dumps([trained.train_loss, trained.dev_loss, trained.steps])
        (Path(folder) / "losses.json").write_text(text)
    if environment:
        torch.distributed.destroy_process_group()
