"""What a fetch says while it works."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from evalkit.printable import legible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status


class Progress(Protocol):
    """Told of each stage of a fetch as it begins."""

    def stage(self, text: str, *, bars: bool = False) -> None:
        """Begin a stage. `bars`: what runs in it draws progress bars of its own."""


class Lines:
    """One line per stage, for logs."""

    def stage(self, text: str, *, bars: bool = False) -> None:
        """Write the stage to stderr."""
        sys.stderr.write(f"{legible(text)}\n")
        sys.stderr.flush()


class Spinner:
    """A spinner for the stage at work, a line with its time for each one done."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None
        self._text = ""
        self._began = 0.0

    def stage(self, text: str, *, bars: bool = False) -> None:
        """Finish the stage before this one and show the new one."""
        from rich.text import Text

        self.finish("done")
        self._text, self._began = text, perf_counter()
        if bars:
            self._console.print(Text(text))
        self._status = None if bars else self._console.status(Text(text))
        if self._status:
            self._status.start()

    def finish(self, outcome: str) -> None:
        """End the running stage, if there is one."""
        from rich.text import Text

        if self._status:
            self._status.stop()
        if self._text:
            seconds = perf_counter() - self._began
            self._console.print(Text(f"{self._text}: {outcome} ({seconds:.1f} s)"))
        self._status, self._text = None, ""


@contextmanager
def stderr_progress() -> Iterator[Progress]:
    """Progress on stderr: a spinner on a terminal, otherwise one line per stage."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    from evalkit.console import LegibleConsole

    # The stream is bound now: while a GGUF is converted, sys.stderr is another one.
    spinner = Spinner(LegibleConsole(file=sys.stderr))
    try:
        yield spinner
    except BaseException:
        spinner.finish("stopped")
        raise
    spinner.finish("done")
