"""What is being answered at the moment, in a small file that others can read meanwhile."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from evalkit import atomic

_FOLDER = ".under_way"
"""Under the runs: a file for each process."""
_EVERY = 1.0
"""Seconds between two notes."""


@dataclass(frozen=True, slots=True)
class UnderWay:
    """How far a part of a run is."""

    system: str
    part: str
    """Of the run; empty for the test rows."""
    done: int
    total: int
    seconds: float
    """Since the first was asked."""


@contextmanager
def noting(
    runs: Path | None,
    system: str,
    part: str,
    total: int,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Callable[[], None]]:
    """Note how far a part is, until the block ends; call what is yielded for each row.

    Nothing is noted where there is no folder of runs yet, and no trouble with the file matters.
    """
    if runs is None or not runs.is_dir():
        yield lambda: None
        return
    file, began = runs / _FOLDER / f"{os.getpid()}.json", clock()
    done, noted = 0, began

    def note() -> None:
        found = UnderWay(system, part, done, total, clock() - began)
        with suppress(OSError):
            atomic.write_text(file, json.dumps(asdict(found)))

    def advance() -> None:
        nonlocal done, noted
        done += 1
        if clock() - noted >= _EVERY:
            noted = clock()
            note()

    lock = file.with_suffix(".lock")
    with ExitStack() as held:
        with suppress(OSError):
            file.parent.mkdir(exist_ok=True)
            held.enter_context(atomic.turn(lock))
        note()
        try:
            yield advance
        finally:
            with suppress(OSError):
                file.unlink(missing_ok=True)
                held.close()
                lock.unlink(missing_ok=True)
                file.parent.rmdir()


def read_under_way(runs: Path) -> list[UnderWay]:
    """What processes that are alive are at."""
    found = []
    for file in sorted((runs / _FOLDER).glob("[0-9]*.json")):
        lock = file.with_suffix(".lock")
        with suppress(OSError, ValueError, TypeError):
            if lock.is_file() and atomic.is_held(lock):
                found.append(UnderWay(**json.loads(file.read_text(encoding="utf-8"))))
    return found
