"""How a probe is put to a model."""

from __future__ import annotations

from evalkit.probes.probe import Kind, Probe
from evalkit.records import Prompt, Request, Span

_WORDS = {
    Kind.FACT: 40,
    Kind.ARITHMETIC: 60,
    Kind.CODE: 110,
    Kind.HAIKU: 60,
    Kind.TRANSLATION: 40,
    Kind.OPEN: 90,
}
"""Room for an answer, in tokens; engines add a few."""


def build_request(probe: Probe) -> Request:
    """A plain user's turn, with nothing of the system's task before it."""
    prompt = Prompt("", (Span(probe.prompt, trusted=False),))
    # A word that tokenizers have in one piece.
    room = " the" * _WORDS[probe.kind]
    return Request(probe.id, prompt, {"prompt": probe.prompt}, room)
