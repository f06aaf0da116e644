from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from evalkit.errors import UserError
from evalkit.training.checkpoints import explain_full_disk, last_checkpoint

FILES = ("adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "trainer_state.json")


def checkpoint(folder: Path, step: int) -> Path:
    made = folder / f"checkpoint-{step}"
    made.mkdir(parents=True)
    save_file({"weight": torch.ones(64)}, made / "adapter_model.safetensors")
    for name in ("optimizer.pt", "scheduler.pt"):
        torch.save({"state": torch.ones(64)}, made / name)
    (made / "trainer_state.json").write_text(f'{{"global_step": {step}}}')
    return made


def test_the_newest_counts(tmp_path: Path):
    assert last_checkpoint(tmp_path / "nothing") is None
    checkpoint(tmp_path, 90)
    newest = checkpoint(tmp_path, 100)
    assert last_checkpoint(tmp_path) == newest


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "garbage"])
@pytest.mark.parametrize("name", FILES)
def test_an_earlier_one_stands_in_for_a_damaged_one(name: str, damage: str, tmp_path: Path):
    earlier = checkpoint(tmp_path, 90)
    file = checkpoint(tmp_path, 100) / name
    content = file.read_bytes()
    left = {"empty": b"", "cut": content[: len(content) // 2], "garbage": b"x" * len(content)}
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(left[damage])
    assert last_checkpoint(tmp_path) == earlier


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        SafetensorError("Error while serializing: I/O error: No space left on device"),
        RuntimeError("[enforce fail] PytorchStreamWriter failed writing file data/0"),
    ],
)
def test_a_full_disk_is_said_plainly(error: Exception, tmp_path: Path):
    said = r"is full.*make room and train again"
    with pytest.raises(UserError, match=said), explain_full_disk(tmp_path):
        raise error


def test_other_errors_pass(tmp_path: Path):
    with pytest.raises(PermissionError), explain_full_disk(tmp_path):
        raise PermissionError("no")
