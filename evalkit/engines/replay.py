"""An engine that repeats answers from a file: for answers made elsewhere, and for tests.

A phone or a server writes one line per example, `{"id": "n-001", "text": "..."}`, and the gate
judges them like any others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.engines.building import EngineKind, EngineOptions
from evalkit.engines.chat import text_sha256
from evalkit.errors import UserError
from evalkit.records import Completion, FinishReason, Prompt, Request, Span

if TYPE_CHECKING:
    from evalkit.systems import System


class ReplayEngine:
    """Answers each request with the text that stands under its id."""

    def __init__(self, answers: Mapping[str, str]) -> None:
        self.answers = answers

    def complete(self, requests: Sequence[Request]) -> Iterator[tuple[str, Completion]]:
        """Yield the texts in order.

        Raises:
            UserError: a request has no answer; a gap is not a wrong answer.
        """
        missing = [r.id for r in requests if r.id not in self.answers]
        if missing:
            raise UserError(
                f"{len(missing)} of {len(requests)} examples have no recorded answer, the first "
                f"'{missing[0]}'. Record them, or judge on rows that were (--data)."
            )
        for request in requests:
            yield request.id, Completion(self.answers[request.id], FinishReason.STOP)

    def describe(self) -> Mapping[str, str | int]:
        """Name the kind and the answers."""
        content = json.dumps(sorted(self.answers.items())).encode()
        return {"engine": "replay", "answers_sha256": hashlib.sha256(content).hexdigest()}

    def prompt_sha256(self, prompt: Prompt) -> str:
        """Hash the prompt before any template; how it was really asked is not known."""
        return text_sha256([Span(prompt.instructions, trusted=True), *prompt.user])


def load_answers(path: Path) -> dict[str, str]:
    """Read recorded answers.

    Raises:
        UserError: no such file, or a line that is not an id and a text, or stands twice.
    """
    try:
        # Not splitlines: JSON allows U+2028 and its like within a text.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The recorded answers {path} cannot be read: {error}") from error
    answers: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            name, text = entry["id"], entry["text"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UserError(
                f'{path}:{number}: not a recorded answer; a line is {{"id": "...", "text": "..."}}.'
            ) from error
        if not isinstance(name, str) or not isinstance(text, str) or name in answers:
            raise UserError(f"{path}:{number}: id and text are strings, and each id stands once.")
        answers[name] = text
    return answers


def _build(system: System, options: EngineOptions) -> ReplayEngine:
    assert system.config.answers is not None
    return ReplayEngine(load_answers(system.folder / system.config.answers))


ENGINE = EngineKind(_build, is_live=False)
