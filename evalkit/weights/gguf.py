"""GGUF files, dequantised once into a folder that transformers loads as any other."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any

from evalkit.errors import UserError
from evalkit.weights.folder import problem


def convert(gguf: Path, content: Path, name: str) -> None:
    """Write a GGUF's model, in bfloat16, and its tokenizer into a folder.

    Args:
        gguf: the file.
        content: the folder to fill.
        name: what the user calls the file, for messages.

    Raises:
        UserError: transformers cannot read the file.
        OSError: the folder cannot be written.

    """
    with gguf.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise UserError(f"{name} is not a GGUF file. Download it again.")

    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    arguments: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True}
    try:
        from transformers import GgufConfig

        extra = {"quantization_config": GgufConfig(dequantize=True)}
    except ImportError:  # older transformers always dequantise
        extra = {}
    try:
        with _no_bars():
            model: Any = AutoModelForCausalLM.from_pretrained(
                gguf.parent, dtype=torch.bfloat16, **arguments, **extra
            )
            tokenizer: Any = AutoTokenizer.from_pretrained(gguf.parent, **arguments)
    except Exception as error:  # a foreign parser on a foreign file may raise anything
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"transformers cannot read {name}: {type(error).__name__}: {reason} "
            "Convert the model to safetensors elsewhere and give that folder as `base`."
        ) from error
    try:
        with _no_bars():
            model.save_pretrained(content)
            tokenizer.save_pretrained(content)
    except SafetensorError as error:  # it wraps the disk's own errors
        raise OSError(str(error)) from error
    if trouble := problem(content):
        raise UserError(f"{name} became a folder that cannot be used. {trouble}")


@contextmanager
def _no_bars() -> Iterator[None]:
    """Keep transformers' progress bars off stderr; log messages still get there."""
    # The GGUF loader calls tqdm itself, past transformers' own switch, hence the redirection.
    # The log handler has had its stream since transformers was imported.
    with redirect_stderr(io.StringIO()):
        yield
