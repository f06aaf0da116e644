"""What is compared where inputs are looked for again: as they stand, or normalised."""

from __future__ import annotations

import re
import unicodedata

from evalkit.records import Example

_NUMBER = re.compile(r"\d+(?:[.,:/-]\d+)*")
_BETWEEN_WORDS = re.compile(r"[\W_]+")


def normalise_text(text: str) -> str:
    """Return a text without what near-identical texts differ in.

    Full-width and other compatibility forms become plain ones, case is folded, each number
    (with its points, commas, colons, slashes and hyphens) becomes 0, and white space,
    punctuation and symbols become single spaces. A text of nothing else, such as an emoji,
    keeps its symbols: all such texts would otherwise be the same.

    >>> normalise_text("Order #123-456: delivered by ８pm!")
    'order 0 delivered by 0pm'
    >>> normalise_text(" 🎉 ")
    '🎉'
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    words = _BETWEEN_WORDS.sub(" ", _NUMBER.sub("0", folded)).strip()
    return words or " ".join(folded.split())


def exact_inputs(example: Example) -> tuple[tuple[str, str], ...]:
    """Return an example's inputs as they stand, equal for equal ones and fit for a dict's key."""
    return tuple(sorted(example.inputs.items()))


def normalised_inputs(example: Example) -> str:
    """Return an example's inputs, each normalised on a line of its own, in the names' order."""
    return "\n".join(normalise_text(text) for _, text in sorted(example.inputs.items()))
