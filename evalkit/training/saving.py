"""A trained adapter on disk."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from peft import PeftModel
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file

from evalkit.weights.cache import hash_file

_NOTHING: Mapping[str, Callable[[Path], object]] = MappingProxyType({})
_WEIGHTS = "adapter_model.safetensors"


def save_adapter(
    trained: PeftModel,
    base_name: str,
    provenance: Mapping[str, Any],
    folder: Path,
    beside: Mapping[str, Callable[[Path], object]] = _NOTHING,
) -> None:
    """Write an adapter as peft reads it, in bf16, with its provenance; whole or not at all.

    All files are made in a folder beside and moved in one by one, the weights last: an
    adapter counts as here only when its weights are.

    `beside` has what writes further files, by their names.
    """
    making = folder / f".making-{os.getpid()}"
    # A killed process may have left it, and process ids come again.
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    try:
        weights = get_peft_model_state_dict(trained, save_embedding_layers=False)
        save_file(
            {
                name: w.detach().to("cpu", torch.bfloat16).contiguous()
                for name, w in weights.items()
            },
            making / _WEIGHTS,
            metadata={"format": "pt"},
        )
        config = copy.copy(trained.peft_config["default"])
        config.inference_mode = True
        # peft writes the local path of the base here; a shelf's folder must mean the same
        # everywhere.
        config.base_model_name_or_path = base_name
        config.save_pretrained(str(making))
        made_of = {"trained_sha256": {_WEIGHTS: hash_file(making / _WEIGHTS)}}
        text = json.dumps({**provenance, **made_of}, indent=2, ensure_ascii=False) + "\n"
        (making / "provenance.json").write_text(text, encoding="utf-8")
        for name, write in beside.items():
            write(making / name)
        (folder / _WEIGHTS).unlink(missing_ok=True)
        made = sorted(path.name for path in making.iterdir() if path.name != _WEIGHTS)
        for name in (*made, _WEIGHTS):
            (making / name).replace(folder / name)
    finally:
        shutil.rmtree(making)
