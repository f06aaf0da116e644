"""What every engine offers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from evalkit.records import Completion, Prompt, Request, Unanswered


class Engine(Protocol):
    """Requests in, completions out."""

    def complete(
        self, requests: Sequence[Request]
    ) -> Iterator[tuple[str, Completion | Unanswered]]:
        """Yield (request id, completion) as they are done, in any order, each id once.

        An engine raises where it breaks down, or says which requests it could not answer; it
        never turns its own trouble into an answer.
        """

    def describe(self) -> Mapping[str, str | int]:
        """How the engine runs (device, precision, batch size), for the record."""

    def prompt_sha256(self, prompt: Prompt) -> str:
        """SHA-256 of the full text the engine reads for a prompt; hexadecimal."""
