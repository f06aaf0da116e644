"""Files and folders that are there whole or not at all, whoever is killed and whoever else writes.

What is made is beside its place under a name of its own and is moved in by one rename. A lock
dies with its process, so that what an unlocked name has left half-made is rubbish.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.errors import UserError

if TYPE_CHECKING:
    from filelock import BaseFileLock

_LONGEST_NAME = 120
"""Characters of a file's name that are kept in the name it is made under."""

_LEFT = 3600
"""Seconds after which a file that is still half-made is one that a killed process has left."""


def write_text(path: Path, text: str, *, errors: str = "strict") -> None:
    """Write a UTF-8 file, in the place of one that was there."""
    with replacing(path) as making:
        making.write_text(text, encoding="utf-8", errors=errors)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write a file to, which is moved to `path` unless the block raises.

    What processes that were killed have left of theirs is removed first.
    """
    made_under = f".{path.name[:_LONGEST_NAME]}."
    _sweep_files(path.parent, made_under)
    making = path.with_name(made_under + secrets.token_hex(4))
    try:
        yield making
        making.replace(path)
    except BaseException as error:
        with suppress(OSError):
            making.unlink()
        if isinstance(error, OSError) and error.filename == str(making):
            raise OSError(
                error.errno, error.strerror, str(path)
            ) from error  # as its reader knows it
        raise


@contextmanager
def making_folder(place: Path) -> Iterator[Path]:
    """An empty folder in `place`, to be filled and renamed; removed if it was not.

    What processes that were killed have left of theirs is removed first.
    """
    place.mkdir(parents=True, exist_ok=True)
    _sweep(place)
    making = place / f".making-{secrets.token_hex(4)}"
    lock = making.with_suffix(".lock")
    with _file_lock(lock):
        making.mkdir()
        try:
            yield making
        finally:
            shutil.rmtree(making, ignore_errors=True)
            lock.unlink(missing_ok=True)


@contextmanager
def turn(lock: Path, *, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Do the block while no other process does one under the same lock.

    Args:
        lock: the lock's file.
        waiting: called once where another process has to be waited for.
    """
    held = _file_lock(lock)
    try:
        held.acquire(timeout=0)
    except TimeoutError:
        waiting()
        held.acquire()
    try:
        yield
    finally:
        held.release()


@contextmanager
def only_one(lock: Path, doing: str) -> Iterator[None]:
    """Do the block, unless another process does one under the same lock.

    Args:
        lock: the lock's file.
        doing: what is done, as the beginning of a sentence: "mine is being trained".

    Raises:
        UserError: another process does; it says which.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    who = lock.with_suffix(".holder")
    held = _file_lock(lock)
    try:
        held.acquire(timeout=0)
    except TimeoutError:
        with suppress(OSError):
            doing += f" by {who.read_text(encoding='utf-8')}"
        raise UserError(f"{doing} already. Wait until it has finished, or stop it.") from None
    try:
        write_text(who, f"process {os.getpid()} on {socket.gethostname()}")
        yield
    finally:
        who.unlink(missing_ok=True)
        held.release()


def is_held(lock: Path) -> bool:
    """Whether a living process holds a lock; one that was killed holds none."""
    held = _file_lock(lock)
    try:
        held.acquire(timeout=0)
    except TimeoutError:
        return True
    held.release()
    return False


def _sweep_files(place: Path, made_under: str) -> None:
    """Remove files that nobody has written to for so long that nobody will."""
    left = re.compile(re.escape(made_under) + "[0-9a-f]{8}")
    with suppress(OSError):
        for entry in os.scandir(place):
            if left.fullmatch(entry.name) and time.time() - entry.stat().st_mtime > _LEFT:
                Path(entry).unlink()


def _sweep(place: Path) -> None:
    for lock in place.glob(".making-*.lock"):
        with suppress(OSError), _file_lock(lock, timeout=0):
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink(missing_ok=True)


def _file_lock(path: Path, *, timeout: float = -1) -> BaseFileLock:
    """A lock on a file. Its library brings asyncio, which listing systems does not need."""
    from filelock import FileLock

    return FileLock(path, timeout=timeout)
