"""Tokenizers and models of the right shapes, made on the spot from random numbers.

The chat templates are written for these tests. Each keeps the one trait of its family that
evalkit depends on: a system turn of its own (ChatML), an empty thought before the answer (Qwen3),
no system role (Gemma), control tokens for function calls (FunctionGemma).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from string import printable
from typing import NamedTuple

import torch
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

SHAPES = ("llama", "qwen3", "gemma3")
WINDOW = 16
"""The sliding window of the Gemma3-shaped model."""
VOCABULARY = 400
GREEK = "".join(map(chr, range(0x391, 0x3CA)))
SENTENCES = (
    "You are a notification classifier. Classify the notification into a folder and a priority.",
    "App: Slack\nTitle: #dev\nBody: The build is red again, who has touched the release branch?",
    '{"folder": "Work", "priority": 3} {"folder": "Personal", "priority": 1}',
    "Your parcel arrives today between 10:00 and 12:00. 飞书：会议五分钟后开始。",
    "system user assistant model developer call:classify_notification{folder:Alerts,priority:2}",
)


class Family(NamedTuple):
    """What sets one family's tokenizer apart."""

    template: str | None
    special: tuple[str, ...]
    plain: tuple[str, ...] = ()
    """Added tokens that are not special."""
    bos: str | None = None
    eos: str = "<|im_end|>"
    spaces: str = ""
    """What stands for a space, where its vocabulary is of characters and not of bytes."""


CHATML = (
    "{%- if messages[0].role != 'system' -%}"
    "{{ '<|im_start|>system\\nYou are a tiny model made for tests.<|im_end|>\\n' }}"
    "{%- endif -%}"
    "{%- for turn in messages -%}"
    "{{ '<|im_start|>' + turn.role + '\\n' + turn.content + '<|im_end|>\\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}"
)
THINKING = (
    "{%- set nothing = '<think>\\n\\n</think>\\n\\n' -%}"
    "{%- for turn in messages -%}"
    "{{ '<|im_start|>' + turn.role + '\\n' }}"
    "{%- if turn.role == 'assistant' and loop.last -%}{{ nothing }}{%- endif -%}"
    "{{ turn.content + '<|im_end|>\\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}"
    "{{ '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and not enable_thinking -%}{{ nothing }}{%- endif -%}"
    "{%- endif -%}"
)
NO_SYSTEM = (
    "{{ bos_token }}"
    "{%- for turn in messages -%}"
    "{%- if turn.role == 'system' -%}{{ raise_exception('there is no system role') }}{%- endif -%}"
    "{%- set role = 'model' if turn.role == 'assistant' else turn.role -%}"
    "{{ '<start_of_turn>' + role + '\\n' + turn.content | trim + '<end_of_turn>\\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<start_of_turn>model\\n' }}{%- endif -%}"
)
_TURNS = ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>")
_CALLS = tuple(
    f"<{edge}_function_{what}>"
    for what in ("declaration", "call", "response")
    for edge in ("start", "end")
)
# Gemma's tokenizer has runs of white space and tags of HTML among its added tokens.
_TEXTS = ("\n\n", "▁▁", "▁▁▁", "\t", "<b>", "</b>")
FAMILIES = {
    "chatml": Family(CHATML, ("<|endoftext|>", "<|im_start|>", "<|im_end|>")),
    "qwen3": Family(
        THINKING, ("<|endoftext|>", "<|im_start|>", "<|im_end|>"), ("<think>", "</think>")
    ),
    "gemma": Family(
        NO_SYSTEM, _TURNS, (*_TEXTS, "<unused0>"), bos="<bos>", eos="<eos>", spaces="▁"
    ),
    "functiongemma": Family(
        NO_SYSTEM, (*_TURNS, *_CALLS, "<escape>"), _TEXTS, bos="<bos>", eos="<eos>", spaces="▁"
    ),
    "no template": Family(None, ("<|im_start|>", "<|im_end|>")),
}


@cache
def tokenizer(family: str = "chatml") -> PreTrainedTokenizerFast:
    """Train a BPE on a few sentences and add a family's tokens to it."""
    made_for = FAMILIES[family]
    size = VOCABULARY - len(made_for.special) - len(made_for.plain)
    core = _of_characters(made_for.spaces, size) if made_for.spaces else _of_bytes(size)
    core.add_special_tokens([AddedToken(name, normalized=False) for name in made_for.special])
    core.add_tokens([AddedToken(name, normalized=False) for name in made_for.plain])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=made_for.bos,
        eos_token=made_for.eos,
        chat_template=made_for.template,
    )


def _of_bytes(size: int) -> Tokenizer:
    """A vocabulary of bytes and of what often stands together, as GPT-2's."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator(SENTENCES * 2, trainer)
    return core


def _of_characters(space: str, size: int) -> Tokenizer:
    """A vocabulary of characters, and of bytes for all others, as SentencePiece's."""
    runs = [space * 2, space * 3]
    letters = dict.fromkeys("".join(SENTENCES).replace(" ", space) + printable.strip() + GREEK)
    pieces = [*(f"<0x{byte:02X}>" for byte in range(256)), *runs, *letters][: size + len(runs)]
    merges = [(space, space), (space * 2, space)]
    known = {piece: number for number, piece in enumerate(pieces)}
    core = Tokenizer(models.BPE(known, merges, byte_fallback=True))
    core.normalizer = normalizers.Replace(" ", space)
    core.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    core.decoder = decoders.Sequence(
        [decoders.Replace(space, " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return core


def model(
    shape: str, *, seed: int = 0, attention: str = "sdpa", hidden: int = 48, layers: int = 0
) -> PreTrainedModel:
    """Make a model with random weights, in fp32 and evaluation mode; a new one each time."""
    common = {
        "vocab_size": VOCABULARY,
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 12,
        "max_position_embeddings": 512,
        "attn_implementation": attention,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }
    torch.manual_seed(seed)
    made: PreTrainedModel
    if shape == "gemma3":
        kinds = ["sliding_attention", "full_attention"] * 2
        made = Gemma3ForCausalLM(
            Gemma3TextConfig(
                **common,
                num_hidden_layers=layers or 4,
                layer_types=kinds[: layers or 4],
                sliding_window=WINDOW,
                query_pre_attn_scalar=12,
                final_logit_softcapping=30.0,
                initializer_range=0.2,
            )
        )
        with torch.no_grad():
            # Tied to the head as Gemma's are, larger embeddings would only repeat the last token.
            made.get_input_embeddings().weight.mul_(0.1)
    elif shape == "mistral":
        made = MistralForCausalLM(
            MistralConfig(
                **common,
                num_hidden_layers=layers or 3,
                sliding_window=WINDOW,
                tie_word_embeddings=False,
                initializer_range=0.2,
            )
        )
    else:
        config, kind = {
            "llama": (LlamaConfig, LlamaForCausalLM),
            "qwen3": (Qwen3Config, Qwen3ForCausalLM),
        }[shape]
        made = kind(
            config(
                **common,
                num_hidden_layers=layers or 3,
                tie_word_embeddings=False,
                initializer_range=0.2,
            )
        )
    return made.eval()


def save_base(folder: Path, family: str = "chatml", shape: str = "llama", **made: int) -> Path:
    """Write a tiny base model with its tokenizer, as a folder of weights."""
    base = model(shape, **made)
    base.config.eos_token_id = base.generation_config.eos_token_id = tokenizer(family).eos_token_id
    base.save_pretrained(folder)
    tokenizer(family).save_pretrained(folder)
    return folder
