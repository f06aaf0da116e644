"""How a probe is put to a model."""

from __future__ import annotations

from evalkit.probes.probe import Probe, ProbeKind
from evalkit.records import Prompt, Request, Span

_WORDS = {
    ProbeKind.FACT: 40,
    ProbeKind.ARITHMETIC: 60,
    ProbeKind.CODE: 110,
    ProbeKind.HAIKU: 60,
    ProbeKind.TRANSLATION: 40,
    ProbeKind.OPEN: 90,
}
"""Room for an answer, in tokens; engines add a few."""


def probe_request(probe: Probe) -> Request:
    """A plain user's turn, with nothing of the system's task before it."""
    prompt = Prompt("", (Span(probe.prompt, trusted=False),))
    # A word that tokenizers have in one piece.
    budget = " the" * _WORDS[probe.kind]
    return Request(probe.id, prompt, {"prompt": probe.prompt}, budget)
