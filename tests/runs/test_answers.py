"""Answers on disk: those that came, whoever else writes and whoever is killed."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from evalkit.runs import AnswerStore


def store(runs: Path, **identity: str) -> AnswerStore:
    return AnswerStore(runs, identity)


def text(kept: AnswerStore, key: str) -> str | None:
    found = kept.get(key)
    return found["text"] if found else None


KEYS = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(10)]


def test_answers_are_kept_by_what_decides_them(tmp_path: Path) -> None:
    kept = store(tmp_path, weights="a")
    assert kept.described is None
    assert KEYS[0] not in kept
    kept.open({"engine": "x"})
    kept.keep(KEYS[0], {"text": "one\ud800\n"})
    kept.keep(KEYS[1], {"text": "two"})
    for found in (kept, store(tmp_path, weights="a")):
        assert [text(found, key) for key in KEYS[:2]] == ["one\ud800\n", "two"]
        assert found.described == {"engine": "x"}
    assert KEYS[0] not in store(tmp_path, weights="b")
    found = store(tmp_path, weights="a")
    found.open({"engine": "x"})
    assert KEYS[1] in found
    found.close()
    found.open({"engine": "y"})
    assert KEYS[1] not in found
    assert KEYS[1] not in store(tmp_path, weights="a")
    found.close()
    found.open({"engine": "x"})
    assert KEYS[1] in found
    found.discard()
    assert store(tmp_path, weights="a").described is None


def test_a_half_written_line_is_not_believed(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.open({"engine": "x"})
    for key in KEYS[:2]:
        kept.keep(key, {"text": key})
    kept.close()
    whole = kept.path.read_bytes()
    for cut in range(len(whole) + 1):
        kept.path.write_bytes(whole[:cut])
        found = store(tmp_path)
        known = [key in found for key in KEYS[:2]]
        assert known in ([False, False], [True, False], [True, True])
        # The break at a line's end is no part of what it says.
        assert (known == [True, True]) == (cut >= len(whole) - 1)
        found.open({"engine": "x"})
        found.keep(KEYS[2], {"text": "more"})
        found.close()
        again = store(tmp_path)
        assert [key in again for key in KEYS[:3]] == [*known, True]
        assert text(again, KEYS[2]) == "more"
        again.close()


def test_an_edited_or_broken_line_counts_for_nothing_and_spoils_no_other(tmp_path: Path) -> None:
    kept = store(tmp_path)
    kept.open({"engine": "x"})
    for key in KEYS[:4]:
        kept.keep(key, {"text": f"said {key}"})
    kept.close()
    head, *lines = kept.path.read_bytes().splitlines(keepends=True)
    lines[0] = lines[0].replace(b"said", b"SAID")
    lines[1] = lines[1][:50] + b"\n"
    lines[2] = lines[2].replace(KEYS[2].encode(), KEYS[9].encode())
    kept.path.write_bytes(b"".join([head, b"\0\xff\n", *lines]))
    assert [KEYS.index(key) for key in KEYS if key in store(tmp_path)] == [3]


def test_two_processes_add_to_one_store(tmp_path: Path) -> None:
    one, other = store(tmp_path), store(tmp_path)
    for kept in (one, other):
        kept.open({"engine": "x"})
    for number, key in enumerate(KEYS):
        (one, other)[number % 2].keep(key, {"text": key})
    for kept, added in ((one, KEYS[::2]), (other, KEYS[1::2])):
        assert [key for key in KEYS if key in kept] == added
    assert [text(store(tmp_path), key) for key in KEYS] == KEYS


def test_a_store_that_was_discarded_by_another_process_goes_on(tmp_path: Path) -> None:
    one, other = store(tmp_path), store(tmp_path)
    one.open({"engine": "x"})
    one.keep(KEYS[0], {"text": "lost"})
    other.discard()
    assert KEYS[0] not in one
    for key in KEYS[1:3]:
        one.keep(key, {"text": key})
    assert [text(store(tmp_path), key) for key in KEYS[:3]] == [None, *KEYS[1:3]]


def test_what_is_asked_afresh_takes_nothing_from_another_process(tmp_path: Path) -> None:
    one, fresh = store(tmp_path), store(tmp_path)
    one.open({"engine": "x"})
    one.keep(KEYS[0], {"text": "first"})
    fresh = store(tmp_path)
    fresh.ignore_known()
    assert KEYS[0] not in fresh
    fresh.open({"engine": "x"})
    fresh.keep(KEYS[0], {"text": "second"})
    assert [text(kept, KEYS[0]) for kept in (one, fresh)] == ["first", "second"]
    assert text(store(tmp_path), KEYS[0]) == "second"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_killed_while_answering_leaves_what_was_answered(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        from evalkit.runs import AnswerStore

        kept = AnswerStore(Path(sys.argv[1]), {})
        kept.open({"engine": "x"})
        for i, key in enumerate(sys.argv[2:]):
            kept.keep(key, {"text": "x"})
            if i == 6:
                os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path), *KEYS], check=False)
    assert done.returncode == -signal.SIGKILL
    found = store(tmp_path)
    assert [key in found for key in KEYS] == [True] * 7 + [False] * 3
