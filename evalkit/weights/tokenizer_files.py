"""The files of a tokenizer: an adapter may bring some of its own."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from evalkit.locale import Note, say

TEMPLATE = "chat_template.jinja"
VOCABULARY = "tokenizer.json"
SETTINGS = "tokenizer_config.json"
_FILES = (VOCABULARY, SETTINGS, TEMPLATE, "special_tokens_map.json", "added_tokens.json")
_TRAINED_HERE = "provenance.json"


def brings_tokenizer(adapter: Path) -> bool:
    """Whether an adapter is to be asked with a tokenizer or a template that lies beside it.

    One that evalkit trained was taught with its base's.
    """
    if (adapter / _TRAINED_HERE).is_file():
        return False
    return (adapter / VOCABULARY).is_file() or chat_template(adapter) is not None


def chat_template(folder: Path) -> str | None:
    """The template that lies in a folder, in a file of its own or among the settings."""
    try:
        return (folder / TEMPLATE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        pass
    try:
        found = json.loads((folder / SETTINGS).read_text(encoding="utf-8")).get("chat_template")
    except (OSError, ValueError, AttributeError):
        return None
    return found if isinstance(found, str) else None


def tokenizer_sha256(folder: Path) -> str:
    """Hash what decides how a text becomes tokens; hexadecimal."""
    digest = hashlib.sha256()
    for name in _FILES:
        path = folder / name
        content = path.read_bytes() if path.is_file() else b""
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def tokenizer_notes(adapter: Path, base: Path | None) -> list[Note]:
    """Say what an adapter is asked with that is not its base's."""
    if not brings_tokenizer(adapter):
        return []
    if base is None:
        return [say("note.own_tokenizer")]
    notes = []
    template = chat_template(adapter)
    if template is not None and template != chat_template(base):
        notes.append(say("note.own_template"))
    if _vocabulary(adapter) not in (None, _vocabulary(base)):
        notes.append(say("note.other_tokenizer"))
    return notes


def _vocabulary(folder: Path) -> bytes | None:
    path = folder / VOCABULARY
    return path.read_bytes() if path.is_file() else None
