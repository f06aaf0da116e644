"""The command line within this process, as starting one takes a second."""

from __future__ import annotations

import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from evalkit.cli import main

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    returncode: int
    stdout: str
    stderr: str


def evalkit(*arguments: str | Path, cwd: Path = ROOT) -> Done:
    """Run `evalkit` as in a pipe, which is 80 columns wide."""
    out, err = StringIO(), StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        chdir(cwd),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        patch.setenv("COLUMNS", "80")
        patch.setattr(sys, "argv", ["evalkit", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
    return Done(int(str(stop.value)), out.getvalue(), err.getvalue())
