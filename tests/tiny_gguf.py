"""A random llama as a GGUF file, which a real llama.cpp can serve."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np

from tiny_models import CHATML, tokenizer

WIDTH, INNER, HEADS = 64, 128, 4


def save_gguf(path: Path) -> Path:
    """Write one layer of random numbers with the tokenizer of the tests."""
    made = tokenizer()
    core = json.loads(made.backend_tokenizer.to_str())
    special = {token["content"] for token in core["added_tokens"]}
    tokens = made.convert_ids_to_tokens(range(len(made)))
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_context_length(4096)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_merges([" ".join(pair) for pair in core["model"]["merges"]])
    writer.add_token_types([3 if token in special else 1 for token in tokens])
    writer.add_eos_token_id(made.eos_token_id)
    writer.add_chat_template(CHATML)
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd": (len(tokens), WIDTH),
        "output": (len(tokens), WIDTH),
        "output_norm": (WIDTH,),
        **{f"blk.0.attn_{part}": (WIDTH, WIDTH) for part in ("q", "k", "v", "output")},
        **{f"blk.0.ffn_{part}": (INNER, WIDTH) for part in ("gate", "up")},
        "blk.0.ffn_down": (WIDTH, INNER),
        **{f"blk.0.{part}_norm": (WIDTH,) for part in ("attn", "ffn")},
    }
    random = np.random.default_rng(0)
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", random.standard_normal(shape).astype(np.float32) * 0.2)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
