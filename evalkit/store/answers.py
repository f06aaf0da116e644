"""Every answer a system gave, on disk as it comes.

One file for each way of answering: it is named by a hash of all that decides the answers but the
prompt (weights, adapter, format, decoding, precision, batch size, packages, evalkit's own code;
see `evalkit.answering`), and a line is found by the hash of its request. So an evaluation that
was interrupted, or is asked for again, goes on from what is known, and a changed adapter, prompt
or setting finds nothing. What is known needs no model: the first line keeps how the engine
described itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from evalkit.records import Request
from evalkit.store.rows import to_line

FOLDER = ".answers"


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

    Lines are appended as answers come and handed to the operating system at once. Where a line
    is broken (the process was killed while it wrote), those before it count. In memory are only
    the places of the lines.
    """

    def __init__(self, runs: Path, identity: Mapping[str, Any]) -> None:
        """Look up what is known.

        Args:
            runs: folder of all runs.
            identity: everything that decides the answers but what is asked.
        """
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        self.path = runs / FOLDER / f"{digest[:32]}.jsonl"
        self.described: dict[str, Any] | None = None
        """How the engine described itself; None where nothing is known."""
        self._places: dict[bytes, int] = {}
        self._end = 0
        """Of the last whole line."""
        self._file: BinaryIO | None = None
        self._appending = False
        self._read()

    def __contains__(self, key: str) -> bool:
        return bytes.fromhex(key) in self._places

    def __getitem__(self, key: str) -> dict[str, Any]:
        """What came for a request; `KeyError` where it is not known."""
        place = self._places[bytes.fromhex(key)]
        if self._file is None:
            self._file = self.path.open("rb")
        self._file.seek(place)
        found: dict[str, Any] = json.loads(self._file.readline())
        return found

    def open(self, described: Mapping[str, Any]) -> None:
        """Get ready to append the answers of an engine that describes itself so.

        What was known of one that did so otherwise is forgotten.
        """
        if self._appending:
            return
        self.close()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.described != described:
            self.described, self._places = dict(described), {}
            head = to_line({"engine": self.described}).encode()
            self.path.write_bytes(head)
            self._end = len(head)
        self._file = self.path.open("r+b")
        self._file.truncate(self._end)  # a line that was broken off
        self._appending = True

    def keep(self, key: str, said: Mapping[str, Any]) -> None:
        """Append one answer. The store must be open."""
        assert self._file is not None
        line = to_line({"key": key, **said}).encode()
        self._file.seek(self._end)
        self._file.write(line)
        self._file.flush()
        self._places[bytes.fromhex(key)] = self._end
        self._end += len(line)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
        self._file, self._appending = None, False

    def discard(self) -> None:
        """Forget all, on disk too."""
        self.close()
        self._places, self.described = {}, None
        self.path.unlink(missing_ok=True)

    def _read(self) -> None:
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return
        with file:
            try:
                line = file.readline()
                if not line.endswith(b"\n"):
                    return
                self.described = dict(json.loads(line)["engine"])
                self._end = len(line)
                for line in file:
                    key = bytes.fromhex(json.loads(line)["key"])
                    if not line.endswith(b"\n"):
                        return
                    self._places[key] = self._end
                    self._end += len(line)
            except (ValueError, KeyError, TypeError):
                return
