"""What a model writes around its answer: thoughts, and the marks of the channels it is sent in.

The one list of them. `docs/formats.md` shows it, a test holds the two together, and `thoughts` in
a system.toml adds to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

PAIRS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<reflection>", "</reflection>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
)
"""Opening and closing marks. A closing one without its opening ends a thought that the prompt, or
a server, opened."""
CHANNELS = (
    ("<|channel|>analysis<|message|>", "<|end|>"),
    ("<|channel|>commentary<|message|>", "<|end|>"),
)
"""Harmony's channels that are not answers. `<|end|>` ends the answer's channel as well, and so says
nothing by itself."""
HEADS = ("<|start|>assistant", "<|channel|>final<|message|>", "assistantfinal")
"""What is before an answer in harmony; the last is left of it by servers that drop special
tokens, and ends a thought."""
TAILS = ("<|return|>", "<|end|>")


@dataclass(frozen=True)
class Thoughts:
    """Which parts of a text are not an answer."""

    added: tuple[tuple[str, str], ...] = ()
    """Opening and closing marks besides those of this module."""

    @cached_property
    def _pairs(self) -> tuple[tuple[str, str], ...]:
        return (*self.added, *PAIRS)

    @cached_property
    def enclosed(self) -> str:
        """A pattern: a thought with its marks. One that never ends hides the rest of the text."""
        pairs = (*self._pairs, *CHANNELS)
        return "|".join(rf"{re.escape(a)}.*?(?:{re.escape(z)}|\Z)" for a, z in pairs)

    @cached_property
    def closing(self) -> str:
        """A pattern: a mark before which all is thought, where it does not belong to a pair."""
        return _any(chain((closing for _, closing in self._pairs), HEADS[-1:]))

    def removed(self, text: str) -> str:
        """Put a line break in the place of each thought and of each channel's marks."""
        plain = re.sub(self.enclosed, "\n", text, flags=re.DOTALL)
        plain = re.split(self.closing, plain)[-1]
        return re.sub(_any((*HEADS, *TAILS)), "\n", plain)

    def unended(self, text: str) -> str | None:
        """The opening mark of a thought that never ends; None where there is none."""
        marks = (*self._pairs, *CHANNELS)
        patterns = (
            rf"{re.escape(a)}(?:(?P<z{n}>.*?{re.escape(z)})|.*)" for n, (a, z) in enumerate(marks)
        )
        for match in re.finditer("|".join(patterns), text, re.DOTALL):
            if match.lastgroup is None:
                return next(opening for opening, _ in marks if match[0].startswith(opening))
        return None

    def opened_by(self, prompt: str) -> str | None:
        """The opening mark that a prompt ends with, in which the model then goes on."""
        end = prompt.rstrip()
        return next((opening for opening, _ in self._pairs if end.endswith(opening)), None)

    def put_back(self, opening: str, text: str) -> str:
        """A text that goes on from an opening mark in its prompt, as if it had written it.

        A closing mark says that by itself.
        """
        return text if re.search(self.closing, text) else opening + text


ALL = Thoughts()


def _any(marks: Iterable[str]) -> str:
    return "|".join(map(re.escape, marks))
