"""A system's adapter merged into its base: an ordinary model, and a system of its own."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from evalkit.atomic import write_text
from evalkit.data.fingerprints import FILE as FINGERPRINTS
from evalkit.engines.loading import attach_adapter, load_base, load_tokenizer
from evalkit.errors import UserError
from evalkit.run_record import PROVENANCE, Provenance
from evalkit.systems import FILE, System, missing_parts
from evalkit.weights.cache import hash_file

_MERGED = {
    *("summary", "task", "base", "adapter", "engine", "ray", "llamacpp", "quantization", "recipe")
}
"""What a merged model's system.toml does not take over from its adapter's."""
_WEIGHTS = (".gguf", ".safetensors")


def export_merged(system: System, folder: Path, precision: Literal["bf16", "fp32"]) -> None:
    """Merge a system's adapter into its base and write it as safetensors.

    The folder holds a system.toml, so that `pytest suites/ --model FOLDER` judges the merged
    model, and the fingerprints of the rows that it was trained on.

    Raises:
        UserError: nothing to merge, parts of the system are missing, or the folder is not empty.
    """
    import torch

    if not system.config.wants_adapter:
        raise UserError(f"{system.name} has no adapter to merge.")
    with made_aside(folder) as making:
        merged = load_merged(system)
        if precision == "bf16":
            merged = merged.to(torch.bfloat16)
        merged.config.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        # peft and transformers note where the base was loaded from.
        merged.config._name_or_path = merged.name_or_path = ""
        merged.save_pretrained(making)
        load_tokenizer(base_of(system), system.adapter_folder).save_pretrained(making)
        describe(system, making, "merged", {"base": ".", "adapter": False})


def base_of(system: System) -> Path:
    """The folder of a system's base weights.

    Raises:
        UserError: it has none, or parts of the system are missing.
    """
    if system.config.engine not in ("transformers", "ray"):
        if system.is_baseline:
            raise UserError(f"{system.name} has nothing to merge: its folder is what is deployed.")
        raise UserError(f"{system.name} runs elsewhere: there are no weights here to export.")
    if missing := missing_parts(system):
        raise UserError(" ".join(missing))
    base = system.source.locate() if system.source else None
    assert base is not None
    return base


def load_merged(system: System) -> Any:
    """The base in fp32 with the adapter, if there is one, in it.

    The sum is made in fp32 whatever the adapter was trained over: a 4-bit base would round the
    adapter away.
    """
    import torch

    model: Any = load_base(base_of(system), device=torch.device("cpu"), dtype=torch.float32)
    if system.adapter_folder is None:
        return model
    return attach_adapter(model, system.adapter_folder).merge_and_unload()  # type: ignore[operator]


@contextmanager
def made_aside(folder: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `folder` once it is whole.

    Raises:
        UserError: there is something in `folder`.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty. Name a new folder.")
    making = folder.with_name(f"{folder.name}.making-{os.getpid()}")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    try:
        yield making
        if folder.exists():
            folder.rmdir()
        making.replace(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def describe(system: System, folder: Path, what: str, runs: Mapping[str, Any]) -> None:
    """Write the system.toml beside the weights, and what belongs to the adapter and stays true."""
    task = system.config.task
    if task.endswith(".toml"):
        shutil.copyfile(system.folder / task, folder / Path(task).name)
        task = Path(task).name
    # How it is asked and read stays; what made the adapter, and from what, is in the weights now.
    kept = system.config.model_dump(exclude_defaults=True, exclude=_MERGED)
    summary = f"{system.config.summary or system.name}, {what}"
    settings = {"summary": summary, "task": task, **kept, **runs}
    tables = {key: value for key, value in settings.items() if isinstance(value, dict)}
    lines = [
        f"# {system.name}, {what}: its adapter is in the weights of {system.config.base}.",
        *_toml({key: value for key, value in settings.items() if key not in tables}),
    ]
    for name, table in tables.items():
        lines += ["", f"[{name}]", *_toml(table)]
    (folder / FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    if (system.folder / FINGERPRINTS).is_file():
        shutil.copyfile(system.folder / FINGERPRINTS, folder / FINGERPRINTS)
    if provenance := Provenance.read(system.folder):
        text = json.dumps(_of_the_export(provenance, system, folder).to_json(), indent=2)
        write_text(folder / PROVENANCE, f"{text}\n")


def _of_the_export(provenance: Provenance, system: System, folder: Path) -> Provenance:
    """The adapter's provenance, of the exported weights where it is of the adapter's.

    Beside other weights it stays as it is, and says of the export that its rows are not known.
    """
    if not provenance.trained_sha256 or provenance.replaced_weights(system.folder):
        return provenance
    weights = sorted(path for path in folder.iterdir() if path.suffix in _WEIGHTS)
    return provenance.having(trained_sha256={path.name: hash_file(path) for path in weights})


def _toml(values: Mapping[str, Any]) -> list[str]:
    # A JSON string, number, truth value or list of strings is one of TOML.
    return [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
