from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from evalkit.engines.building import EngineOptions
from evalkit.engines.loading import (
    attach_adapter,
    choose_device,
    choose_dtype,
    load_base,
    load_tokenizer,
)
from evalkit.engines.pool import build_engine
from evalkit.errors import UserError
from evalkit.formats.base import longest_labels
from evalkit.records import Request
from evalkit.systems import load_system
from evalkit.training.saving import save_adapter
from tiny_models import model, save_base, tokenizer

CPU = torch.device("cpu")
PROMPT = torch.tensor([[5, 77, 300, 12, 9, 81]])


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tmp_path_factory.mktemp("base"), hidden=64)


def adapted(targets: tuple[str, ...] = ("q_proj", "down_proj"), **made: int) -> PeftModel:
    """Put a LoRA adapter with random weights, exact in bf16, on a tiny Llama."""
    config = LoraConfig(
        r=4, target_modules=list(targets), task_type="CAUSAL_LM", init_lora_weights=False
    )
    with_adapter = get_peft_model(model("llama", **made), config)
    with torch.no_grad():
        for weight in with_adapter.parameters():
            if weight.requires_grad:
                weight.copy_(weight.to(torch.bfloat16))
    return with_adapter.eval()


def saved(folder: Path, with_adapter: PeftModel) -> Path:
    folder.mkdir()
    save_adapter(with_adapter, "hf:Tiny/Model", {}, folder)
    return folder


# Devices and precisions


def test_a_device_that_is_not_here_is_a_user_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for device in ("cuda", "mps"):
        with pytest.raises(UserError, match=rf"There is no {device} device.*--device auto or cpu"):
            choose_device(device)
    assert choose_device("cpu") == choose_device("auto") == CPU


def test_the_best_device_there_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto").type == "cuda"
    assert choose_device("cpu").type == "cpu"


@pytest.mark.parametrize(
    ("device", "fast", "dtype"),
    [
        ("cpu", True, torch.bfloat16),
        ("cpu", False, torch.float32),
        ("cuda", True, torch.bfloat16),
        ("cuda", False, torch.float32),
        ("mps", True, torch.float32),
    ],
)
def test_bf16_where_it_is_fast(
    device: str, fast: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
):
    def answer(*_: Any, **__: Any) -> bool:
        return fast

    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", answer, raising=False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", answer)
    assert choose_dtype("auto", torch.device(device)) == dtype
    assert choose_dtype("fp32", torch.device(device)) == torch.float32
    assert choose_dtype("bf16", torch.device(device)) == torch.bfloat16


def test_without_torchs_private_question_fp32_is_safe(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported", raising=False)
    assert choose_dtype("auto", CPU) == torch.float32


# Base weights


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_base_comes_as_it_was_saved(base: Path, dtype: torch.dtype):
    loaded = load_base(base, device=CPU, dtype=dtype)
    assert not loaded.training
    assert loaded.dtype == dtype
    weights = loaded.state_dict()
    expected = model("llama", hidden=64).to(dtype).state_dict()
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert load_tokenizer(base).get_vocab() == tokenizer().get_vocab()
    assert load_tokenizer(base).chat_template == tokenizer().chat_template


def test_nf4_holds_the_linear_layers_in_four_bits(base: Path):
    from bitsandbytes.nn import Linear4bit

    four_bit = load_base(base, device=CPU, dtype=torch.float32, quantization="nf4")
    layers = [m for m in four_bit.modules() if isinstance(m, Linear4bit)]
    assert len(layers) == 7 * 3
    assert {layer.weight.quant_type for layer in layers} == {"nf4"}
    assert all(layer.weight.quant_state.nested for layer in layers), "double quantisation"
    whole = load_base(base, device=CPU, dtype=torch.float32)(PROMPT).logits
    once, twice = (four_bit(PROMPT).logits for _ in range(2))
    assert torch.equal(once, twice)
    assert 0.7 < torch.cosine_similarity(once.flatten(), whole.flatten(), dim=0) < 1


# Adapters


def test_an_adapter_gives_the_same_logits_after_a_round_trip(tmp_path: Path):
    trained = adapted()
    folder = saved(tmp_path / "adapter", trained)
    loaded = attach_adapter(model("llama"), folder)
    assert not loaded.training
    with torch.no_grad():
        expected = trained(PROMPT).logits
        assert torch.equal(loaded(PROMPT).logits, expected)
        assert not torch.allclose(model("llama")(PROMPT).logits, expected, atol=0.1)


def test_an_adapter_on_four_bits(base: Path, tmp_path: Path):
    folder = saved(tmp_path / "adapter", adapted(hidden=64))
    four_bit = load_base(base, device=CPU, dtype=torch.float32, quantization="nf4")
    bare = four_bit(PROMPT).logits
    with_adapter = attach_adapter(four_bit, folder)(PROMPT).logits
    assert torch.isfinite(with_adapter).all()
    assert not torch.allclose(bare, with_adapter, atol=0.1)


def cut_short(folder: Path) -> None:
    file = folder / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])


def config_says(content: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "adapter_config.json").write_text(content) and None


def nothing(folder: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("made", "spoil", "why"),
    [
        ({"hidden": 96}, nothing, "size mismatch for base_model.*4, 96"),
        ({"layers": 4}, nothing, "no place for 4 of its weights, such as .*layers.3"),
        ({"layers": 2}, nothing, "lacks 4 weights that its config asks for, such as .*layers.2"),
        ({}, cut_short, "deserializing header"),
        ({}, config_says("{"), "Expecting property name"),
        ({}, config_says("{}"), "peft_type"),
        ({}, config_says("[]"), "list indices"),
        (
            {},
            config_says(json.dumps({"peft_type": "LORA", "target_modules": ["c_attn"], "r": 4})),
            "c_attn.* not found",
        ),
    ],
)
def test_an_adapter_that_does_not_fit_is_a_user_error(
    made: dict[str, int], spoil: Callable[[Path], None], why: str, tmp_path: Path
):
    folder = saved(tmp_path / "adapter", adapted(**made))
    spoil(folder)
    # peft itself leaves out what it finds no place for, and warns at most.
    with warnings.catch_warnings(record=True) as warned, pytest.raises(UserError) as caught:
        attach_adapter(model("llama"), folder)
    said = str(caught.value)
    assert said.startswith(f"The adapter in {folder} does not fit its base weights: ")
    assert said.endswith("Train it again, or correct `base` in its system.toml.")
    assert len(said.splitlines()) == 1
    caught.match(why)
    assert not [w for w in warned if "adapter keys" in str(w.message)]


# A whole system


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_a_system_answers(base: Path, tmp_path: Path, quantization: str):
    folder = saved(tmp_path / "tiny", adapted(hidden=64))
    (folder / "system.toml").write_text(
        f'task = "intents"\nformat = "labels"\nbase = "{base}"\nquantization = "{quantization}"\n'
    )
    system = load_system(folder)
    engine = build_engine(system, EngineOptions(device="cpu", precision="fp32", batch_size=2))
    assert engine.describe() == {
        "engine": "transformers",
        "device": "cpu",
        "dtype": "float32",
        "head_dtype": "float32",
        "batch_size": 2,
        "adapter": "merged" if quantization == "none" else "attached",
        "decoding": "free",
        "context_tokens": 512,
    }
    longest = system.format.render(system.task, longest_labels(system.task), {})
    inputs = [{"prompt": text} for text in ("Where is my parcel?", "Refund me!", "")]
    requests = [
        Request(f"r{row}", system.format.prompt(system.task, given), given, longest)
        for row, given in enumerate(inputs)
    ]
    answers = dict(engine.complete(requests))
    assert sorted(answers) == ["r0", "r1", "r2"]
    assert all(answer.token_ids and answer.seconds > 0 for answer in answers.values())
    assert answers["r0"].prompt_tokens > answers["r2"].prompt_tokens
    assert len({answer.text for answer in answers.values()}) > 1


def test_what_is_missing_is_said_before_anything_is_loaded(base: Path, tmp_path: Path):
    (tmp_path / "system.toml").write_text(f'task = "intents"\nformat = "labels"\nbase = "{base}"\n')
    with pytest.raises(UserError, match=r"cannot run yet\.\nThe adapter has not been trained"):
        build_engine(load_system(tmp_path), EngineOptions())
