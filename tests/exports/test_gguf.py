"""An exported file in a real llama.cpp: the same tokens, and the same next token as here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Type
from gguf import GGUFReader, TokenType
from gguf.quants import dequantize
from transformers import AutoModelForCausalLM

from evalkit.engines.building import EngineOptions
from evalkit.engines.chat import build_chat
from evalkit.engines.endpoint import messages
from evalkit.engines.llamacpp import check_installed
from evalkit.engines.loading import load_tokenizer
from evalkit.engines.pool import build_engine
from evalkit.errors import UserError
from evalkit.evaluation import build_requests
from evalkit.exports.gguf_folder import export_gguf
from evalkit.exports.quantizing import choose_type, store
from evalkit.exports.vocabulary import read_vocabulary
from evalkit.records import Completion, Example, Prompt, Unanswered
from evalkit.systems import System, load_system
from evalkit.weights.cache import hash_file
from tiny_models import VOCABULARY, save_base

pytestmark = pytest.mark.skipif(
    find_spec("xllamacpp") is None, reason="the extra gguf is not installed"
)
TEXTS = (
    "Your parcel arrives today between 10:00 and 12:00. 飞书：会议五分钟后开始。",
    "  I'll pay 1234567,\n\n\tthey'RE late...   ",
    "<|im_start|>user\nreset<|im_end|>\n",
)
KINDS = (
    ("chatml", "llama", "F16", 64),
    ("qwen3", "qwen3", "F16", 64),
    ("gemma", "gemma3", "F16", 64),
    ("chatml", "llama", "Q8_0", 64),
    ("chatml", "llama", "Q4_K_M", 256),
)
NEAR = {"F16": 0.005, "Q8_0": 0.1, "Q4_K_M": 0.1}
"""How far log-probabilities may be off, as a share of their own spread over the vocabulary. Half
precision rounds a number by 0.02% of it, eight bits (llama.cpp's activations too) by 1%, and twenty
products follow each other. With rows in another order, or a norm left out, it is more than 1."""


def make_system(folder: Path, family: str, shape: str, hidden: int, more: str = "") -> System:
    config = save_base(folder / "base", family, shape, hidden=hidden) / "config.json"
    # llama.cpp reads no more than a model was made for.
    longer = {"max_position_embeddings": 1024}
    config.write_text(json.dumps(json.loads(config.read_text()) | longer))
    (folder / "tiny").mkdir()
    (folder / "tiny" / "system.toml").write_text(
        f'task = "intents"\nformat = "labels"\nbase = "../base"\nadapter = false\n{more}'
    )
    return load_system(folder / "tiny")


class Exported:
    """A system, what was exported of it, and the server that has it."""

    def __init__(self, folder: Path, family: str, shape: str, quantization: Any, hidden: int):
        self.quantization = quantization
        self.system = make_system(folder, family, shape, hidden)
        self.file = export_gguf(self.system, folder / "out", quantization)
        self.engine: Any = build_engine(load_system(folder / "out"), EngineOptions())
        self.url = self.engine._asking.place.url.removesuffix("/v1")

    def reference(self) -> Any:
        """The base, or at four bits the file as transformers reads it.

        A model that nobody trained is another one at four bits.
        """
        if self.quantization == "Q4_K_M":
            return AutoModelForCausalLM.from_pretrained(
                self.file.parent, gguf_file=self.file.name, dtype=torch.float32
            )
        return AutoModelForCausalLM.from_pretrained(self.system.source.locate())  # type: ignore[union-attr]

    def ask(self, path: str, **body: Any) -> Any:
        return httpx2.post(f"{self.url}{path}", json=body, timeout=60).json()


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: f"{kind[1]}-{kind[2]}")
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Exported]:
    made = Exported(tmp_path_factory.mktemp("export"), *request.param)
    yield made
    made.engine._stop()


def tokenizer_of(exported: Exported) -> Any:
    base = exported.system.source.locate()  # type: ignore[union-attr]
    return load_tokenizer(base)  # type: ignore[arg-type]


def prompt_of(exported: Exported) -> Prompt:
    return exported.system.format.prompt(exported.system.task, {"prompt": TEXTS[0]})


def prompt_ids(exported: Exported) -> list[int]:
    return build_chat(tokenizer_of(exported)).encode_prompt(prompt_of(exported))


def test_llama_cpp_gives_each_next_token_the_same_probability(exported: Exported):
    ids = prompt_ids(exported)
    with torch.no_grad():
        logits = exported.reference()(torch.tensor([ids])).logits[0, -1]
    ours = torch.log_softmax(logits.float(), -1).numpy()
    said = exported.ask(
        "/completion",
        prompt=ids,
        n_predict=1,
        n_probs=VOCABULARY,
        # Half a character would be kept back, with its probabilities. They are those before bias.
        logit_bias=[[tokenizer_of(exported).convert_tokens_to_ids("a"), 1000]],
    )
    listed = said["completion_probabilities"][0]["top_logprobs"]
    theirs = {top["id"]: top["logprob"] for top in listed}
    assert len(theirs) == VOCABULARY
    apart = ours - np.array([theirs[i] for i in range(VOCABULARY)])
    assert apart.std() / ours.std() < NEAR[exported.quantization]


def test_the_servers_template_makes_the_prompt_that_evalkit_makes(exported: Exported):
    asked = exported.engine._asking.place
    said = messages(prompt_of(exported), system_role=asked.system_role)
    laid_out = exported.ask("/apply-template", messages=said, **asked.body)["prompt"]
    found = exported.ask("/tokenize", content=laid_out, parse_special=True, add_special=True)
    assert found["tokens"] == prompt_ids(exported)


def test_texts_are_cut_into_the_same_tokens(exported: Exported):
    for text in TEXTS:
        said = exported.ask("/tokenize", content=text, parse_special=True)["tokens"]
        assert said == tokenizer_of(exported)(text, add_special_tokens=False)["input_ids"]


def test_a_file_says_what_it_was_made_of(exported: Exported):
    fields = GGUFReader(exported.file).fields
    told = json.loads((exported.file.parent / "export.json").read_text())
    assert told["file_sha256"] == hash_file(exported.file)
    assert told["quantization"] == exported.quantization
    assert fields["tokenizer.chat_template"].contents() == tokenizer_of(exported).chat_template


def test_the_modelfile_lays_the_prompt_out_as_evalkit_does(exported: Exported):
    text = (exported.file.parent / "Modelfile").read_text()
    template = text.split('TEMPLATE """')[1].split('"""')[0]
    instructions = text.split('SYSTEM """')[1].split('"""')[0]
    user = "".join(span.text for span in prompt_of(exported).user)
    laid_out = template.replace("{{ .System }}", instructions).replace("{{ .Prompt }}", user)
    chat = build_chat(tokenizer_of(exported))
    assert laid_out == "".join(span.text for span in chat.layout(prompt_of(exported)))


def test_answers_come_through_the_engine_and_a_dead_server_is_no_wrong_answer(tmp_path: Path):
    made = Exported(tmp_path, "chatml", "llama", "F16", 64)
    task, fmt = made.system.task, made.system.format
    asked = list(build_requests(task, fmt, [Example("a", {"prompt": "pay"}, {})]))
    ((_, said),) = made.engine.complete(asked)
    assert isinstance(said, Completion)
    ours = dict(build_engine(made.system, EngineOptions("cpu", "fp32")).complete(asked))["a"]
    assert said.prompt_tokens == ours.prompt_tokens
    assert said.text[:8] == ours.text[:8]
    assert made.engine.describe()["file"] == "tiny-F16.gguf"
    made.engine._process.kill()
    made.engine._process.wait()
    ((_, said),) = made.engine.complete(asked)
    assert isinstance(said, Unanswered)
    assert "llama.cpp ended with exit code -9" in said.why


def test_a_file_that_llama_cpp_cannot_load_is_a_users_mistake(tmp_path: Path):
    (tmp_path / "x.gguf").write_bytes(b"GGUF and nothing more")
    (tmp_path / "system.toml").write_text(
        'task = "intents"\nformat = "labels"\nengine = "llamacpp"\n[llamacpp]\nfile = "x.gguf"\n'
    )
    with pytest.raises(UserError, match=r"llama\.cpp cannot run x\.gguf"):
        build_engine(load_system(tmp_path), EngineOptions())


def test_without_llama_cpp_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("evalkit.engines.llamacpp.PACKAGE", "no-such-package-here")
    with pytest.raises(UserError, match=r"pytest-evalkit\[gguf\]"):
        check_installed()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("output.weight", Type.Q6_K),
        ("blk.0.attn_v.weight", Type.Q6_K),
        ("blk.4.attn_v.weight", Type.Q4_K),
        ("blk.5.ffn_down.weight", Type.Q6_K),
        ("blk.5.ffn_up.weight", Type.Q4_K),
        ("blk.5.attn_norm.weight", Type.F32),
    ],
)
def test_the_mixture_of_q4_k_m(name: str, kind: Type):
    shape = (256,) if "norm" in name else (8, 256)
    assert choose_type(name, shape, "Q4_K_M", 24, tied=False) is kind
    narrow = {Type.Q4_K: Type.Q5_0, Type.Q6_K: Type.Q8_0, Type.F32: Type.F32}
    assert choose_type(name, (*shape[:-1], 576), "Q4_K_M", 24, tied=False) is narrow[kind]


def test_quantised_numbers_are_near_what_they_were():
    numbers = np.random.default_rng(0).normal(size=(4, 512)).astype(np.float32)
    for kind, error in ((Type.Q8_0, 0.01), (Type.Q6_K, 0.03), (Type.Q4_K, 0.1)):
        back = dequantize(store(numbers, kind), kind)
        assert np.abs(back - numbers).std() < error


def test_sentencepiece_merges_become_scores_in_their_order():
    vocab = {"<unk>": 0, "<0x0A>": 1, "a": 2, "b": 3, "ab": 4, "\u2581ab": 5, "\u2581": 6}
    found = read_vocabulary(
        {
            "model": {
                "type": "BPE",
                "vocab": vocab,
                "merges": [["a", "b"], ["\u2581", "ab"]],
                "byte_fallback": True,
            },
            "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
            "pre_tokenizer": None,
            "added_tokens": [{"id": 0, "content": "<unk>", "special": True}],
        },
        8,
    )
    assert (found.model, found.leading_space) == ("llama", False)
    assert found.types[:3] == (TokenType.CONTROL, TokenType.BYTE, TokenType.NORMAL)
    assert found.types[7] is TokenType.UNUSED
    assert found.scores[4] > found.scores[5]


def test_what_llama_cpp_would_compute_otherwise_is_refused(tmp_path: Path):
    system = make_system(tmp_path, "chatml", "mistral", 64)
    with pytest.raises(UserError, match="type mistral"):
        export_gguf(system, tmp_path / "out", "F16")
    assert not (tmp_path / "out").exists()
