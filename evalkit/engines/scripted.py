"""An engine that says what it was told to: for tests, of evalkit and of your own suites."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from evalkit.engines.chat import text_sha256
from evalkit.records import Completion, FinishReason, Prompt, Request, Span


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

    def prompt_sha256(self, prompt: Prompt) -> str:
        """Hash the prompt before any template; there is none here."""
        return text_sha256([Span(prompt.instructions, trusted=True), *prompt.user])
