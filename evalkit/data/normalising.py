"""What is compared where inputs are looked for again: as they are, or normalised."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

from evalkit.data.lookalikes import to_skeleton
from evalkit.records import Example

_NUMBER = re.compile(r"\d+(?:[.,:/-]\d+)*")
_BETWEEN_WORDS = re.compile(r"[\W_]+")
_CHARACTER = r"[\u3040-\u30ff\u3400-\u9fff]"
_WORD = re.compile(_CHARACTER + r"|[^\s\u3040-\u30ff\u3400-\u9fff]+")


def normalise_text(text: str) -> str:
    """Return a text without what near-identical texts differ in.

    Full-width and other compatibility forms become plain ones, case is folded, characters that
    are not seen are left out and look-alikes of Latin letters become those, each number (with its
    points, commas, colons, slashes and hyphens) becomes 0, and white space, punctuation and
    symbols become single spaces. A text of nothing else, such as an emoji, keeps its symbols:
    all such texts would otherwise be the same.

    >>> normalise_text("Order #123-456: delivered by ８pm!")
    'order 0 delivered by 0pm'
    >>> normalise_text("P\u200bаypаl")  # a zero-width space and two Cyrillic letters
    'paypal'
    >>> normalise_text(" 🎉 ")
    '🎉'
    """
    return _words(to_skeleton(_fold(text)))


def normalise_text_v1(text: str) -> str:
    """Return what fingerprints of schema 1 were made of: unseen characters and look-alikes stay."""
    return _words(_fold(text))


def words_of(text: str) -> list[str]:
    """Return a normalised text's words; each Chinese or Japanese character is one.

    >>> words_of("paid 0 to 妈妈")
    ['paid', '0', 'to', '妈', '妈']
    """
    return _WORD.findall(text)


@lru_cache(maxsize=100_000)  # a gate asks the same words in many rows
def is_character(word: str) -> bool:
    """Return whether a word is a Chinese or Japanese character."""
    return re.fullmatch(_CHARACTER, word) is not None


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _words(folded: str) -> str:
    words = _BETWEEN_WORDS.sub(" ", _NUMBER.sub("0", folded)).strip()
    return words or " ".join(folded.split())


def exact_inputs(example: Example) -> tuple[tuple[str, str], ...]:
    """Return an example's inputs as they are, equal for equal ones and fit for a dict's key."""
    return tuple(sorted(example.inputs.items()))


def normalised_inputs(example: Example, normalise: Callable[[str], str] = normalise_text) -> str:
    """Return an example's inputs, each normalised on a line of its own, in the names' order."""
    return "\n".join(normalise(text) for _, text in sorted(example.inputs.items()))
