"""Files and folders are there whole or not at all, and two processes take turns."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from evalkit.atomic import making_folder, only_one, replacing, turn, write_text
from evalkit.errors import UserError

HOLD = """
import sys
from pathlib import Path
from evalkit.atomic import {0}
with {0}(Path(sys.argv[1]){1}):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(path: Path, how: str = "only_one", more: str = ', "x"') -> subprocess.Popen[str]:
    """Another process that does something until it is told to stop."""
    script = HOLD.format(how, more)
    found = subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert found.stdout is not None
    assert found.stdout.readline() == "held\n"
    return found


def test_a_file_is_replaced_whole_or_stays(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_text(path, "old")
    with suppress(RuntimeError), replacing(path) as making:
        making.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    write_text(path, "new")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a", "new")]


def test_a_file_that_cannot_be_written_is_named_as_its_reader_knows_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        write_text(tmp_path / "none" / "a", "x")
    assert error.value.filename == str(tmp_path / "none" / "a")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=r"'[^']*/folder'$"):
        write_text(tmp_path / "folder", "x")


def test_what_a_killed_process_left_of_a_file_is_swept_by_the_next(tmp_path: Path) -> None:
    """Not what another is writing now, nor any other hidden file."""
    left, written_now = tmp_path / ".a.0123abcd", tmp_path / ".a.0123abce"
    others = [tmp_path / name for name in (".b.0123abcd", ".a.json", ".a.0123abcd.bak")]
    for path in (left, written_now, *others):
        path.write_text("half")
    for path in (left, *others):
        os.utime(path, (0, 0))
    write_text(tmp_path / "a", "new")
    assert set(tmp_path.iterdir()) == {tmp_path / "a", written_now, *others}


def test_the_second_is_told_who_is_first(tmp_path: Path) -> None:
    lock = tmp_path / "there" / ".lock"
    first = holder(lock)
    told = rf"mine is being trained by process {first.pid} on .* already"
    with pytest.raises(UserError, match=told), only_one(lock, "mine is being trained"):
        raise AssertionError("both did it")
    first.communicate("")
    with only_one(lock, "mine is being trained"):
        pass


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_process_holds_nothing_up(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    first = holder(lock)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    with only_one(lock, "x"):
        pass


def test_the_second_waits_for_its_turn(tmp_path: Path) -> None:
    lock = tmp_path / ".lock"
    first = holder(lock, "turn", "")
    waiting = threading.Event()
    done: list[str] = []

    def second() -> None:
        with turn(lock, waiting=waiting.set):
            done.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    assert waiting.wait(60)
    assert done == []
    first.communicate("")
    thread.join(60)
    assert done == ["second"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_only_what_dead_processes_left_is_swept(tmp_path: Path) -> None:
    alive, dead = (holder(tmp_path, "making_folder", "") for _ in range(2))
    made = {path.name for path in tmp_path.iterdir()}
    os.kill(dead.pid, signal.SIGKILL)
    dead.communicate()
    with making_folder(tmp_path) as making:
        left = {path.name for path in tmp_path.iterdir()} - {making.name, f"{making.name}.lock"}
        assert left < made
        assert len(left) == 2
        making.rename(tmp_path / "whole")
    alive.communicate("")
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]
