"""An end to Python code that may have none."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Break off what is called in here, in this thread, once it has taken too long.

    What runs outside Python's interpreter comes to its end first. It costs time on every line, so
    it is for code that nobody has read: chat templates, which become Python.

    Raises:
        TimeoutError: it took longer.
    """
    end = time.monotonic() + seconds

    def watch(frame: FrameType, event: str, argument: object) -> object:
        if time.monotonic() > end:
            raise TimeoutError(f"it takes longer than {seconds:g} s")
        return watch

    before = sys.gettrace()
    sys.settrace(watch)  # type: ignore[arg-type]
    try:
        yield
    finally:
        sys.settrace(before)
