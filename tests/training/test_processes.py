"""Several processes train as one, and a killed training ends as if nothing had been."""

from __future__ import annotations

import json
import random
import signal
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tiny_training import run_processes

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks and SIGKILL")


def apart(one: Path, other: Path) -> float:
    """Greatest relative distance of the weights that two trainings left."""
    a, b = (load_file(folder / "adapter.safetensors") for folder in (one, other))
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).norm() / b[name].norm()) for name in b)


def losses(folder: Path) -> list[float]:
    found: list[float] = json.loads((folder / "losses.json").read_text())
    return found


def test_two_processes_are_as_one_with_batches_twice_as_large(tmp_path: Path):
    one, two = tmp_path / "one", tmp_path / "two"
    assert run_processes(one, batch_size=8) == [0]
    assert run_processes(two, 2, batch_size=4) == [0, 0]
    assert losses(one)[2] == losses(two)[2] == 12
    assert apart(two, one) < 1e-4
    assert losses(two)[:2] == pytest.approx(losses(one)[:2], rel=1e-4)


def test_two_processes_accumulate_weighted_losses_as_one(tmp_path: Path):
    one, two = tmp_path / "one", tmp_path / "two"
    options = {"epochs": 1, "label_weight": 1.0}
    assert run_processes(one, batch_size=16, **options) == [0]
    assert run_processes(two, 2, batch_size=4, gradient_accumulation=2, **options) == [0, 0]
    assert apart(two, one) < 1e-4


def test_two_processes_keep_the_base_as_one(tmp_path: Path):
    one, two = tmp_path / "one", tmp_path / "two"
    assert run_processes(one, batch_size=16, keep=0.5) == [0]
    options = {"batch_size": 4, "gradient_accumulation": 2, "keep": 0.5}
    assert run_processes(two, 2, **options) == [0, 0]  # type: ignore[arg-type]
    assert apart(two, one) < 1e-4
    free = tmp_path / "free"
    assert run_processes(free, batch_size=16) == [0]
    assert apart(free, one) > 1e-3


@pytest.mark.parametrize("processes", [1, 2])
def test_a_killed_training_ends_as_if_nothing_had_been(processes: int, tmp_path: Path):
    """Killed before some step: in the first epoch with a checkpoint, and in the last."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    size = 4 // processes
    assert run_processes(whole, processes, batch_size=size) == [0] * processes
    draw = random.Random(processes)
    # Every process costs seconds to start; a second death is left to the single one.
    for first, last in ((4, 11), (13, 23))[: 3 - processes]:
        step = draw.randint(first, last)
        codes = run_processes(cut, processes, kill_at=step, batch_size=size)
        assert codes[-1] == -signal.SIGKILL, f"killed before step {step}"
        assert not (cut / "adapter.safetensors").exists()
    assert run_processes(cut, processes, batch_size=size) == [0] * processes
    assert apart(cut, whole) < 1e-6
    assert losses(cut) == pytest.approx(losses(whole), rel=1e-5)
