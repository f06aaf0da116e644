"""Where a gate is, on one line below pytest's own while a system answers."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import pytest

from evalkit.errors import EvidenceError, UserError
from evalkit.printable import printable
from evalkit.runs import ASKED, RECORD, noting, read_record, run_folders

if TYPE_CHECKING:
    from pathlib import Path

_EVERY = 0.1
"""Seconds between two drawings."""


class LiveLine:
    """Shows what is being asked, how fast, and how long the whole takes; nothing off a terminal.

    The line is drawn below the one that pytest is writing, and is gone once all is answered; the
    cursor is then where pytest left it.
    """

    def __init__(
        self,
        stream: TextIO,
        column: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = time.monotonic,
        runs: Path | None = None,
    ) -> None:
        """Take where to draw.

        Args:
            stream: a terminal; nothing is written to anything else.
            column: where pytest's cursor is in its line; 0 where it is at the start of one.
            clock: seconds.
            runs: where to note it for `evalkit view`, whatever the stream is.
        """
        self._stream, self._column, self._clock = stream, column, clock
        self._is_shown = stream.isatty()
        self._runs = runs
        self._answered, self._seconds = 0, 0.0
        self._plans: dict[str, Mapping[str, int]] = {}
        """System -> part -> rows, as its last run was asked them."""
        self._asked: set[tuple[str, str]] = set()

    def plan(self, system: str, find: Callable[[], Mapping[str, int]]) -> None:
        """Find out, once and before it is asked, how much a system is going to be asked."""
        if self._is_shown and system not in self._plans:
            self._plans[system] = find()

    @contextmanager
    def __call__(self, system: str, part: str, total: int) -> Iterator[Callable[[], None]]:
        """Show a part while its rows are answered; call what is yielded for each of them."""
        self._asked.add((system, part))
        with noting(self._runs, system, part, total) as note:
            if self._is_shown:
                with self._drawing(system, part, total, note) as advance:
                    yield advance
            else:
                yield note

    @contextmanager
    def _drawing(
        self, system: str, part: str, total: int, note: Callable[[], None]
    ) -> Iterator[Callable[[], None]]:
        done, began, drawn = 0, self._clock(), 0.0
        column = self._column()
        self._stream.write("\n" if column else "")

        def advance() -> None:
            nonlocal done, drawn
            note()
            done += 1
            now = self._clock()
            if now - drawn >= _EVERY:
                drawn = now
                self._draw(self.describe(system, part, done, total, now - began))

        try:
            self._draw(self.describe(system, part, 0, total, 0))
            yield advance
        finally:
            self._answered, self._seconds = (
                self._answered + done,
                self._seconds + self._clock() - began,
            )
            back = f"\x1b[1A\x1b[{column + 1}G" if column else ""
            self._stream.write(f"\r\x1b[K{back}")
            self._stream.flush()

    def describe(self, system: str, part: str, done: int, total: int, seconds: float) -> str:
        """The line: what is asked, rows, rows a second, time left of it and of the whole."""
        told = [f"{system}: {part or 'test rows'} {done:,}/{total:,}"]
        if done and seconds > 0:
            told.append(f"{done / seconds:,.1f} rows/s")
            told.append(f"{_clock_time((total - done) * seconds / done)} left")
            plan = self._plans.get(system, {})
            later = sum(n for name, n in plan.items() if (system, name) not in self._asked)
            if later:
                rows, spent = self._answered + done, self._seconds + seconds
                left = (total - done + later) * spent / rows
                told.append(f"about {_clock_time(left)} in all")
        return ", ".join(told)

    def _draw(self, text: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        self._stream.write(f"\r{printable(text, width)}\x1b[K")
        self._stream.flush()


def live_line(config: pytest.Config, runs: Path) -> LiveLine:
    """A line that knows where pytest's own ends."""
    terminal = config.pluginmanager.getplugin("terminalreporter")

    def column() -> int:
        if terminal is None or not sys.stdout.isatty():
            return 0
        width: int = terminal._tw.width_of_current_line
        return width

    return LiveLine(sys.stderr, column, runs=runs)


def rows_asked(runs: Path, system: str) -> dict[str, int]:
    """How many rows the last whole run of a system was asked, by part."""
    for folder in reversed(run_folders(runs)):
        try:
            if (folder / ASKED).is_dir() and read_record(folder).system == system:
                parts = sorted((folder / ASKED).glob(f"*/{RECORD}"))
                return {path.parent.name: read_record(path.parent).rows for path in parts}
        except (EvidenceError, UserError):
            continue
    return {}


def _clock_time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"
