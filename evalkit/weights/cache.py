"""The weights cache: folders that are whole or not there, and hashes already computed.

A folder is made beside its place under a lock, sealed with a manifest and moved into place in
one step, so that a process killed at any moment leaves nothing that is believed. A lock dies
with its process; what an unlocked name has left half-made is therefore rubbish.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from evalkit import __version__
from evalkit.atomic import turn, write_text
from evalkit.environment import expand
from evalkit.errors import UserError
from evalkit.weights.progress import Progress

MANIFEST = "evalkit-weights.json"
_WAITING = "waiting for another process that is making {}"


class FileRecord(BaseModel):
    """What a file of a cached folder must be."""

    model_config = ConfigDict(frozen=True)

    size: int
    sha256: str


class Manifest(BaseModel):
    """What a cached folder was made of and what it holds; written last."""

    model_config = ConfigDict(frozen=True)

    layout: Literal[1] = 1
    """Raised when the conversion changes; folders of another layout are made anew."""
    source: str
    sha256: str
    """Of the wheel or the GGUF file it was made from."""
    files: dict[str, FileRecord]
    """Path inside the folder -> size and hash."""
    evalkit: str
    """The version that made it."""


def cache_root() -> Path:
    """`$EVALKIT_CACHE`, or `evalkit` in `$XDG_CACHE_HOME` or `~/.cache`."""
    if own := os.environ.get("EVALKIT_CACHE"):
        return expand(own).absolute()
    return expand(os.environ.get("XDG_CACHE_HOME") or "~/.cache").absolute() / "evalkit"


def read_manifest(folder: Path) -> Manifest | None:
    """Read the manifest of a folder that holds just what it says, by name and size; else None."""
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
        sizes = {name: (folder / name).stat().st_size for name in _files(folder)}
    except (OSError, ValidationError):
        return None
    return manifest if sizes == {n: f.size for n, f in manifest.files.items()} else None


def cached(name: str, sha256: str) -> Path | None:
    """Find the cached folder of that name and origin, if it is as it was made.

    A file is hashed where its size or times have changed since it was last.
    """
    folder = weights_root() / name
    manifest = read_manifest(folder)
    return folder if manifest and manifest.sha256 == sha256 and not damaged(folder) else None


def cached_folders() -> list[Path]:
    """All folders of the cache that claim to be whole."""
    return sorted(path.parent for path in weights_root().glob(f"[!.]*/{MANIFEST}"))


def damaged(folder: Path, *, anew: bool = False) -> list[str]:
    """The files of a cached folder that are not what its manifest says.

    Args:
        folder: the folder.
        anew: hash every file, whatever is remembered of it.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        return [MANIFEST]
    hashed = hash_file if anew else file_sha256
    return [name for name, file in manifest.files.items() if hashed(folder / name) != file.sha256]


def weights_root() -> Path:
    """Where the cached folders lie."""
    return cache_root() / "weights"


def keep(
    name: str, sha256: str, source: str, make: Callable[[Path, Path], None], progress: Progress
) -> Path:
    """Return the cached folder, after making it where it is missing or a hash is wrong.

    Args:
        name: the folder's name in the cache.
        sha256: of what it is made from.
        source: what it is made from, in words; goes into the manifest.
        make: called as `make(work, content)`: fills the empty folder `content`; `work` is
            scratch room on the same disk, removed afterwards.
        progress: told where this process has to wait for another.

    Raises:
        UserError: the cache cannot be written.

    """
    place = weights_root()
    final = place / name
    try:
        place.mkdir(parents=True, exist_ok=True)
        _sweep(place)
        if _intact(final, sha256):
            return final
        lock = place / f".{name}.lock"
        with turn(lock, waiting=partial(progress.stage, _WAITING.format(name))):
            if _intact(final, sha256):  # made while this process waited
                return final
            work = place / f".{name}.partial-{secrets.token_hex(4)}"
            try:
                content = work / "content"
                content.mkdir(parents=True)
                make(work, content)
                _seal(content, source, sha256)
                if final.exists():
                    final.rename(work / "replaced")
                content.rename(final)
                _remember_all(final)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"The weights cache {place} could not be written: {error}. "
            "Make room there, or set EVALKIT_CACHE to another folder."
        ) from error
    return final


def file_sha256(path: Path) -> str:
    """Hash a file with SHA-256, or remember its hash if it has not changed since the last time."""
    known = remembered_sha256(path)
    if known:
        return known
    note = _note(path)
    digest = hash_file(path)
    if note == _note(path):  # else it changed while it was read
        _remember(note, digest)
    return digest


def _remember(note: Path, digest: str) -> None:
    with suppress(OSError):  # a cache that cannot be written costs time, never the answer
        note.parent.mkdir(parents=True, exist_ok=True)
        write_text(note, digest)


def _remember_all(folder: Path) -> None:
    """Remember what was hashed a moment ago, so that it is not hashed again."""
    manifest = read_manifest(folder)
    for name, file in manifest.files.items() if manifest else ():
        _remember(_note(folder / name), file.sha256)


def remembered_sha256(path: Path) -> str | None:
    """Return the SHA-256 of a file that was hashed before and has not changed since."""
    try:
        digest = _note(path).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
    return digest if re.fullmatch(r"[0-9a-f]{64}", digest) else None


def _note(path: Path) -> Path:
    """Where a file's hash is remembered: named after all that changes when the file does."""
    real = path.resolve()
    stat = real.stat()
    state = json.dumps([str(real), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns])
    return cache_root() / "hashes" / hashlib.sha256(state.encode()).hexdigest()


def hash_file(path: Path) -> str:
    """Hash a file with SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(folder: Path) -> list[str]:
    """Paths inside a cached folder, but for the manifest and what a file manager leaves."""
    inside = (path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir())
    return sorted(
        path.as_posix() for path in inside if path.name != MANIFEST and path.name[0] != "."
    )


def _intact(folder: Path, sha256: str) -> bool:
    """Whether every file of a cached folder has the hash in its manifest."""
    manifest = read_manifest(folder)
    return bool(manifest and manifest.sha256 == sha256 and not damaged(folder, anew=True))


def _seal(content: Path, source: str, sha256: str) -> None:
    """Write the manifest, once everything it speaks of is on the disk."""
    # safetensors writes files that only their owner can read; a cache may be shared.
    mode = content.stat().st_mode & 0o666
    files = {}
    for name in _files(content):
        path = content / name
        path.chmod(mode)
        _sync(path)
        files[name] = FileRecord(size=path.stat().st_size, sha256=hash_file(path))
    manifest = Manifest(source=source, sha256=sha256, files=files, evalkit=__version__)
    (content / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    _sync(content / MANIFEST)


def _sync(path: Path) -> None:
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _sweep(place: Path) -> None:
    """Remove what dead processes left half-made."""
    from filelock import FileLock, Timeout

    for work in place.glob(".*.partial-*"):
        name = work.name[1:].rpartition(".partial-")[0]
        with suppress(Timeout, OSError), FileLock(place / f".{name}.lock", timeout=0):
            shutil.rmtree(work, ignore_errors=True)
