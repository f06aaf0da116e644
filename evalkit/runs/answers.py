"""Every answer a system gave, on disk as it comes.

One file for each way of answering: it is named by a hash of all that decides the answers but the
prompt (weights, adapter, format, decoding, precision, batch size, packages, evalkit's own code;
see `evalkit.runs.cache`), and a line is found by the hash of its request. So an evaluation that
was interrupted, or is asked for again, goes on from what is known, and a changed adapter, prompt
or setting finds nothing. What is known needs no model: a line keeps how the engine described
itself.

Several processes may share a file. Lines are only ever added, each in one write, and each carries
a hash of itself, so that one that is broken or was edited counts for nothing and spoils no other.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evalkit.records import Request
from evalkit.runs.rows import to_line

FOLDER = ".answers"
_CHECK = "line_sha256"


def request_sha256(request: Request) -> str:
    """Hash all that an engine is asked, but for the row's id; hexadecimal."""
    prompt = request.prompt
    asked = [
        prompt.instructions,
        [[span.text, span.trusted] for span in prompt.user],
        [prompt.function.name, prompt.function.description, dict(prompt.function.parameters)]
        if prompt.function
        else None,
        dict(request.inputs),
        request.longest_answer,
    ]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


class AnswerStore:
    """The answers of one way of answering: hash of what was asked -> what came.

    A process sees what was known when it opened the store, and what it added itself. Of two
    answers to one request the later counts. In memory are only the places of the lines.
    """

    def __init__(self, runs: Path, identity: Mapping[str, Any]) -> None:
        """Look up what is known.

        Args:
            runs: folder of all runs.
            identity: everything that decides the answers but what is asked.
        """
        self._identity = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        self.path = runs / FOLDER / f"{self._identity[:32]}.jsonl"
        self.described: dict[str, Any] | None = None
        """How the engine described itself last; None where nothing is known."""
        self._places: dict[str, dict[bytes, int]] = {}
        """By the hash of the engine's description."""
        self._file: int | None = None
        self._index()

    def __contains__(self, key: str) -> bool:
        return self.get(key) is not None

    def get(self, key: str) -> dict[str, Any] | None:
        """What came for a request; None where it is not known, or its line is not as written."""
        place = self._known().get(bytes.fromhex(key))
        if place is None:
            return None
        try:
            with self.path.open("rb") as file:
                file.seek(place)
                found = self._checked(file.readline())
        except FileNotFoundError:
            return None
        return found if found and found.get("key") == key else None

    def open(self, described: Mapping[str, Any]) -> None:
        """Get ready to add the answers of an engine that describes itself so.

        What is known of one that did so otherwise is not seen any more.
        """
        if self._file is not None:
            return
        self._open_file()
        if self.described != described:
            self.described = dict(described)
            self._add({"engine": self.described})

    def keep(self, key: str, said: Mapping[str, Any]) -> None:
        """Add one answer. The store must be open."""
        assert self._file is not None
        if not self._is_there():  # another process has discarded the file
            self.close()
            self._places = {}
            self._open_file()
            self._add({"engine": self.described})
        place = self._add({"key": key, **said, "engine_sha256": _digest(self.described)})
        self._known()[bytes.fromhex(key)] = place

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
        self._file = None

    def ignore_known(self) -> None:
        """Take nothing that is known: all is asked again, and then counts in its place."""
        self._places, self.described = {}, None

    def discard(self) -> None:
        """Forget all, on disk too."""
        self.close()
        self.ignore_known()
        self.path.unlink(missing_ok=True)

    def _known(self) -> dict[bytes, int]:
        return self._places.setdefault(_digest(self.described), {})

    def _open_file(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)

    def _is_there(self) -> bool:
        assert self._file is not None
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self._file))
        except FileNotFoundError:
            return False

    def _add(self, content: Mapping[str, Any]) -> int:
        """Append a line in one write, and return its place."""
        assert self._file is not None
        line = to_line({**content, _CHECK: self._check(content)}).encode()
        if os.fstat(self._file).st_size:
            os.lseek(self._file, -1, os.SEEK_END)
            if os.read(self._file, 1) != b"\n":  # a process was killed while it wrote
                line = b"\n" + line
        written = os.write(self._file, line)
        if written != len(line):
            raise OSError(f"{self.path}: only {written} of {len(line)} bytes could be written")
        after = os.lseek(self._file, 0, os.SEEK_CUR)
        return after - len(line.lstrip(b"\n"))

    def _check(self, content: Mapping[str, Any]) -> str:
        """The hash of a line in this file, but for the hash itself."""
        return hashlib.sha256((self._identity + json.dumps(content)).encode()).hexdigest()

    def _checked(self, line: bytes) -> dict[str, Any] | None:
        """What a line says; None where it is broken or was edited."""
        try:
            content: dict[str, Any] = json.loads(line)
            check = content.pop(_CHECK)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        return content if check == self._check(content) else None

    def _index(self) -> None:
        """Find the lines. Those of answers are checked when they are read."""
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return
        with file:
            place = 0
            for line in file:
                try:
                    content = json.loads(line)
                    if "engine" in content:
                        checked = self._checked(line)
                        self.described = checked["engine"] if checked else self.described
                    else:
                        known = self._places.setdefault(content["engine_sha256"], {})
                        known[bytes.fromhex(content["key"])] = place
                except (ValueError, KeyError, TypeError):
                    pass
                place += len(line)


def _digest(described: Mapping[str, Any] | None) -> str:
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:32]
