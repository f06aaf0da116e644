"""Whatever an adapter changes, the base and the systems beside it stay as they are alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import (
    HRAConfig,
    IA3Config,
    LNTuningConfig,
    LoHaConfig,
    LoKrConfig,
    LoraConfig,
    OFTConfig,
    PeftConfig,
    TrainableTokensConfig,
    get_peft_model,
)
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaForCausalLM

from evalkit.engines import base_tensors
from evalkit.engines.building import EngineOptions
from evalkit.engines.drafts import Drafts
from evalkit.engines.generation import Continuation, Job
from evalkit.engines.pool import Engines, build_engine
from evalkit.engines.shared_base import SharedBase
from evalkit.engines.transformers_engine import TransformersEngine
from evalkit.errors import UserError
from evalkit.records import Answer, FinishReason, ParseFailure, Request
from evalkit.systems import System, load_system, missing_parts
from evalkit.weights.adapters import WEIGHTS, AdapterFiles
from tiny_models import VOCABULARY, model, save_base, tokenizer

CPU = torch.device("cpu")
FP32 = EngineOptions("cpu", "fp32", 4)
PROMPT = torch.tensor([[5, 77, 300, 12, 9, 81]])
TARGETS = ["q_proj", "v_proj"]
TASK = "task = 'intents'\nformat = 'labels'\n"


@pytest.fixture(autouse=True)
def look_at_whole_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_tensors, "SAMPLED", 10**9)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base with biases and a head of its own."""
    folder = tmp_path_factory.mktemp("base")
    config = model("llama", layers=2).config
    config.attention_bias = True
    config.eos_token_id = tokenizer().eos_token_id
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def lora(**changes: Any) -> LoraConfig:
    given = {"r": 4, "lora_alpha": 8, "target_modules": TARGETS, "task_type": "CAUSAL_LM"}
    return LoraConfig(**given | changes)


def adapter(folder: Path, config: PeftConfig, base: Path, seed: int = 1) -> torch.Tensor:
    """Write an adapter with random weights as peft does; returns the logits it was left with."""
    torch.manual_seed(seed)
    tuned = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    with torch.no_grad():
        for weight in tuned.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.3)
    tuned.eval().save_pretrained(str(folder))
    (folder / "README.md").unlink()
    (folder / "system.toml").write_text(f'{TASK}base = "{base}"\n')
    with torch.no_grad():
        said: torch.Tensor = tuned(PROMPT).logits
    return said


def with_foreign(name: str) -> Callable[[Path], None]:
    """Put a tensor of the base into an adapter's file, as peft does with resized embeddings."""

    def add(folder: Path) -> None:
        weights = load_file(folder / WEIGHTS)
        torch.manual_seed(5)
        weights[name] = torch.randn(VOCABULARY, 48)
        save_file(weights, folder / WEIGHTS)

    return add


def without_saved_head(folder: Path) -> None:
    """Take out what peft writes of the base itself beside an adapter of its head."""
    weights = load_file(folder / WEIGHTS)
    del weights["base_model.model.lm_head.base_layer.weight"]
    save_file(weights, folder / WEIGHTS)


def nothing(folder: Path) -> None:
    pass


Case = tuple[PeftConfig, Callable[[Path], None]]
ON_THE_BASE: dict[str, Case] = {
    "LoRA": (lora(), nothing),
    "DoRA": (lora(use_dora=True), nothing),
    "rsLoRA with a bias of its own": (lora(use_rslora=True, lora_bias=True), nothing),
    "LoRA of the head": (lora(target_modules=[*TARGETS, "lm_head"]), without_saved_head),
}
APART: dict[str, Case] = {
    "PiSSA": (lora(init_lora_weights="pissa"), nothing),
    "OLoRA": (lora(init_lora_weights="olora"), nothing),
    "all biases": (lora(bias="all"), nothing),
    "LoRA's biases": (lora(bias="lora_only"), nothing),
    "token indices": (lora(trainable_token_indices=[5, 77]), nothing),
    "a module to save": (lora(modules_to_save=["lm_head"]), nothing),
    "a head that was saved": (lora(), with_foreign("base_model.model.lm_head.weight")),
    "LoRA of the head, as peft saves it": (lora(target_modules=[*TARGETS, "lm_head"]), nothing),
    "embeddings": (lora(), with_foreign("base_model.model.model.embed_tokens.weight")),
    "IA3": (
        IA3Config(
            task_type="CAUSAL_LM",
            target_modules=["k_proj", "v_proj", "down_proj"],
            feedforward_modules=["down_proj"],
        ),
        nothing,
    ),
    "LoHa": (LoHaConfig(task_type="CAUSAL_LM", r=4, target_modules=TARGETS), nothing),
    "LoKr": (LoKrConfig(task_type="CAUSAL_LM", r=4, target_modules=TARGETS), nothing),
    "OFT": (
        OFTConfig(task_type="CAUSAL_LM", r=0, oft_block_size=4, target_modules=TARGETS),
        nothing,
    ),
    "HRA": (HRAConfig(task_type="CAUSAL_LM", r=4, target_modules=TARGETS), nothing),
    "norms": (LNTuningConfig(task_type="CAUSAL_LM", target_modules=["input_layernorm"]), nothing),
    "tokens alone": (TrainableTokensConfig(task_type="CAUSAL_LM", token_indices=[5, 77]), nothing),
}


def logits(engine: TransformersEngine) -> torch.Tensor:
    assert engine._switch is not None
    engine._switch()
    with torch.inference_mode():
        hidden = engine.causal.trunk(input_ids=PROMPT, use_cache=False).last_hidden_state
        return engine.causal.logits(hidden)


def built(engines: Engines, system: System, precision: Any = "fp32") -> TransformersEngine:
    engine = engines.build(system, EngineOptions("cpu", precision, 4))
    assert isinstance(engine, TransformersEngine)
    return engine


Neighbours = dict[str, tuple[System, torch.Tensor]]


@pytest.fixture(scope="module")
def neighbours(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Neighbours:
    """A plain adapter and the base without any, with what each says when it is alone."""
    folder = tmp_path_factory.mktemp("neighbours")
    adapter(folder / "plain", lora(), base, seed=2)
    (folder / "bare").mkdir()
    (folder / "bare" / "system.toml").write_text(f'{TASK}base = "{base}"\nadapter = false\n')
    systems = [load_system(folder / name) for name in ("plain", "bare")]
    return {one.name: (one, logits(built(Engines(), one))) for one in systems}


def test_the_base_alone_is_as_transformers_loads_it(neighbours: Neighbours, base: Path):
    with torch.no_grad():
        loaded = AutoModelForCausalLM.from_pretrained(base)(PROMPT).logits
    assert torch.equal(neighbours["bare"][1], loaded)


@pytest.mark.parametrize("kind", [*ON_THE_BASE, *APART])
def test_a_neighbour_changes_nothing(kind: str, base: Path, tmp_path: Path, neighbours: Neighbours):
    config, change = {**ON_THE_BASE, **APART}[kind]
    left_with = adapter(tmp_path / "odd", config, base)
    change(tmp_path / "odd")
    odd = load_system(tmp_path / "odd")
    alone = {"odd": (odd, logits(built(Engines(), odd))), **neighbours}
    if change is nothing:
        torch.testing.assert_close(alone["odd"][1], left_with, rtol=1e-4, atol=1e-4)
    loaded = alone["bare"][1]
    assert not torch.allclose(alone["odd"][1], loaded, atol=0.1), "the adapter has an effect"

    orders = [[*alone], [*alone][::-1]]
    # What has a base to itself is loaded before some neighbours or behind them, by turns.
    for order in orders if kind in ON_THE_BASE else [orders[[*APART].index(kind) % 2]]:
        engines = Engines()
        made = {name: built(engines, alone[name][0]) for name in order}
        for _ in range(2):
            for name, (_, expected) in alone.items():
                assert torch.equal(logits(made[name]), expected), name
    with made["odd"].without_adapter(), torch.inference_mode():
        causal = made["odd"].causal
        hidden = causal.trunk(input_ids=PROMPT, use_cache=False).last_hidden_state
        assert torch.equal(causal.logits(hidden), loaded)
    shared = made["odd"].model is made["bare"].model or made["odd"].model is made["plain"].model
    assert shared == (kind in ON_THE_BASE)
    assert AdapterFiles(odd.folder).leaves_base == (kind in ON_THE_BASE)


def test_in_bf16_the_head_of_the_base_comes_back(base: Path, tmp_path: Path):
    """The head's fp32 copy is made anew when its weights are exchanged."""
    adapter(tmp_path / "odd", lora(), base)
    with_foreign("base_model.model.lm_head.weight")(tmp_path / "odd")
    engine = built(Engines(), load_system(tmp_path / "odd"), "bf16")
    state = torch.randn(1, 48, dtype=torch.bfloat16)
    tuned = engine.causal.logits(state)
    with engine.without_adapter():
        bare = engine.causal.logits(state)
    head = AutoModelForCausalLM.from_pretrained(base).lm_head.weight.to(torch.bfloat16).float()
    assert torch.equal(bare, state.float() @ head.T)
    assert not torch.allclose(bare, tuned)


def test_a_base_that_was_changed_is_noticed(base: Path, tmp_path: Path):
    adapter(tmp_path / "plain", lora(), base)
    shared = SharedBase(base, CPU, torch.float32, "none")
    name = shared.attach(tmp_path / "plain")
    shared.switch(name)
    embedding: Any = shared.model.get_input_embeddings()
    with torch.no_grad():
        embedding.weight[7, 3] += 1
    with pytest.raises(RuntimeError, match=r"changed model\.embed_tokens\.weight of the shared"):
        shared.switch(None)


def test_a_sample_notices_a_tensor_that_was_replaced(base: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(base_tensors, "SAMPLED", 64)
    loaded = AutoModelForCausalLM.from_pretrained(base)
    tensors = base_tensors.BaseTensors(loaded)
    assert tensors.changed() == []
    torch.nn.init.normal_(loaded.lm_head.weight)
    loaded.model.layers[1].mlp.up_proj.weight = torch.nn.Parameter(torch.zeros(96, 48))
    assert sorted(tensors.changed()) == ["lm_head.weight", "model.layers.1.mlp.up_proj.weight"]


def test_tied_weights_that_an_adapter_unties_are_refused(tmp_path: Path):
    base = save_base(tmp_path / "base", "gemma", "gemma3")
    adapter(tmp_path / "a", lora(), base)
    weights = load_file(tmp_path / "a" / WEIGHTS)
    for number, name in enumerate(("lm_head", "model.embed_tokens")):
        weights[f"base_model.model.{name}.weight"] = torch.full((VOCABULARY, 48), float(number))
    save_file(weights, tmp_path / "a" / WEIGHTS)
    with pytest.raises(UserError, match=r"does not fit .* ties base_model.model.* to another"):
        build_engine(load_system(tmp_path / "a"), FP32)


def test_a_four_bit_base_gives_nothing_to_pissa(tmp_path: Path):
    base = save_base(tmp_path / "base", hidden=64)
    adapter(tmp_path / "a", lora(init_lora_weights="pissa"), base)
    with (tmp_path / "a" / "system.toml").open("a") as file:
        file.write('quantization = "nf4"\n')
    with pytest.raises(UserError, match=r"init_lora_weights = 'pissa' takes .* \"none\""):
        build_engine(load_system(tmp_path / "a"), FP32)


# Refused before anything is loaded


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ({"task_type": "SEQ_CLS"}, "task_type SEQ_CLS: such a model has a head of its own"),
        ({"task_type": "FEATURE_EXTRACTION"}, "task_type FEATURE_EXTRACTION"),
        ({"peft_type": "PROMPT_TUNING"}, "PROMPT_TUNING: it puts virtual tokens before the prompt"),
        ({"peft_type": "PREFIX_TUNING"}, "PREFIX_TUNING: it puts virtual tokens"),
        ({"peft_type": "XLORA"}, "kind XLORA, which evalkit cannot load. Merge it"),
        ({"alora_invocation_tokens": [1, 2]}, "uses alora_invocation_tokens"),
        ({"layer_replication": [[0, 2], [1, 3]]}, "uses layer_replication"),
        ({"init_lora_weights": "pissa_niter_4"}, "path_initial_model_for_weight_conversion"),
        ({"init_lora_weights": "corda"}, "took from the base what cannot be found again"),
    ],
)
def test_an_adapter_that_cannot_be_asked_is_refused(
    says: dict[str, object], why: str, base: Path, tmp_path: Path
):
    adapter(tmp_path / "a", lora(), base)
    file = tmp_path / "a" / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | says))
    system = load_system(tmp_path / "a")
    assert [part for part in missing_parts(system) if why in part]
    with pytest.raises(UserError, match="cannot run yet"):
        build_engine(system, FP32)


def test_a_resized_vocabulary_is_sent_to_be_merged(base: Path, tmp_path: Path):
    adapter(tmp_path / "a", lora(), base)
    weights = load_file(tmp_path / "a" / WEIGHTS)
    weights["base_model.model.lm_head.weight"] = torch.zeros(432, 48)
    save_file(weights, tmp_path / "a" / WEIGHTS)
    with pytest.raises(UserError, match=r"a vocabulary of 432 tokens .* has 400\. Merge it into"):
        build_engine(load_system(tmp_path / "a"), FP32)


# Weights and logits that are no numbers


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named(value: float, base: Path, tmp_path: Path):
    adapter(tmp_path / "a", lora(), base)
    weights = load_file(tmp_path / "a" / WEIGHTS)
    spoilt = "base_model.model.model.layers.1.self_attn.q_proj.lora_B.weight"
    weights[spoilt][3, 2] = value
    save_file(weights, tmp_path / "a" / WEIGHTS)
    with pytest.raises(UserError, match=rf"not all numbers: {spoilt} holds NaN or infinity\."):
        build_engine(load_system(tmp_path / "a"), FP32)


def test_a_base_that_is_no_number_is_named(base: Path, tmp_path: Path):
    spoilt = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():
        spoilt.model.layers[1].mlp.up_proj.weight[0, 0] = float("inf")
    spoilt.save_pretrained(tmp_path / "base")
    tokenizer().save_pretrained(tmp_path / "base")
    with pytest.raises(UserError, match=r"model\.layers\.1\.mlp\.up_proj\.weight holds NaN"):
        SharedBase(tmp_path / "base", CPU, torch.float32, "none")


@pytest.mark.parametrize("spoilt", [float("nan"), float("inf"), -float("inf")])
def test_logits_that_are_no_numbers_are_refused(spoilt: float, base: Path):
    engine = SharedBase(base, CPU, torch.float32, "none").engine(None, 4, "free")
    states = torch.randn(2, 48)
    engine.causal.choices(states)
    states[1] = spoilt
    with pytest.raises(UserError, match="logits are NaN or infinite"):
        engine.causal.choices(states)


# A tokenizer of its own


def test_the_template_that_an_adapter_brings_is_used(base: Path, tmp_path: Path):
    adapter(tmp_path / "a", lora(), base)
    adapter(tmp_path / "plain", lora(), base, seed=2)
    template = "{% for turn in messages %}[{{ turn.role }}] {{ turn.content }}\n{% endfor %}[says] "
    (tmp_path / "a" / "chat_template.jinja").write_text(template)
    engines = Engines()
    own = built(engines, load_system(tmp_path / "a"))
    plain = built(engines, load_system(tmp_path / "plain"))
    assert own.chat.tokenizer.chat_template == template
    assert plain.chat.tokenizer.chat_template == tokenizer().chat_template
    assert own.model is plain.model

    (tmp_path / "a" / "provenance.json").write_text("{}")
    trained_here = built(engines, load_system(tmp_path / "a"))
    assert trained_here.chat.tokenizer.chat_template == tokenizer().chat_template


def test_a_tokenizer_with_more_tokens_than_the_base_embeds(base: Path, tmp_path: Path):
    adapter(tmp_path / "a", lora(), base)
    tokenizer().save_pretrained(tmp_path / "a")
    file = tmp_path / "a" / "tokenizer.json"
    grown = json.loads(file.read_text())
    last = dict(grown["added_tokens"][-1], id=VOCABULARY, content="<|new|>")
    grown["added_tokens"].append(last)
    file.write_text(json.dumps(grown))
    with pytest.raises(UserError, match=r"has 401 tokens and the base embeds 400\. Merge"):
        build_engine(load_system(tmp_path / "a"), FP32)


# A thought that the template opens


def test_a_template_that_opens_a_thought(base: Path, tmp_path: Path):
    """What is never closed is no answer; a canonical answer is one all the same."""
    adapter(tmp_path / "a", lora(), base)
    opening = tokenizer().chat_template + "<think>\n"
    (tmp_path / "a" / "chat_template.jinja").write_text(opening)
    system = load_system(tmp_path / "a")
    engine = built(Engines(), system)
    task, fmt = system.task, system.format
    given = dict.fromkeys(task.inputs, "Where is my parcel?")
    labels = {name: (str(field.labels[0]),) for name, field in task.fields.items()}
    answer = Answer(labels, fmt.render(task, labels, {}))
    request = Request("r", fmt.prompt(task, given), given, answer.text, (answer,))
    assert engine.chat.layout(request.prompt)[-1].text.endswith("<think>")
    ((_, said),) = engine.complete([request])
    assert said.finish_reason is FinishReason.LENGTH
    assert said.text.startswith("<think>")
    assert isinstance(fmt.parse(task, said.text).lenient, ParseFailure)

    canonical = engine.chat.encode_answer(answer.text)
    job = Job([1], 9, Drafts([answer], [canonical]))
    ids = tuple(canonical[:-1])
    for stopped, text in ((True, answer.text), (False, f"<think>{answer.text}")):
        logprobs = (-0.1,) * len(canonical)
        made = engine._completion(job, Continuation(ids, stopped, logprobs), 0.0, "<think>")
        assert made.text == text
