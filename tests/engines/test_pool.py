"""Systems of one base share it, and none is changed by the others."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from evalkit.engines.base import Engine
from evalkit.engines.building import EngineOptions
from evalkit.engines.keyword import KeywordEngine
from evalkit.engines.loading import attach_adapter, load_base
from evalkit.engines.pool import Engines, build_engine
from evalkit.engines.transformers_engine import TransformersEngine
from evalkit.errors import UserError
from evalkit.records import Completion, Request
from evalkit.systems import System, load_system
from evalkit.training.saving import save_adapter
from tiny_models import model, save_base

pytestmark = pytest.mark.usefixtures("few_tokens")

FP32 = EngineOptions("cpu", "fp32", 4)
LINEARS = ("q_proj", "down_proj")
CASES = {
    "merged": (LINEARS, "none"),
    "an adapted head": ((*LINEARS, "lm_head"), "none"),
    "four bits": (LINEARS, "nf4"),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tmp_path_factory.mktemp("base"), hidden=64, layers=1)


def system(
    folder: Path, base: Path, seed: int | None, targets: Sequence[str], quantization: str
) -> System:
    """A system with an adapter made of a seed, or without one."""
    if seed is not None:
        config = LoraConfig(r=4, target_modules=list(targets), init_lora_weights=False)
        bare = model("llama", hidden=64, layers=1)
        torch.manual_seed(seed)
        tuned = get_peft_model(bare, config)
        folder.mkdir()
        save_adapter(tuned, "hf:Tiny/Model", {}, folder)
    folder.mkdir(exist_ok=True)
    (folder / "system.toml").write_text(
        f'task = "intents"\nformat = "labels"\nbase = "{base}"\n'
        f'quantization = "{quantization}"\nadapter = {str(seed is not None).lower()}\n'
    )
    return load_system(folder)


def requests_of(asked: System) -> list[Request]:
    """What a model of random numbers answers with as many tokens as it may: with few of them."""
    texts = ("Where is my parcel?", "Refund me!", "", "No.")
    inputs = [{"prompt": text} for text in texts]
    return [
        Request(f"r{row}", asked.format.prompt(asked.task, given), given, "none")
        for row, given in enumerate(inputs)
    ]


def answers(engine: Engine, asked: System) -> dict[str, tuple[int, ...]]:
    return {name: ids_of(said) for name, said in engine.complete(requests_of(asked))}


def ids_of(said: object) -> tuple[int, ...]:
    assert isinstance(said, Completion)
    return said.token_ids


@pytest.mark.parametrize("case", CASES)
def test_answers_are_the_same_alone_and_beside_others(case: str, base: Path, tmp_path: Path):
    targets, quantization = CASES[case]
    systems = [
        system(tmp_path / name, base, seed, targets, quantization)
        for name, seed in (("first", 1), ("bare", None), ("second", 2))
    ]
    alone = [answers(build_engine(one, FP32), one) for one in systems]
    assert len({str(said) for said in alone}) == 3, "each system says something else"

    engines = Engines()
    built = [engines.build(one, FP32) for one in systems]
    assert len({id(engine.causal.trunk) for engine in transformers(built)}) == 1, "one base"
    for number in (0, 1, 2, 1, 0, 2, 2):
        assert answers(built[number], systems[number]) == alone[number]
    again = engines.build(systems[0], FP32)
    assert answers(again, systems[0]) == alone[0]
    assert answers(built[2], systems[2]) == alone[2]


def test_engines_may_take_turns_batch_by_batch(base: Path, tmp_path: Path):
    systems = [system(tmp_path / f"s{seed}", base, seed, LINEARS, "none") for seed in (1, 2)]
    options = replace(FP32, batch_size=1)
    alone = [answers(build_engine(one, options), one) for one in systems]
    engines = Engines()
    running = [engines.build(one, options).complete(requests_of(one)) for one in systems]
    found: list[dict[str, tuple[int, ...]]] = [{}, {}]
    for _ in range(4):
        for number, answering in enumerate(running):
            name, said = next(answering)
            found[number][name] = ids_of(said)
    assert found == alone


def transformers(engines: Sequence[Engine]) -> Iterator[TransformersEngine]:
    for engine in engines:
        assert isinstance(engine, TransformersEngine)
        yield engine


@pytest.mark.parametrize("case", CASES)
def test_an_engine_says_how_it_holds_the_adapter(case: str, base: Path, tmp_path: Path):
    targets, quantization = CASES[case]
    engines = Engines()
    tuned = engines.build(system(tmp_path / "a", base, 1, targets, quantization), FP32)
    bare = engines.build(system(tmp_path / "b", base, None, targets, quantization), FP32)
    assert tuned.describe()["adapter"] == ("merged" if case == "merged" else "attached")
    assert bare.describe()["adapter"] == "none"


@pytest.mark.parametrize("case", CASES)
def test_a_shared_adapter_has_the_effect_that_peft_gives_it(case: str, base: Path, tmp_path: Path):
    targets, quantization = CASES[case]
    made = system(tmp_path / "a", base, 1, targets, quantization)
    engine = build_engine(made, FP32)
    assert isinstance(engine, TransformersEngine)
    plain = load_base(
        base,
        device=torch.device("cpu"),
        dtype=torch.float32,
        quantization=made.config.quantization,
    )
    peft = TransformersEngine(attach_adapter(plain, made.folder), engine.chat, 4)
    assert answers(peft, made) == answers(engine, made)


def test_merging_rounds_once(base: Path, tmp_path: Path):
    """In bf16 the weight is the sum in fp32, rounded; switching back leaves no trace."""
    one = system(tmp_path / "one", base, 1, LINEARS, "none")
    engines = Engines()
    engine = engines.build(one, replace(FP32, precision="bf16"))
    assert isinstance(engine, TransformersEngine)
    layer = engine.causal.trunk.layers[0].self_attn.q_proj
    merged = layer.base_layer.weight.data.clone()
    bare = engines.build(
        system(tmp_path / "bare", base, None, LINEARS, "none"), replace(FP32, precision="bf16")
    )
    assert isinstance(bare, TransformersEngine)
    loaded = layer.base_layer.weight.data
    assert torch.equal(
        loaded,
        model("llama", hidden=64, layers=1)
        .model.layers[0]
        .self_attn.q_proj.weight.to(torch.bfloat16),
    )
    exact = loaded.float() + layer.get_delta_weight("adapter1")
    assert torch.equal(merged, exact.to(torch.bfloat16))


def test_another_base_takes_the_place_of_the_first(tmp_path: Path, base: Path):
    other = save_base(tmp_path / "other", hidden=64, seed=5)
    engines = Engines()
    first = engines.build(system(tmp_path / "a", base, 1, LINEARS, "none"), FP32)
    assert isinstance(first, TransformersEngine)
    gone = weakref.ref(first.causal.trunk)
    del first
    gc.collect()
    assert gone() is not None, "kept for the next system"
    engines.build(system(tmp_path / "b", other, None, LINEARS, "none"), FP32)
    gc.collect()
    assert gone() is None


def test_an_adapter_that_was_trained_again_is_read_again(base: Path, tmp_path: Path):
    engines = Engines()
    before = system(tmp_path / "a", base, 1, LINEARS, "none")
    said = answers(engines.build(before, FP32), before)
    after = system(tmp_path / "b", base, 2, LINEARS, "none")
    (before.folder / "adapter_model.safetensors").write_bytes(
        (after.folder / "adapter_model.safetensors").read_bytes()
    )
    assert answers(engines.build(before, FP32), before) != said
    assert answers(engines.build(before, FP32), before) == answers(build_engine(after, FP32), after)


def test_an_adapter_that_does_not_fit_spoils_no_other(base: Path, tmp_path: Path):
    engines = Engines()
    good = system(tmp_path / "good", base, 1, LINEARS, "none")
    said = answers(engines.build(good, FP32), good)
    bad = system(tmp_path / "bad", base, 2, LINEARS, "none")
    file = bad.folder / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(UserError, match="does not fit its base"):
        engines.build(bad, FP32)
    assert answers(engines.build(good, FP32), good) == said


def test_the_last_turn_too_leaves_the_base_as_it_was(base: Path, tmp_path: Path):
    engines = Engines()
    engines.close()
    engine = engines.build(system(tmp_path / "a", base, 1, LINEARS, "none"), FP32)
    assert isinstance(engine, TransformersEngine)
    embedding: Any = engine.model.get_input_embeddings()
    with torch.no_grad():
        embedding.weight[0, 0] += 1
    with pytest.raises(RuntimeError, match=r"turn changed model\.embed_tokens\.weight"):
        engines.close()


def test_the_option_decides_the_decoding(base: Path, tmp_path: Path):
    made = system(tmp_path / "a", base, None, LINEARS, "none")
    set_so = replace(made, config=made.config.model_copy(update={"decoding": "constrained"}))
    engines = Engines()
    for asked, option, expected in (
        (made, None, "free"),
        (made, "constrained", "constrained"),
        (set_so, None, "constrained"),
        (set_so, "free", "free"),
    ):
        built = engines.build(asked, replace(FP32, decoding=option))
        assert built.describe()["decoding"] == expected


def test_other_engines_need_no_base(tmp_path: Path):
    (tmp_path / "system.toml").write_text(
        'task = "intents"\nformat = "labels"\nengine = "keyword"\n'
    )
    assert isinstance(Engines().build(load_system(tmp_path), FP32), KeywordEngine)
