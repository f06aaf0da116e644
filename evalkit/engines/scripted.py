"""An engine that says what it was told to: for tests, of evalkit and of your own suites."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from evalkit.records import Completion, FinishReason, Request


class ScriptedEngine:
    """Answers each request with `script(request)`."""

    def __init__(self, script: Callable[[Request], str]) -> None:
        self.script = script

    def complete(self, requests: Sequence[Request]) -> Iterator[tuple[str, Completion]]:
        """Yield the scripted texts in order."""
        for request in requests:
            yield request.id, Completion(self.script(request), FinishReason.STOP)

    def describe(self) -> Mapping[str, str | int]:
        """Name the kind."""
        return {"engine": "scripted"}
