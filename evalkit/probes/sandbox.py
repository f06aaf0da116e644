"""Running code that a model wrote, in a process that can do nothing but compute.

`confined.py` is what runs there and says how it is confined. What the code should return never
enters that process: it sends back the values it computed, and they are compared here, so code
cannot pass by printing, by leaving early or by tampering with the comparison. Code can reach all
that is in its process, the way back included. So what comes back after it began is taken for its
own words: values to be compared, or a way to have failed, and never a reason not to be judged.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

_CONFINED = Path(__file__).with_name("confined.py")
_OPENING = "confined\n"
"""What the process says before it runs code, whose own words may be all that follows."""
_LONGEST_CODE = 20_000


class Stop(StrEnum):
    """Why code came to no result."""

    TIMEOUT = "timeout"
    MEMORY = "memory"
    OUTPUT = "output"
    """It printed more than any answer needs."""
    PROCESS = "process"
    """It tried to start a process or a thread, or to signal one."""
    NETWORK = "network"
    FILES = "files"
    NATIVE = "native"
    """It tried to reach native code or the limits themselves."""
    SYSTEM_CALL = "system call"
    """It got past the interpreter's wall, and the kernel killed it."""
    ENDED = "ended"
    """It left before its functions were called."""
    CRASHED = "crashed"
    ERROR = "error"
    """An ordinary mistake: an exception, a syntax error, no function."""
    UNAVAILABLE = "unavailable"
    """It was not run: this system cannot confine it."""


@dataclass(frozen=True)
class Limits:
    """What code may use up."""

    seconds: float = 1.5
    """Of processor time, to the next whole second: how busy the machine is decides nothing."""
    patience: float = 20.0
    """Wall-clock, for what sleeps or waits."""
    megabytes: int = 512
    """Of address space."""
    characters: int = 100_000
    """Of output."""


@dataclass(frozen=True)
class Ran:
    """What came of running code."""

    values: tuple[Any, ...] | None
    """What the function returned for each case, as JSON has it; None where it was stopped."""
    stopped: Stop | None = None
    detail: str = ""


def run_code(
    code: str,
    cases: Sequence[Sequence[Any]],
    *,
    function: str | None = None,
    limits: Limits = Limits(),
) -> Ran:
    """Run code, then call the function it defines once for each case.

    Args:
        code: Python, trusted in nothing.
        cases: arguments of each call, as JSON has them.
        function: its name; where the code defines none of that name, the first function that
            takes as many arguments is called.
        limits: what it may use up.

    Returns:
        the values, or why there are none. Where this system has no seccomp filter (Linux on
        x86-64 or AArch64 has), the code is not run at all.
    """
    if sys.platform != "linux":
        return Ran(None, Stop.UNAVAILABLE, f"no seccomp filter on {sys.platform}")
    if len(code) > _LONGEST_CODE:
        return Ran(None, Stop.ERROR, f"longer than {_LONGEST_CODE:,} characters")
    order = {
        "opening": _OPENING,
        "code": code,
        "function": function,
        "cases": [list(case) for case in cases],
        "seconds": limits.seconds,
        "megabytes": limits.megabytes,
    }
    with tempfile.TemporaryDirectory(prefix="evalkit-probe-") as empty:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", "-X", "utf8", "-W", "ignore", str(_CONFINED)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=empty,
            env={"TZ": "UTC0"},
            start_new_session=True,
        )
        try:
            stopped, said = _listen(process, json.dumps(order).encode(), limits)
        finally:
            _kill(process)
    return _conclude(stopped, said, process.returncode)


@cache
def why_unavailable() -> str | None:
    """Why code cannot be run here; None where it can."""
    tried = run_code("def one():\n    return 1", [[]])
    return None if tried.values == (1,) else tried.detail or str(tried.stopped)


def _listen(
    process: subprocess.Popen[bytes], order: bytes, limits: Limits
) -> tuple[Stop | None, bytes]:
    """Give the order and collect what is found, until the end or a limit."""
    assert process.stdin
    assert process.stdout
    assert process.stderr
    deadline = time.monotonic() + limits.patience
    # Where it is gone already, its return code says how.
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(order)
        process.stdin.close()
    found = bytearray()
    amount = 0
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        selector.register(process.stderr, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                return Stop.TIMEOUT, b""
            for key, _ in ready:
                data = os.read(key.fd, 65_536)
                if not data:
                    selector.unregister(key.fileobj)
                amount += len(data)
                if key.fileobj is process.stdout:
                    found += data
            if amount > limits.characters:
                return Stop.OUTPUT, b""
            if time.monotonic() > deadline:
                return Stop.TIMEOUT, b""
    return None, bytes(found)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the process and whatever it may have started."""
    # The group is there until its leader is waited for, so its number is not another's yet.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None and not pipe.closed:
            pipe.close()


def _conclude(stopped: Stop | None, said: bytes, returncode: int) -> Ran:
    if stopped is not None:
        return Ran(None, stopped)
    if returncode < 0:
        name = signal.Signals(-returncode).name
        if returncode == -signal.SIGSYS:
            return Ran(None, Stop.SYSTEM_CALL, "killed by the kernel")
        if returncode in (-signal.SIGXCPU, -signal.SIGKILL):
            return Ran(None, Stop.TIMEOUT, name)
        return Ran(None, Stop.CRASHED, name)
    was_confined = said.startswith(_OPENING.encode())
    said = said.removeprefix(_OPENING.encode())
    if not said:
        return Ran(None, Stop.ENDED, f"exit code {returncode}")
    try:
        found = json.loads(said)
        if "values" in found:
            return Ran(tuple(found["values"]), None)
        stopped = Stop(found["stopped"])
        if stopped is Stop.UNAVAILABLE and was_confined:
            stopped = Stop.ENDED
        return Ran(None, stopped, _one_line(str(found["detail"])[:200]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return Ran(None, Stop.ENDED, "what it sent back cannot be read")


def _one_line(said: str) -> str:
    """What code said, with escapes for all that is not printed as it is."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in said)
