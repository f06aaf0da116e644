"""A model's configuration and tensors as GGUF has them, for the architectures evalkit trains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf import MODEL_ARCH, GGUFWriter, RopeScalingType, get_tensor_name_map
from gguf.constants import MODEL_ARCH_NAMES

from evalkit.errors import UserError

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Architecture:
    """What sets one family's files apart."""

    kind: MODEL_ARCH
    activation: str
    """The only one that llama.cpp computes for it."""
    pairs_rotate: bool = False
    """Whether neighbouring dimensions rotate together, where transformers has halves."""
    norm_offset: float = 0.0
    """What is added to the weights of norms."""
    slides: bool = False
    """Whether some of its layers see a window only."""


ARCHITECTURES = {
    "llama": Architecture(MODEL_ARCH.LLAMA, "silu", pairs_rotate=True),
    "qwen3": Architecture(MODEL_ARCH.QWEN3, "silu"),
    "gemma3_text": Architecture(
        MODEL_ARCH.GEMMA3, "gelu_pytorch_tanh", norm_offset=1.0, slides=True
    ),
}
"""By `model_type` of a config.json."""


def architecture_of(config: Any) -> Architecture:
    """The architecture of a model.

    Raises:
        UserError: GGUF export does not know it, or llama.cpp computes it in another way.
    """
    found = ARCHITECTURES.get(config.model_type)
    if found is None:
        known = ", ".join(ARCHITECTURES)
        raise UserError(f"GGUF export knows {known}; the base is of type {config.model_type}.")
    activation = getattr(config, "hidden_act", None) or config.hidden_activation
    sliding = "sliding_attention" in (getattr(config, "layer_types", None) or ())
    scale = getattr(config, "query_pre_attn_scalar", config.head_dim)
    why = {
        f"its activation is {activation}": activation != found.activation,
        "some of its layers slide": sliding and not found.slides,
        "its attention is scaled by another number than the size of a head": scale
        != config.head_dim,
    }
    if reasons := [reason for reason, holds in why.items() if holds]:
        raise UserError(f"llama.cpp computes {config.model_type} in another way: {reasons[0]}.")
    return found


def write_configuration(writer: GGUFWriter, config: Any, found: Architecture) -> None:
    """Add what a model is made of to a file's metadata.

    Raises:
        UserError: llama.cpp would compute something else.
    """
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_rope_dimension_count(config.head_dim)
    rope = config.rope_parameters
    if found.slides:
        writer.add_sliding_window(config.sliding_window)
        writer.add_sliding_window_pattern(_period(config.layer_types))
        writer.add_rope_freq_base_swa(rope["sliding_attention"]["rope_theta"])
        rope = rope["full_attention"]
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    elif rope["rope_type"] not in ("default", "llama3"):
        raise UserError(f"GGUF export does not know rotary positions '{rope['rope_type']}'.")
    if softcap := getattr(config, "final_logit_softcapping", None):
        writer.add_final_logit_softcapping(softcap)


def _period(kinds: list[str]) -> int:
    """After how many layers one sees everything.

    Raises:
        UserError: they are in no such order.
    """
    full = [i for i, kind in enumerate(kinds) if kind == "full_attention"]
    period = full[0] + 1 if full else len(kinds) + 1
    if [i for i in range(len(kinds)) if i % period == period - 1] != full:
        raise UserError("llama.cpp wants layers that slide and layers that do not in even turns.")
    return period


def tensors(model: Any, found: Architecture) -> Iterator[tuple[str, Array]]:
    """The tensors by GGUF's names, in fp32.

    Raises:
        UserError: GGUF has no name for one of them.
    """
    config = model.config
    names = get_tensor_name_map(found.kind, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    head = model.get_output_embeddings().weight
    tied = head is model.get_input_embeddings().weight
    weights: Mapping[str, Any] = dict(model.named_parameters(remove_duplicate=True))
    for name, weight in weights.items():
        if tied and weight is head and not name.endswith("embed_tokens.weight"):
            continue
        key = names.get_name(name, (".weight", ".bias"))
        if key is None:
            raise UserError(f"GGUF has no name for the model's {name}.")
        array: Array = weight.detach().float().numpy()
        part = name.rsplit(".", 2)[-2]
        if found.pairs_rotate and part in heads:
            array = _paired(array, heads[part])
        if part.endswith("norm"):
            array = array + np.float32(found.norm_offset)
        yield key, np.ascontiguousarray(array)
    rope = config.rope_parameters
    if rope.get("rope_type") == "llama3":
        yield "rope_freqs.weight", _slowing(model.model.rotary_emb.inv_freq, rope["rope_theta"])


def _paired(array: Array, heads: int) -> Array:
    """Bring the dimensions that rotate together side by side."""
    size = array.shape[0] // heads
    halves = array.reshape(heads, 2, size // 2, *array.shape[1:])
    paired: Array = halves.swapaxes(1, 2).reshape(array.shape)
    return paired


def _slowing(frequencies: Any, theta: float) -> Array:
    """By how much each pair of dimensions turns more slowly than without scaling."""
    turning = frequencies.float().numpy()
    plain = theta ** -(np.arange(len(turning)) / len(turning))
    slowing: Array = (plain / turning).astype(np.float32)
    return slowing


def name_of(found: Architecture) -> str:
    """`general.architecture` of the file."""
    return str(MODEL_ARCH_NAMES[found.kind])
