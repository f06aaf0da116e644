"""Code that does harm is contained and reported; honest code passes."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from evalkit.probes import confined, sandbox
from evalkit.probes.sandbox import Limits, Stop, run_code, why_unavailable

pytestmark = pytest.mark.skipif(why_unavailable() is not None, reason=str(why_unavailable()))

ADD = "def add(a, b):\n    return a + b\n"


def test_honest_code_gives_its_values():
    assert run_code(ADD, [[2, 3], ["a", "b"]]).values == (5, "ab")


def test_honest_code_may_print_import_sleep_and_catch():
    code = (
        "import math, random, re, time\nfrom datetime import datetime\nfrom typing import List\n"
        "try:\n    import numpy\nexcept ImportError:\n    numpy = None\n"
        "print(datetime.now(), datetime.strptime('2020', '%Y'), random.random(), math.pi)\n"
        "time.sleep(0.01)\nprint(re.sub('a', 'b', 'a'), flush=True)\n"
        "def f(n: List[int]):\n"
        "    try:\n        return n[9]\n    except IndexError:\n        return sorted(n)\n"
        "if __name__ == '__main__':\n    input()\n"
    )
    assert run_code(code, [[[3, 1]]]).values == ([1, 3],)


HARM = {
    "loops": ("while True: pass", Stop.TIMEOUT),
    "loops when called": ("def f(a, b):\n    while True: pass", Stop.TIMEOUT),
    "sleeps": ("import time\ntime.sleep(60)", Stop.TIMEOUT),
    "computes for ever": ("def f(a, b): return 10 ** 10 ** 10", Stop.TIMEOUT),
    "ignores signals": (
        "import _signal\n_signal.signal(24, lambda *a: None)\nwhile True: pass",
        Stop.TIMEOUT,
    ),
    "swallows its exit": (
        "import sys\ntry:\n    sys.exit(0)\nexcept SystemExit:\n    pass\nwhile True: pass",
        Stop.TIMEOUT,
    ),
    "forks": ("import os\nwhile True: os.fork()", Stop.PROCESS),
    "forks unseen": ("import posix\nf = posix.fork\nwhile True: f()", Stop.PROCESS),
    "starts a thread": ("import threading", Stop.PROCESS),
    "starts a process": ("import subprocess\nsubprocess.run(['ls'])", Stop.PROCESS),
    "runs a shell": ("import os\nos.system('touch x')", Stop.PROCESS),
    "becomes a shell": ("import os\nos.execv('/bin/sh', ['sh'])", Stop.PROCESS),
    "kills its parent": ("import os\nos.kill(os.getppid(), 9)", Stop.PROCESS),
    "kills its group": ("import os\nos.killpg(0, 9)", Stop.PROCESS),
    "writes a file": ("open('x', 'w').write('a')", Stop.FILES),
    "reads a file": ("print(open('/etc/passwd').read())", Stop.FILES),
    "reads a file by hand": ("import os\nos.open('/etc/passwd', 0)", Stop.FILES),
    "looks around": ("import os\nos.listdir('/')", Stop.FILES),
    "removes a file": ("import os\nos.remove('/tmp/evalkit-nothing')", Stop.FILES),
    "opens a socket": ("import socket\nsocket.socket()", Stop.NETWORK),
    "fetches a page": ("from urllib.request import urlopen\nurlopen('http://a')", Stop.NETWORK),
    "reaches for C": ("import ctypes\nctypes.CDLL(None).fork()", Stop.NATIVE),
    "lifts its limits": ("import resource", Stop.NATIVE),
    "allocates 10 GB": ("x = bytearray(10 * 1024 ** 3)", Stop.MEMORY),
    "allocates bit by bit": ("x = []\nwhile True: x.append(' ' * 10 ** 8)", Stop.MEMORY),
    "prints 100 MB": ("for i in range(100): print('x' * 10 ** 6)", Stop.OUTPUT),
    "asks the kernel": ("import os\nos.stat('/etc')", Stop.SYSTEM_CALL),
    "aborts": ("import os\nos.abort()", Stop.SYSTEM_CALL),
    "leaves early": ("print('all tests passed')\nimport os\nos._exit(0)", Stop.ENDED),
    "exits with success": ("print('passed')\nraise SystemExit(0)", Stop.ENDED),
    "sends what is no result": (
        "import os\nfor i in range(9):\n    try: os.write(i, b'[true, true]')\n"
        "    except OSError: pass\nos._exit(0)",
        Stop.ENDED,
    ),
    "recurses for ever": ("def f(a, b): return f(a, b)", Stop.ERROR),
    "is not Python": ("def f(:", Stop.ERROR),
    "asks a question": ("a = int(input())", Stop.ERROR),
    "defines nothing": ("x = 1", Stop.ERROR),
    "returns no value of JSON": ("def f(a, b): return {1, 2}", Stop.ERROR),
    "raises what cannot be shown": (
        "class E(BaseException):\n    def __str__(self): raise E\nraise E",
        Stop.ERROR,
    ),
    "is endless": ("#" * 30_000, Stop.ERROR),
}


@pytest.mark.parametrize("harm", HARM)
def test_harm_is_contained_and_reported(harm, tmp_path, monkeypatch):
    code, reason = HARM[harm]
    monkeypatch.chdir(tmp_path)
    limits = Limits(0.7, patience=1.5) if reason is Stop.TIMEOUT else Limits(9.0, patience=60.0)
    ran = run_code(code, [[2, 3]], limits=limits)
    assert (ran.values, ran.stopped) == (None, reason), ran
    assert not list(tmp_path.iterdir())


def test_nothing_of_the_parent_is_there_to_read():
    code = "import os\ndef f(): return sorted(os.environ)"
    os.environ["EVALKIT_SECRET"] = "x"
    try:
        assert run_code(code, [[]]).values == (["LC_CTYPE", "TZ"],)
    finally:
        del os.environ["EVALKIT_SECRET"]


def test_a_result_of_its_own_making_has_to_know_the_answers():
    """What is right never enters the process, so the best a forger can do is to answer."""
    code = (
        "import os\nfor i in range(9):\n"
        "    try: os.write(i, b'{\"values\": [0]}')\n    except OSError: pass\nos._exit(0)"
    )
    assert run_code(code, [[2, 3]]).values in ((0,), None)


FORGERIES = {
    "the channel of a caller": (
        "import sys\n"
        "frame = sys._getframe(1)\n"
        "frame.f_locals['channel'].end(stopped='unavailable', detail='not here')\n"
    ),
    "the channel, from a function": (
        "import sys\n"
        "def add(a, b):\n"
        "    channel = sys._getframe(1).f_locals['channel']\n"
        "    channel.end(stopped='unavailable', detail='not here')\n"
    ),
    "the channel's descriptor": (
        "import sys\n"
        "held = sys._getframe(1)\n"
        "write, to = held.f_globals['os'].write, held.f_locals['channel']._descriptor\n"
        'write(to, b\'{"stopped": "unavailable", "detail": ""}\')\n'
        "held.f_globals['os']._exit(0)\n"
    ),
    "a frame of a traceback": (
        "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n"
        "    frame = error.__traceback__.tb_frame.f_back\n"
        "    frame.f_locals['channel'].end(stopped='unavailable', detail='')\n"
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_no_code_excuses_itself_from_being_judged(forgery: str):
    ran = run_code(FORGERIES[forgery], [[1, 2]], limits=Limits(patience=60.0))
    assert ran.values is None
    assert ran.stopped not in (None, Stop.UNAVAILABLE)


def test_what_code_says_is_one_printable_line():
    said = run_code("raise ValueError('a\\x1b[2J\\n\\u202e::error::')", []).detail
    assert said == r"ValueError: a\x1b[2J\n\u202e::error::"


def test_the_named_function_is_called_or_else_one_that_fits():
    code = "def helper(a): return 0\ndef other(a, b): return a * b\n" + ADD
    assert run_code(code, [[2, 3]], function="add").values == (5,)
    assert run_code(code, [[2, 3]]).values == (6,)
    assert run_code(code, [[2, 3]], function="nowhere").values == (6,)
    assert run_code("double = lambda x: 2 * x", [[4]]).values == (8,)


@pytest.mark.parametrize(
    "attempt",
    [
        "os.open('/etc/passwd', os.O_RDONLY)",
        "os.fork()",
        "os.kill(os.getppid(), 0)",
        "os.execv('/bin/true', ['true'])",
        "socket.socket()",
        "_thread.start_new_thread(print, ())",
        "resource.setrlimit(resource.RLIMIT_CPU, (99, 99))",
        "ctypes.CDLL(None).fork()",
        "ctypes.CDLL(None).open(b'/etc/passwd', 0)",
        "os.memfd_create('x')",
    ],
)
def test_the_kernel_alone_holds(attempt):
    """Without the audit hook, as if code had found a way around it; and this may be root."""
    code = (
        "import ctypes, os, resource, runpy, socket, sys, _thread\n"
        f"space = runpy.run_path({confined.__file__!r})\n"
        "libc = ctypes.CDLL(None)\n"
        "space['lock']()\n"
        "os.write(1, b'locked')\n"
        f"{attempt}\n"
        "os.write(1, b' escaped')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert (done.stdout, done.returncode) == (b"locked", -31)  # SIGSYS


def test_the_filter_knows_its_machine():
    assert len(confined.filter_program("aarch64")) > 0
    assert len(confined.filter_program(platform.machine())) % 8 == 0
    with pytest.raises(OSError, match="no table of system calls for riscv64"):
        confined.filter_program("riscv64")


def test_where_code_cannot_be_confined_it_is_not_run(monkeypatch):
    monkeypatch.setattr(sandbox.sys, "platform", "darwin")
    ran = run_code(ADD, [[2, 3]])
    assert (ran.values, ran.stopped) == (None, Stop.UNAVAILABLE)
    assert "darwin" in ran.detail


def test_where_the_kernel_refuses_the_filter_code_is_not_run(monkeypatch, tmp_path):
    """The process itself refuses, before it has looked at the code."""
    broken = tmp_path / "confined.py"
    source = Path(confined.__file__).read_text(encoding="utf-8")
    broken.write_text(source.replace("_PR_SET_SECCOMP, 2,", "_PR_SET_SECCOMP, 77,"))
    monkeypatch.setattr(sandbox, "_CONFINED", broken)
    ran = run_code(ADD, [[2, 3]])
    assert (ran.values, ran.stopped) == (None, Stop.UNAVAILABLE)
    assert "prctl" in ran.detail
