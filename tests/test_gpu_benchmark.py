"""`benchmarks/gpu.py`, but for what takes a GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from itertools import permutations
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"


@pytest.fixture(scope="module")
def gpu() -> ModuleType:
    spec = spec_from_file_location("gpu", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["gpu"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_pieces_may_come_in_any_order(
    gpu: ModuleType, order: tuple[int, ...], tmp_path: Path
) -> None:
    whole = bytes(range(256)) * 9
    pieces = gpu.write_pieces(whole, tmp_path, size=800)
    assert len(pieces) == 3
    came = [gpu.join_pieces([pieces[number]], tmp_path / "there") for number in order]
    assert came == [None, None, whole]


def test_a_damaged_piece_is_named(gpu: ModuleType, tmp_path: Path) -> None:
    (piece,) = gpu.write_pieces(b"wheels", tmp_path)
    piece.write_bytes(piece.read_bytes() + b".")
    with pytest.raises(SystemExit, match="piece-00 is damaged"):
        gpu.join_pieces([piece], tmp_path / "there")


def test_what_torch_comes_with_is_not_brought(gpu: ModuleType) -> None:
    brought = set(gpu.closure(["pytest-evalkit"]))
    assert {"peft", "rich", "torch"} <= brought
    assert not {"pytest-evalkit", "hypothesis"} & brought
    assert {"numpy", "tokenizers"} <= set(gpu.closure(["torch", "transformers"]))


def run(results: Path, *parts: str) -> subprocess.CompletedProcess[str]:
    given = ["run", str(results), "--device", "cpu", "--tiny", "--parts", *parts]
    return subprocess.run(
        [sys.executable, str(SCRIPT), *given], capture_output=True, text=True, check=False
    )


def test_a_part_that_has_a_result_is_not_run_again(tmp_path: Path) -> None:
    for name in ("sweep", "gate"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"kept": name}))
    done = run(tmp_path, "sweep", "gate")
    assert done.returncode == 0, done.stderr
    assert "..." not in done.stdout


@pytest.mark.weights
def test_every_part_runs_on_a_processor(tmp_path: Path) -> None:
    names = ["ids", "repeatability", "nf4", "inference", "training", "sweep", "gate"]
    done = run(tmp_path, *names)
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert done.returncode == 0, json.dumps(found, indent=1)
    assert list(found) == ["machine", *names]
    # Plain fp32 answers are those of the library, and 4-bit losses those of the same device.
    assert found["ids"]["figures"]["generate"]["differ"] == 0
    assert found["nf4"]["figures"]["apart"] == 0
    assert "no release verdict" in found["gate"]["printed"]
    page = (tmp_path / "gpu.md").read_text()
    assert all(f"## {name}" in page for name in names)
