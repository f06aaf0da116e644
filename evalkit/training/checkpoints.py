"""Checkpoints: which one a training goes on from, and what to say when none can be written."""

from __future__ import annotations

import contextlib
import errno
import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from evalkit.errors import UserError


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that can be read whole; an earlier one where the newest cannot.

    Trainer writes the state last. From a checkpoint without one it would silently start again
    at step 0, with weights that are already trained.
    """
    found: dict[int, Path] = {}
    for state in folder.glob("checkpoint-*/trainer_state.json"):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            found[int(json.loads(state.read_bytes())["global_step"])] = state.parent
    return next((found[step] for step in sorted(found, reverse=True) if _whole(found[step])), None)


@contextlib.contextmanager
def explain_full_disk(folder: Path) -> Iterator[None]:
    """Say plainly that a checkpoint did not fit.

    Raises:
        UserError: in place of what the libraries raise then.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        # safetensors and torch raise errors of their own kinds.
        told = ("No space left", "os error 28", "Disk quota", "PytorchStreamWriter failed")
        if not full and not any(text in str(error) for text in told):
            raise
        raise UserError(
            f"The disk that holds {folder} is full. The checkpoints already there are whole: "
            "make room and train again, and the training goes on from the last one."
        ) from error


def _whole(checkpoint: Path) -> bool:
    """Whether every file that a resumed training reads can be read."""
    try:
        with safe_open(checkpoint / "adapter_model.safetensors", "pt") as file:
            for name in file.keys():  # noqa: SIM118  not a mapping
                file.get_tensor(name)
        for name in ("optimizer.pt", "scheduler.pt"):
            torch.load(checkpoint / name, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, SafetensorError, pickle.UnpicklingError):
        return False
    return True
