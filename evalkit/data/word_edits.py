"""Short texts that differ in a word or an input: copies that n-grams cannot tell from others.

One word of ten replaced takes a third of a text's n-grams away, as much as a fact that is another
one. So a row's words are hashed as a bag, and once more for each word, and each input, that is
left out. Two rows that share one of these hashes differ in one word that is replaced, added or
missing, in an input that is replaced, or in the order of the words.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

from evalkit.data.normalising import is_character, words_of

MOST_WORDS = 60
"""Of longer texts only the whole bag is hashed: one word of theirs leaves the n-grams alike."""
LEAST_LEFT = 4
"""Words that have to be left."""
LEAST_SHARE = 0.6
"""Of the words that have to be left; docs/contamination.md has the curve it was chosen by."""
_MASK = 2**64 - 1


def edit_hashes(text: str, *, least_share: float = LEAST_SHARE) -> dict[int, float]:
    """Return the hashes of a normalised text, one input a line.

    Args:
        text: what `normalised_inputs` gives.
        least_share: hashes are made of no less than this share of the words.

    Returns:
        Each hash (64 bits) and the share of the words that it is made of. None of them where
        there are fewer than `LEAST_LEFT` words.
    """
    inputs = [words_of(line) for line in text.split("\n")]
    count = sum(map(len, inputs))
    total = sum(_hash_word(word) for words in inputs for word in words)
    found: dict[int, float] = {}
    for gone in _left_out(inputs) if count <= MOST_WORDS else [()]:
        left = count - len(gone)
        if left >= max(LEAST_LEFT, least_share * count):
            bag = total - sum(map(_hash_word, gone))
            found.setdefault(_hash_bag(bag & _MASK), left / count)
    return found


def _left_out(inputs: Sequence[Sequence[str]]) -> Iterator[Sequence[str]]:
    """Yield what is left out: nothing, each word, each input."""
    yield ()
    for words in inputs:
        yield from ((word,) for word in words)
        # A word of Chinese is two characters more often than one.
        yield from (pair for pair in pairwise(words) if all(map(is_character, pair)))
    if sum(map(bool, inputs)) > 1:
        yield from inputs


@lru_cache(maxsize=100_000)
def _hash_word(word: str) -> int:
    return _digest(word.encode("utf-8", "surrogatepass"))


def _hash_bag(total: int) -> int:
    """Hash a sum of word hashes once more.

    The difference of two bare sums would be the hash of one word, which a list of words reads.
    """
    return _digest(total.to_bytes(8, "little"))


def _digest(data: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
