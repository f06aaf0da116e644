"""`benchmarks/gpu.py`, but for what takes a GPU."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
import traceback
from contextlib import chdir, redirect_stderr, redirect_stdout
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from io import StringIO
from itertools import permutations
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import gate_imports  # noqa: F401
from command_line import evalkit
from evalkit.training import trainer
from evalkit.weights.cache import cache_root

CACHE = cache_root()
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


def run(gpu: ModuleType, results: Path, *names: str) -> int:
    parts = [part for part in gpu.PARTS if part.name in names]
    return gpu.run(parts, results, "cpu", tiny=True)


def test_a_part_that_has_a_result_is_not_run_again(
    gpu: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("sweep", "gate"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"kept": name}))
    assert run(gpu, tmp_path, "sweep", "gate") == 0
    assert "..." not in capsys.readouterr().out


run_process = subprocess.run


def start(
    command: list[str], *, pytester: pytest.Pytester, **given: Any
) -> subprocess.CompletedProcess[str]:
    """Run a part within this process, which has loaded what takes each new one seconds."""
    python, script, *arguments = command
    if python != sys.executable:
        return run_process(command, **given)
    if script == "-m" and arguments[0] == "evalkit":
        done = evalkit(*arguments[1:])
        return subprocess.CompletedProcess(command, done.returncode, done.stdout, done.stderr)
    if script == "-m":
        with chdir(SCRIPT.parents[1]):
            ended = pytester.runpytest_inprocess(*arguments[1:], "-p", "no:cacheprovider")
        return subprocess.CompletedProcess(
            command, ended.ret, ended.stdout.str(), ended.stderr.str()
        )
    out, err = StringIO(), StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        chdir(SCRIPT.parents[1]),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        patch.syspath_prepend(SCRIPT.parent)
        patch.setattr(sys, "argv", [script, *arguments])
        try:
            runpy.run_path(script, run_name="__main__")
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        except Exception:
            traceback.print_exc()
            code = 1
    return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())


@pytest.mark.weights
@pytest.mark.usefixtures("few_tokens")
def test_every_part_runs_on_a_processor(
    gpu: ModuleType, tmp_path: Path, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVALKIT_CACHE", str(CACHE))  # pytester gives it another home
    monkeypatch.setattr(subprocess, "run", partial(start, pytester=pytester))
    monkeypatch.setattr(trainer, "LOG_STEPS", trainer.LOG_STEPS)  # a part sets it
    names = [part.name for part in gpu.PARTS]
    code = run(gpu, tmp_path, *names)
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert code == 0, json.dumps(found, indent=1)
    assert list(found) == ["machine", *names]
    # Plain fp32 answers are those of the library, and 4-bit losses those of the same device.
    assert found["ids"]["figures"]["generate"]["differ"] == 0
    assert found["nf4"]["figures"]["apart"] == 0
    assert "no release verdict" in found["gate"]["printed"]
    page = (tmp_path / "gpu.md").read_text()
    assert all(f"## {name}" in page for name in names)
