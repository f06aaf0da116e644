from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from evalkit.errors import UserError
from evalkit.weights import weights_fingerprint
from evalkit.weights.folder import problem

from .conftest import fill_with_model


def test_a_whole_folder_has_no_problem(tmp_path: Path) -> None:
    assert problem(fill_with_model(tmp_path / "model")) is None


def test_shards_count_as_weights(tmp_path: Path) -> None:
    folder = fill_with_model(tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "model-2.safetensors is missing" in str(problem(folder))
    (folder / "model-2.safetensors").write_bytes((folder / "model-1.safetensors").read_bytes())
    assert problem(folder) is None


@pytest.mark.parametrize(
    ("lost", "added", "said"),
    [
        ("config.json", {}, "holds no config.json"),
        ("config.json", {"m.gguf": b"GGUF"}, "Give the path of the file"),
        ("config.json", {"adapter_config.json": b"{}"}, "holds an adapter, not base weights"),
        ("", {"adapter_config.json": b"{}"}, "transformers would load both"),
        ("tokenizer.json", {}, "holds no tokenizer"),
        ("model.safetensors", {}, "holds no model.safetensors"),
        ("model.safetensors", {"pytorch_model.bin": b"x"}, "as a pickle (pytorch_model.bin)"),
        ("model.safetensors", {"model.safetensors.index.json": b"[]"}, "no model.safetensors"),
        ("", {"model.safetensors": b"version https://git-lfs.github.com/spec/v1\n"}, "git-lfs"),
        ("", {"model.safetensors": b""}, "cut short"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path, lost: str, added: dict[str, bytes], said: str
) -> None:
    folder = fill_with_model(tmp_path / "model")
    if lost:
        (folder / lost).unlink()
    for name, content in added.items():
        (folder / name).write_bytes(content)
    assert said in str(problem(folder))


def test_one_byte_less_is_cut_short(tmp_path: Path) -> None:
    weights = fill_with_model(tmp_path / "model") / "model.safetensors"
    os.truncate(weights, weights.stat().st_size - 1)
    assert "cut short" in str(problem(tmp_path / "model"))


def test_no_folder_and_a_file_in_its_place(tmp_path: Path) -> None:
    assert problem(tmp_path / "none") == f"There is no folder {tmp_path / 'none'}."
    (tmp_path / "file").touch()
    assert "is a file" in str(problem(tmp_path / "file"))


def test_the_fingerprint_is_that_of_sha256sum(tmp_path: Path) -> None:
    folder = fill_with_model(tmp_path / "model")
    lines = subprocess.run(
        ["sha256sum", "model.safetensors"], cwd=folder, capture_output=True, check=True
    ).stdout
    (tmp_path / "lines").write_bytes(lines)
    digest = subprocess.run(
        ["sha256sum", tmp_path / "lines"], capture_output=True, check=True, text=True
    ).stdout.split()[0]
    assert weights_fingerprint(folder) == digest


def test_the_fingerprint_changes_with_the_weights_alone(tmp_path: Path) -> None:
    folder = fill_with_model(tmp_path / "model", b"1234")
    first = weights_fingerprint(folder)
    (folder / "config.json").write_text('{"changed": 1}')
    assert weights_fingerprint(folder) == first
    fill_with_model(folder, b"1235")  # of the same size
    assert weights_fingerprint(folder) != first


def test_the_fingerprint_of_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no weights"):
        weights_fingerprint(tmp_path)
