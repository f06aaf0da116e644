"""A format whose inputs are normalised before a model sees them, in training and in use alike."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Literal

from evalkit.formats.base import Format
from evalkit.records import Label, ParsedAnswer, Prompt
from evalkit.tasks import Task

Normalisation = Literal["none", "nfkc"]
"""`nfkc`: full-width letters, ligatures and other compatibility forms become plain ones (Unicode
Standard Annex 15)."""


class NfkcInputs(Format):
    """Another format, on inputs in Unicode's normalisation form KC."""

    def __init__(self, inner: Format) -> None:
        """Take the other format."""
        super().__init__(inner.thoughts)
        self.inner = inner
        self.name = inner.name  # type: ignore[misc]  # of a class, where it is not another's

    def check(self, task: Task) -> None:
        """As the other format does."""
        self.inner.check(task)

    def prompt(self, task: Task, inputs: Mapping[str, str]) -> Prompt:
        """Ask about the normalised input."""
        return self.inner.prompt(task, _nfkc(inputs))

    def render(self, task: Task, labels: Mapping[str, Label], inputs: Mapping[str, str]) -> str:
        """Write the canonical answer; what it copies of an input is normalised."""
        return self.inner.render(task, labels, _nfkc(inputs))

    def parse(self, task: Task, text: str) -> ParsedAnswer:
        """As the other format does."""
        return self.inner.parse(task, text)


def _nfkc(inputs: Mapping[str, str]) -> dict[str, str]:
    return {name: unicodedata.normalize("NFKC", text) for name, text in inputs.items()}
