from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from evalkit.errors import UserError
from evalkit.weights.folder import problem
from evalkit.weights.gguf import convert


@pytest.fixture(scope="module")
def converted(tiny_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("converted")
    convert(tiny_gguf, folder, "tiny.gguf")
    return folder


def test_the_weights_are_those_of_the_file(converted: Path, tiny_gguf: Path) -> None:
    import torch
    from gguf import GGUFReader
    from safetensors.torch import load_file

    assert problem(converted) is None
    tensors = load_file(converted / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    read = {tensor.name: tensor.data for tensor in GGUFReader(tiny_gguf).tensors}
    expected = torch.tensor(read["token_embd.weight"].copy()).bfloat16()
    assert torch.equal(tensors["model.embed_tokens.weight"], expected)


def test_the_tie_and_the_tokenizer_are_kept(converted: Path) -> None:
    from transformers import AutoTokenizer

    config = json.loads((converted / "config.json").read_text())
    assert config["tie_word_embeddings"] is True
    assert "quantization_config" not in config
    tokenizer = AutoTokenizer.from_pretrained(converted)
    assert tokenizer.convert_ids_to_tokens(tokenizer("ab a")["input_ids"]) == ["ab", "Ġa"]
    assert tokenizer.chat_template == "{{ messages[0]['content'] }}"


def test_nothing_is_drawn(
    tiny_gguf: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    convert(tiny_gguf, tmp_path / "out", "tiny.gguf")
    assert capfd.readouterr() == ("", "")


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"PK\3\4")
    with pytest.raises(UserError, match=r"x\.gguf is not a GGUF file"):
        convert(tmp_path / "x.gguf", tmp_path, "x.gguf")


def test_half_a_file_is_refused(tiny_gguf: Path, tmp_path: Path) -> None:
    half = tmp_path / "half.gguf"
    shutil.copy(tiny_gguf, half)
    os.truncate(half, half.stat().st_size // 2)
    with pytest.raises(UserError, match=r"transformers cannot read half\.gguf"):
        convert(half, tmp_path, "half.gguf")


def test_an_unknown_architecture_is_refused(tmp_path: Path) -> None:
    import gguf

    writer = gguf.GGUFWriter(str(tmp_path / "x.gguf"), "perceptron")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(UserError, match=r"perceptron.*not supported"):
        convert(tmp_path / "x.gguf", tmp_path, "x.gguf")
