"""What runs inside the sandbox's process: it confines itself, then runs the code it is given.

`sandbox.py` starts this file by its path with `python -I -S`; it imports the standard library
alone. What it is told comes as JSON on standard input, what it found goes as JSON to standard
output; what the code prints goes to standard error.

Two walls, and each has to hold without the other:

- The kernel: resource limits (processor time, address space), and a seccomp filter, which from
  then on allows the few system calls a pure computation needs. Everything else kills the
  process: opening a file or a socket, starting a process or a thread, signalling another
  process, raising a limit. This binds root too, and no code in the process can take it away
  (seccomp(2), PR_SET_NO_NEW_PRIVS in prctl(2)).
- The interpreter: an audit hook (PEP 578) ends the process at the first attempt at any of
  these and says which it was. Nothing can be imported that was not loaded before.
"""

from __future__ import annotations

import ctypes
import importlib
import io
import json
import os
import platform
import resource
import struct
import sys
import time
from typing import Any, NoReturn

MODULES = (
    *("abc", "bisect", "calendar", "cmath", "collections", "collections.abc", "contextlib"),
    *("copy", "dataclasses", "datetime", "decimal", "enum", "fractions", "functools", "heapq"),
    *("itertools", "json", "math", "numbers", "operator", "random", "re", "statistics"),
    *("string", "textwrap", "time", "types", "typing", "unicodedata", "_strptime"),
    *("encodings.ascii", "encodings.latin_1", "encodings.unicode_escape", "encodings.utf_16"),
)
"""What probe code may import: loaded before the files go out of reach."""

_TELLING_IMPORTS = {
    "network": ("socket", "_socket", "ssl", "http", "urllib", "ftplib", "smtplib", "requests",
                "asyncio", "socketserver", "xmlrpc", "select", "selectors"),
    "process": ("subprocess", "_posixsubprocess", "multiprocessing", "threading", "_thread",
                "concurrent", "pty", "signal"),
    "files": ("pathlib", "shutil", "tempfile", "glob", "fileinput", "sqlite3", "dbm", "shelve",
              "mmap", "fcntl"),
    "native": ("ctypes", "_ctypes", "cffi", "resource"),
}  # fmt: skip
_TELLING_EVENTS = {
    "network": ("socket.", "urllib.", "http.", "ftplib.", "smtplib.", "ssl."),
    "process": ("os.fork", "os.forkpty", "os.exec", "os.spawn", "os.posix_spawn", "os.system",
                "os.startfile", "subprocess.", "_thread.", "pty.", "os.kill", "os.killpg",
                "signal.", "_posixsubprocess."),
    "files": ("open", "os.", "shutil.", "tempfile.", "glob.", "pathlib.", "sqlite3.", "mmap.",
              "fcntl."),
    "native": ("ctypes.", "resource."),
}  # fmt: skip

_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Machine -> its column below, its number for seccomp (linux/audit.h)."""
_CALLS = {
    "read": (0, 63), "write": (1, 64), "close": (3, 57), "fstat": (5, 80), "lseek": (8, 62),
    "mmap": (9, 222), "mprotect": (10, 226), "munmap": (11, 215), "brk": (12, 214),
    "mremap": (25, 216), "madvise": (28, 233), "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132),
    "restart_syscall": (219, 128), "futex": (202, 98), "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123), "nanosleep": (35, 101), "clock_nanosleep": (230, 115),
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "gettimeofday": (96, 169),
    "time": (201, None), "times": (100, 153), "getrusage": (98, 165), "uname": (63, 160),
    "getpid": (39, 172), "getppid": (110, 173), "gettid": (186, 178), "getuid": (102, 174),
    "geteuid": (107, 175), "getgid": (104, 176), "getegid": (108, 177),
    "getrandom": (318, 278), "exit": (60, 93), "exit_group": (231, 94),
}  # fmt: skip
"""The system calls of a pure computation, with their numbers on x86-64 and AArch64
(asm/unistd_64.h, asm-generic/unistd.h)."""

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
_SIGKILL = 9


class _Prog(ctypes.Structure):
    """`struct sock_fprog` of linux/filter.h."""

    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def filter_program(machine: str) -> bytes:
    """The seccomp filter for a machine, as BPF instructions (seccomp(2), linux/filter.h).

    Raises:
        OSError: this kind of machine has no table of system calls here.
    """
    if machine not in _ARCHITECTURES or struct.calcsize("P") != 8:
        raise OSError(f"no table of system calls for {machine}")
    column, architecture = _ARCHITECTURES[machine]
    load, equal, give = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
    kill, allow = 0x80000000, 0x7FFF0000  # SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_ALLOW
    numbers = [number for both in _CALLS.values() if (number := both[column]) is not None]
    steps = [
        (load, 0, 0, 4),  # seccomp_data.arch
        (equal, 1, 0, architecture),
        (give, 0, 0, kill),
        (load, 0, 0, 0),  # seccomp_data.nr; x32 numbers have bit 30 set and equal none
        *((equal, len(numbers) - place, 0, number) for place, number in enumerate(numbers)),
        (give, 0, 0, kill),
        (give, 0, 0, allow),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def limit(seconds: float, megabytes: int) -> None:
    """Set limits that hold for root too, and die with whoever started this process.

    Raises:
        OSError: the system refuses one of them.
    """
    whole = max(1, round(seconds + 0.5))
    for what, most in (
        (resource.RLIMIT_CPU, whole),
        (resource.RLIMIT_AS, megabytes << 20),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))
    _prctl(_PR_SET_PDEATHSIG, _SIGKILL)
    _prctl(_PR_SET_DUMPABLE, 0)


def lock() -> None:
    """Let the kernel refuse all but the allowed system calls, for good.

    Raises:
        OSError: the system cannot do it.
    """
    program = filter_program(platform.machine())
    held = ctypes.create_string_buffer(program, len(program))
    prog = _Prog(len(program) // 8, ctypes.cast(held, ctypes.c_void_p).value)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_SECCOMP, 2, ctypes.addressof(prog))  # SECCOMP_MODE_FILTER


def _prctl(option: int, value: int, more: int = 0) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = [ctypes.c_ulong(n) for n in (value, more, 0, 0)]
    if libc.prctl(ctypes.c_int(option), *arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")


class Channel:
    """Where findings go; the first one ends the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def say(self, data: bytes) -> None:
        """Write all of it."""
        while data:
            data = data[os.write(self._descriptor, data) :]

    def end(self, **found: object) -> NoReturn:
        """Say what was found and be gone, without any code at exit."""
        try:
            data = json.dumps(found).encode()
        except (TypeError, ValueError, RecursionError, MemoryError):
            data = b'{"stopped": "error", "detail": "returned what is not a JSON value"}'
        self.say(data)
        os._exit(0)


def watch(channel: Channel) -> None:
    """End the process where the interpreter sees an attempt to get out."""
    # Bound here, so that code which replaces a module's functions does not change the hook.
    end, named, starts = channel.end, _imports(), tuple(_TELLING_EVENTS.items())

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "import":
            root = str(arguments[0]).partition(".")[0]
            if root in named:
                end(stopped=named[root], detail=f"import {root}")
            return
        if event == "open" and str(arguments[0]).startswith("<"):
            # The compiler looks for the line of a syntax error in a file of the code's name.
            raise FileNotFoundError(arguments[0])
        for reason, beginnings in starts:
            if event.startswith(beginnings):
                end(stopped=reason, detail=f"{event}{_brief(arguments)}")

    sys.addaudithook(hook)


def _imports() -> dict[str, str]:
    return {name: reason for reason, names in _TELLING_IMPORTS.items() for name in names}


def _brief(arguments: tuple[Any, ...]) -> str:
    shown = [repr(a) for a in arguments if isinstance(a, (str, bytes, int))][:2]
    return f"({', '.join(shown)})"[:80]


def _prepare() -> None:
    for name in MODULES:
        importlib.import_module(name)
    time.localtime()  # reads the time zone, once
    sys.stdin = io.StringIO()
    for name in ("ctypes", "_ctypes", "resource", "importlib", "platform", "subprocess"):
        sys.modules.pop(name, None)
    sys.meta_path.clear()
    sys.path_hooks.clear()
    sys.path.clear()


def _pick(space: dict[str, Any], wanted: str | None, arguments: int) -> Any:
    """The function that is asked for by name, or else the first that takes so many arguments."""
    if wanted is not None and callable(space.get(wanted)):
        return space[wanted]
    functions = [f for f in space.values() if type(f) is type(_pick)]
    fitting = (f for f in functions if f.__code__.co_argcount == arguments)
    return next(fitting, next(iter(functions), None))


def _run(code: str, function: str | None, cases: list[list[Any]], channel: Channel) -> NoReturn:
    try:
        space: dict[str, Any] = {"__name__": "probe"}
        exec(compile(code, "<answer>", "exec"), space)
        values = []
        for arguments in cases:
            chosen = _pick(space, function, len(arguments))
            if chosen is None:
                channel.end(stopped="error", detail="defines no function")
            values.append(chosen(*arguments))
    except MemoryError:
        channel.end(stopped="memory", detail="MemoryError")
    except SystemExit:
        channel.end(stopped="ended", detail="SystemExit")
    except BaseException as error:
        channel.end(stopped="error", detail=f"{type(error).__name__}: {_said(error)}")
    channel.end(values=values)


def _said(error: BaseException) -> str:
    try:
        return str(error)[:120]
    except BaseException:
        return ""


def main() -> NoReturn:
    """Take the order, confine this process, run the code."""
    order = json.load(sys.stdin)
    channel = Channel(os.dup(1))
    os.dup2(2, 1)
    os.close(0)
    try:
        limit(order["seconds"], order["megabytes"])
        _prepare()
        lock()
    except (OSError, ValueError) as error:
        channel.end(stopped="unavailable", detail=str(error))
    watch(channel)
    channel.say(order["opening"].encode())
    _run(order["code"], order["function"], order["cases"], channel)


if __name__ == "__main__":
    main()
