from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evalkit.cli.systems import fetch
from evalkit.errors import UserError
from evalkit.weights import weights_fingerprint
from evalkit.weights.cache import (
    MANIFEST,
    cache_root,
    cached,
    damaged,
    file_sha256,
    hash_file,
    keep,
    read_manifest,
    remembered_sha256,
)
from evalkit.weights.sources import damaged_in_hub

from .conftest import Recorder, fill_with_model

ORIGIN = "0" * 64
HERE = Path(__file__).parent


def make(work: Path, content: Path) -> None:
    (work / "scratch").write_text("not kept")
    fill_with_model(content)


def never(*folders: Path) -> None:
    raise AssertionError(f"made again: {folders}")


@pytest.fixture
def kept(progress: Recorder) -> Path:
    return keep("tiny", ORIGIN, "a test", make, progress)


def rubbish(cache: Path) -> list[str]:
    """List what lies beside the cached folder, but for its lock."""
    return [p.name for p in (cache / "weights").iterdir() if p.name not in ("tiny", ".tiny.lock")]


def test_made_once_and_then_kept(cache: Path, kept: Path, progress: Recorder) -> None:
    assert kept == cache / "weights" / "tiny"
    assert kept == cached("tiny", ORIGIN) == keep("tiny", ORIGIN, "a test", never, progress)
    assert rubbish(cache) == []


def test_the_manifest_says_what_it_holds(kept: Path) -> None:
    manifest = read_manifest(kept)
    assert manifest
    assert (manifest.source, manifest.sha256) == ("a test", ORIGIN)
    assert set(manifest.files) == {"config.json", "model.safetensors", "tokenizer.json"}
    weights = kept / "model.safetensors"
    assert manifest.files[weights.name].sha256 == hash_file(weights)
    assert manifest.files[weights.name].size == weights.stat().st_size


def test_another_origin_is_made_anew(kept: Path, progress: Recorder) -> None:
    assert cached("tiny", "1" * 64) is None
    keep("tiny", "1" * 64, "a test", make, progress)
    assert cached("tiny", "1" * 64) == kept


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: os.truncate(folder / "model.safetensors", 3),
        lambda folder: (folder / "tokenizer.json").unlink(),
        lambda folder: (folder / MANIFEST).unlink(),
        lambda folder: (folder / MANIFEST).write_text('{"layout": 1'),
        lambda folder: (folder / MANIFEST).write_text((folder / MANIFEST).read_text()[:-9]),
        lambda folder: (folder / "adapter_config.json").write_text("{}"),
    ],
    ids=["truncated", "lost", "no manifest", "broken manifest", "half manifest", "added"],
)
def test_a_damaged_folder_is_not_believed(
    cache: Path, kept: Path, progress: Recorder, damage: Callable[[Path], object]
) -> None:
    damage(kept)
    assert cached("tiny", ORIGIN) is None
    keep("tiny", ORIGIN, "a test", make, progress)
    assert cached("tiny", ORIGIN) == kept
    assert rubbish(cache) == []


def test_a_changed_byte_is_found_at_the_next_start(kept: Path, progress: Recorder) -> None:
    weights = kept / "model.safetensors"
    good, times = weights.read_bytes(), weights.stat()
    fill_with_model(kept, b"4321")
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert weights.stat().st_size == times.st_size
    assert cached("tiny", ORIGIN) is None
    assert damaged(kept) == damaged(kept, anew=True) == ["model.safetensors"]
    keep("tiny", ORIGIN, "a test", make, progress)
    assert weights.read_bytes() == good
    assert cached("tiny", ORIGIN) == kept


def test_what_has_not_changed_is_not_hashed_again(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(path: Path) -> str:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr("evalkit.weights.cache.hash_file", read)
    assert cached("tiny", ORIGIN) == kept
    os.utime(kept / "tokenizer.json")
    with pytest.raises(AssertionError, match=r"tokenizer\.json was read"):
        cached("tiny", ORIGIN)


def test_verify_hashes_all_that_was_fetched(
    kept: Path, progress: Recorder, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("EVALKIT_SHELF", str(tmp_path))
    other = keep("other", "1" * 64, "a test", make, progress)
    fetch(verify=True)
    assert capsys.readouterr().out == f"{other}: as it came\n{kept}: as it came\n"
    fill_with_model(kept, b"4321")
    with pytest.raises(UserError, match=r"Changed.*tiny/model\.safetensors\. Remove"):
        fetch(verify=True)
    fetch_one = pytest.raises(UserError, match="leave the name out")
    with fetch_one:
        fetch("other", verify=True)


@pytest.mark.parametrize("how", [hashlib.sha256, hashlib.sha1])
def test_a_file_in_the_hubs_cache_is_what_it_is_named_after(
    tmp_path: Path, how: Callable[..., Any]
) -> None:
    content = b'{"a": 1}'
    named = content if how is hashlib.sha256 else b"blob 8\0" + content
    blob = tmp_path / how(named).hexdigest()
    blob.write_bytes(content)
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    (snapshot / "config.json").symlink_to(blob)
    assert damaged_in_hub(snapshot) == []
    blob.write_bytes(b'{"a": 2}')
    assert damaged_in_hub(snapshot) == ["config.json"]


def test_a_file_managers_leavings_do_no_harm(kept: Path) -> None:
    (kept / ".DS_Store").touch()
    assert cached("tiny", ORIGIN) == kept


def test_files_are_as_readable_as_their_folder(cache: Path, progress: Recorder) -> None:
    def private(work: Path, content: Path) -> None:
        make(work, content)
        (content / "model.safetensors").chmod(0o600)

    folder = keep("tiny", ORIGIN, "a test", private, progress)
    wanted = cache.stat().st_mode & 0o666
    assert (folder / "model.safetensors").stat().st_mode & 0o777 == wanted


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_making_leaves_nothing(
    cache: Path, progress: Recorder, error: type[BaseException]
) -> None:
    def half(work: Path, content: Path) -> None:
        make(work, content)
        raise error

    with pytest.raises(error):
        keep("tiny", ORIGIN, "a test", half, progress)
    assert cached("tiny", ORIGIN) is None
    assert rubbish(cache) == []


def test_a_cache_that_cannot_be_written_says_what_to_do(
    cache: Path, progress: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("EVALKIT_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match="set EVALKIT_CACHE"):
        keep("tiny", ORIGIN, "a test", make, progress)

    def full(*_: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("EVALKIT_CACHE", str(cache))
    with pytest.raises(UserError, match="No space left on device"):
        keep("tiny", ORIGIN, "a test", full, progress)
    assert rubbish(cache) == []


def run(script: str) -> subprocess.Popen[str]:
    """Start a process that has the cache, `make` and `die` at hand."""
    prelude = f"""
import os, signal, sys, time
from pathlib import Path
sys.path[:0] = [{str(HERE)!r}, {str(HERE.parents[1])!r}]
from conftest import Recorder, fill_with_model
from evalkit.weights import cache
def make(work, content):
    fill_with_model(content)
def die(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    return subprocess.Popen(
        [sys.executable, "-c", prelude + script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


MOMENTS = {
    "half a file": """
def make(work, content):
    (content / "model.safetensors").write_bytes(b"half")
    die()
""",
    "before the manifest": "cache._seal = die",
    "half a manifest": """
def half(content, source, sha256):
    (content / cache.MANIFEST).write_text('{"layout": 1, "source": ')
    die()
cache._seal = half
""",
    "before the move": "Path.rename = die",
    "between the moves": """
rename, moves = Path.rename, []
def second(self, target):
    moves.append(self)
    return die() if len(moves) == 2 else rename(self, target)
Path.rename = second
""",
    "after the move": "cache.shutil.rmtree = die",
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_kill_9_leaves_nothing_that_is_believed(
    cache: Path, progress: Recorder, moment: str
) -> None:
    if moment == "between the moves":  # a damaged folder is being replaced
        (keep("tiny", ORIGIN, "a test", make, progress) / MANIFEST).unlink()
    killed = run(MOMENTS[moment] + f"\ncache.keep('tiny', {ORIGIN!r}, 'a test', make, Recorder())")
    _, err = killed.communicate(timeout=60)
    assert killed.returncode == -signal.SIGKILL, err

    found = cached("tiny", ORIGIN)
    assert bool(found) == (moment == "after the move")
    folder = keep("tiny", ORIGIN, "a test", make if found is None else never, progress)
    assert cached("tiny", ORIGIN) == folder
    assert rubbish(cache) == []


def test_two_processes_make_it_once(cache: Path) -> None:
    script = f"""
def slow(work, content):
    print("making", flush=True)
    sys.stdin.read()  # until the test lets go
    make(work, content)
class Told(Recorder):
    def stage(self, text, **options):
        print(text, flush=True)
print(cache.keep('tiny', {ORIGIN!r}, 'a test', slow, Told()))
"""
    first, second = run(script), None
    assert first.stdout
    while first.stdout.readline() != "making\n":
        assert first.poll() is None
    second = run(script)
    assert second.stdout
    assert "waiting for another process" in second.stdout.readline()
    for process in (first, second):
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert "making" not in out
        assert str(cache / "weights" / "tiny") in out


def test_a_live_process_is_not_swept_away(progress: Recorder) -> None:
    other = run(
        f"""
def slow(work, content):
    make(work, content)
    print("begun", flush=True)
    sys.stdin.read()  # until the test lets go
cache.keep('other', {ORIGIN!r}, 'a test', slow, Recorder())
"""
    )
    assert other.stdout
    assert other.stdout.readline() == "begun\n"
    keep("tiny", ORIGIN, "a test", make, progress)
    _, err = other.communicate(timeout=60)
    assert other.returncode == 0, err
    assert cached("other", ORIGIN)


def test_the_caches_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_root() == tmp_path / "cache"
    monkeypatch.delenv("EVALKIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_root() == tmp_path / "evalkit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_root() == tmp_path / ".cache" / "evalkit"


def test_a_hash_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("one")
    assert remembered_sha256(path) is None
    first = file_sha256(path)
    assert remembered_sha256(path) == first == hash_file(path)
    before = path.stat().st_mtime_ns
    path.write_text("two")
    os.utime(path, ns=(before, before + 1))  # within a tick of the file system's clock
    assert remembered_sha256(path) is None
    assert file_sha256(path) != first


def test_a_hash_is_found_even_where_it_cannot_be_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("one")
    monkeypatch.setenv("EVALKIT_CACHE", str(path / "cache"))
    assert file_sha256(path) == hash_file(path)


def test_a_manifest_that_was_copied_elsewhere_proves_nothing(kept: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(kept, copy)
    assert weights_fingerprint(copy) == weights_fingerprint(kept)
    fill_with_model(copy, b"4321")
    assert weights_fingerprint(copy) != weights_fingerprint(kept)
