"""A system's adapter merged into its base: an ordinary model, and a system of its own."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, Literal

from evalkit.data.fingerprints import FILE as FINGERPRINTS
from evalkit.engines.loading import attach_adapter, load_base, load_tokenizer
from evalkit.errors import UserError
from evalkit.systems import FILE, System, missing_parts

_MERGED = {"summary", "task", "base", "adapter", "engine", "ray", "quantization", "recipe"}
"""What a merged model's system.toml does not take over from its adapter's."""


def export_merged(system: System, folder: Path, precision: Literal["bf16", "fp32"]) -> None:
    """Merge a system's adapter into its base and write it as safetensors.

    The sum is made in fp32 and rounded once, whatever the adapter was trained over: a 4-bit
    base would round the adapter away. The folder holds a system.toml, so that
    `pytest suites/ --model FOLDER` judges the merged model, and the fingerprints of the rows
    that it was trained on.

    Raises:
        UserError: nothing to merge, parts of the system are missing, or the folder is not empty.
    """
    import torch

    if not system.config.wants_adapter or system.source is None:
        raise UserError(f"{system.name} has no adapter to merge.")
    if missing := missing_parts(system):
        raise UserError(" ".join(missing))
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty. Name a new folder.")
    base = system.source.locate()
    assert base is not None
    model: Any = load_base(base, device=torch.device("cpu"), dtype=torch.float32)
    merged = attach_adapter(model, system.folder).merge_and_unload()  # type: ignore[operator]
    if precision == "bf16":
        merged = merged.to(torch.bfloat16)
    merged.config.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    # peft and transformers note where the base was loaded from.
    merged.config._name_or_path = merged.name_or_path = ""

    making = folder.with_name(f"{folder.name}.making-{os.getpid()}")
    shutil.rmtree(making, ignore_errors=True)
    try:
        merged.save_pretrained(making)
        load_tokenizer(base).save_pretrained(making)
        _describe(system, making)
        if folder.exists():
            folder.rmdir()
        making.replace(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _describe(system: System, folder: Path) -> None:
    """Write the system.toml, and copy what belongs to the adapter and stays true."""
    task = system.config.task
    if task.endswith(".toml"):
        shutil.copyfile(system.folder / task, folder / Path(task).name)
        task = Path(task).name
    # How it is asked and read stays; what made the adapter, and from what, is in the weights now.
    kept = system.config.model_dump(exclude_defaults=True, exclude=_MERGED)
    summary = f"{system.config.summary or system.name}, merged"
    settings = {"summary": summary, "task": task, **kept, "base": ".", "adapter": False}
    lines = [
        f"# {system.name}, its adapter merged into {system.config.base}.",
        # A JSON string, truth value or list of strings is one of TOML.
        *(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in settings.items()),
    ]
    (folder / FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    if (system.folder / FINGERPRINTS).is_file():
        shutil.copyfile(system.folder / FINGERPRINTS, folder / FINGERPRINTS)
