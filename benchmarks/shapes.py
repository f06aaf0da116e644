"""Models of random numbers in the size of a known one."""

from __future__ import annotations

from typing import Any

from transformers import Qwen3Config, Qwen3ForCausalLM

QWEN3_VOCABULARY = 151_936
SHAPES: dict[str, dict[str, Any]] = {
    "qwen3-0.6b": {
        "vocab_size": QWEN3_VOCABULARY,
        "hidden_size": 1024,
        "intermediate_size": 3072,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
    },
    # To try the scripts out.
    "tiny": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
    },
}


def random_model(shape: str, vocabulary: int, end: int) -> Qwen3ForCausalLM:
    """A model in fp32 on the CPU; the same numbers each time.

    Args:
        shape: a key of `SHAPES`.
        vocabulary: tokens, where the shape does not say.
        end: id of the token that ends an answer.
    """
    import torch

    torch.manual_seed(0)
    named = {"vocab_size": vocabulary, **SHAPES[shape]}
    return Qwen3ForCausalLM(Qwen3Config(tie_word_embeddings=True, eos_token_id=end, **named))
