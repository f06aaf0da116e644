"""A folder of base weights: whether it can serve, and its fingerprint."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from evalkit.errors import UserError
from evalkit.weights.cache import cache_root, file_sha256, read_manifest

_INDEX = "model.safetensors.index.json"
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")


def weight_files(folder: Path) -> list[Path]:
    """List the weight files that transformers would load from a folder, by name."""
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    try:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        return [folder / name for name in sorted(set(index["weight_map"].values()))]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def problem(folder: Path) -> str | None:
    """Say why a folder cannot serve as base weights, in sentences; None where it can."""
    try:
        names = sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return f"There is no folder {folder}."
    except NotADirectoryError:
        return f"{folder} is a file; give the folder that holds it, its config and tokenizer."
    except OSError as error:
        return f"{folder} cannot be read: {error.strerror}."
    adapter = "adapter_config.json" in names
    if "config.json" not in names:
        gguf = next((name for name in names if name.endswith(".gguf")), None)
        if adapter:
            return (
                f"{folder} holds an adapter, not base weights. Make it a system of its own, "
                "and let `base` name the model it was trained on."
            )
        if gguf:
            return f"{folder} holds no config.json. Give the path of the file: {folder / gguf}."
        return f"{folder} holds no config.json, so it is not a model that transformers can load."
    if adapter:
        return (
            f"{folder} holds base weights and an adapter, and transformers would load both as "
            "the base. Move adapter_config.json and adapter_model.safetensors elsewhere."
        )
    weights = weight_files(folder)
    pickle = next((name for name in names if name.endswith(_PICKLES)), None)
    if not weights and pickle:
        return (
            f"{folder} holds its weights as a pickle ({pickle}), which can run any code when it "
            "is loaded; evalkit reads safetensors only. Save the model with "
            "`model.save_pretrained(FOLDER)` and give that folder."
        )
    if not weights:
        return f"{folder} holds no model.safetensors."
    broken = next((path for path in weights if not _whole(path)), None)
    if broken:
        return (
            f"{broken} is missing or cut short (or a git-lfs pointer: `git lfs pull` gets the "
            "file). Copy or download it again."
        )
    if not any(name in names for name in _TOKENIZERS):
        return f"{folder} holds no tokenizer (one of {', '.join(_TOKENIZERS)})."
    return None


def weights_fingerprint(folder: Path) -> str:
    """Hash the contents of a folder's weight files with SHA-256.

    It is the hash of what `sha256sum` prints for them. A folder's in the weights cache is read
    from its manifest; elsewhere each file is hashed once and remembered until it changes.

    Raises:
        UserError: there are no weight files.

    """
    files = weight_files(folder)
    if not files:
        raise UserError(f"{folder} holds no weights to identify.")
    # A manifest that was copied elsewhere may lie beside other weights of the same size.
    at_home = folder.absolute().parent == cache_root() / "weights"
    manifest = read_manifest(folder) if at_home else None
    lines = [
        f"{manifest.files[path.name].sha256 if manifest else file_sha256(path)}  {path.name}\n"
        for path in files
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _whole(path: Path) -> bool:
    """Whether a safetensors file is as long as its header says. Reads the header only."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            size = path.stat().st_size
            if not 0 < length <= size - 8:
                return False
            header: dict[str, dict[str, list[int]]] = json.loads(file.read(length))
        header.pop("__metadata__", None)
        ends = [tensor["data_offsets"][1] for tensor in header.values()]
        return size == 8 + length + max(ends, default=0)
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError):
        return False
