"""Processes forked from a server that has imported everything, and computed nothing."""

from __future__ import annotations

import os
import runpy
import sys
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from multiprocessing.forkserver import ensure_running
from pathlib import Path

import pytest

PRELOADED = ["evalkit.training.trainer", "gate_imports", "tiny_models"]


def forking() -> ForkServerContext:
    """Where such processes are made. One server does for all tests of a worker."""
    context = get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    with pytest.MonkeyPatch.context() as patch:
        # It looks for modules where any Python does, and leaves out what it does not find.
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        ensure_running()
    return context


def run_script(script: Path, arguments: list[str], log: Path) -> int | None:
    """Run a script in such a process; returns its exit code. What it prints goes to a file."""
    process = forking().Process(target=_run, args=(str(script), arguments, str(log)))
    process.start()
    process.join()
    return process.exitcode


def _run(script: str, arguments: list[str], log: str) -> None:
    sys.argv = [script, *arguments]
    with Path(log).open("wb") as file:
        for printed in (1, 2):  # by number: the script's own processes print elsewhere so
            os.dup2(file.fileno(), printed)
    runpy.run_path(script, run_name="__main__")
