"""How alike two texts are: character n-grams, their MinHash signatures, and the search for pairs.

The similarity of two texts is the Jaccard index of their sets of n-grams. A signature estimates
it from 128 bytes: each byte is eight bits of the smallest hash of one of 128 hash functions. Its
standard error is sqrt(s (1 - s) / 128), 0.035 at a similarity s of 0.8.

numpy is imported where it is needed.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Signatures = npt.NDArray[np.uint8]
    """One row per text, one column per permutation."""
    Hashes = npt.NDArray[np.uint32]
    Positions = npt.NDArray[np.int64]
    Similarities = npt.NDArray[np.float64]

NGRAM = 3
"""Short, as notifications are: one changed character in 27 still leaves a similarity of 0.8, where
5-grams would ask for 45, which few Chinese ones have."""
PERMUTATIONS = 128
SEED = 1
MARGIN = 0.1
"""How far below the threshold an estimate may lie for the pair to be looked at: about three times
the standard error."""

_RECALL = 0.99
"""The least share of pairs just at the threshold that the bands have to bring together."""
_BLOCK = 1000
_GRAMS_AT_ONCE = 20_000
_PAIRS_AT_ONCE = 10_000
_MIX = 0x9E3779B1
"""An odd number with well mixed bits (2^32 divided by the golden ratio)."""


def grams(text: str) -> frozenset[bytes]:
    """Return a text's character n-grams, in UTF-32; a shorter text is its own only one."""
    data = text.encode("utf-32-le", "surrogatepass")
    width = 4 * NGRAM
    return frozenset(data[at : at + width] for at in range(0, max(len(data) - width, 0) + 1, 4))


def jaccard(one: str, other: str) -> float:
    """Return the share of two texts' n-grams that both have."""
    some, others = grams(one), grams(other)
    return len(some & others) / len(some | others)


@dataclass(frozen=True, slots=True)
class GramTable:
    """The n-grams of some texts, one bit for each that two or more texts share."""

    bits: npt.NDArray[np.uint64]
    sizes: Positions
    """How many n-grams each text has, with those that it has alone."""

    def similarity(self, some: Positions | int, others: Positions | slice) -> Similarities:
        """Return the Jaccard index of each pair of texts, or of one text and each other."""
        import numpy as np

        common = np.bitwise_count(self.bits[some] & self.bits[others]).sum(axis=-1, dtype=np.int64)
        found: Similarities = common / (self.sizes[some] + self.sizes[others] - common)
        return found


def tabulate(texts: Iterable[str]) -> GramTable:
    """Return the table of texts whose similarities are asked for."""
    import numpy as np

    found = [grams(text) for text in texts]
    counts = Counter(chain.from_iterable(found))
    columns = {gram: i for i, gram in enumerate(gram for gram in counts if counts[gram] > 1)}
    bits = np.zeros((len(found), len(columns) // 64 + 1), dtype=np.uint64)
    for row, its in zip(bits, found, strict=True):
        places = np.array([columns[gram] for gram in its if gram in columns], dtype=np.uint64)
        np.bitwise_or.at(row, places // 64, np.uint64(1) << places % np.uint64(64))
    return GramTable(bits, np.array([len(its) for its in found], dtype=np.int64))


def sign(texts: Collection[str]) -> Signatures:
    """Return the texts' signatures.

    The same text gives the same bytes everywhere: CRC-32, a frozen random generator and
    arithmetic on 32-bit integers are all there is in them.
    """
    import numpy as np

    signed = b"".join(map(_signature, texts))
    return np.frombuffer(signed, dtype=np.uint8).reshape(len(texts), PERMUTATIONS)


@lru_cache(maxsize=1 << 14)  # a gate asks the same rows in many ways
def _signature(text: str) -> bytes:
    import numpy as np

    odd, shift = _permutations()
    least = np.full(PERMUTATIONS, 2**32 - 1, dtype=np.uint32)
    found = list(grams(text))
    for start in range(0, len(found), _GRAMS_AT_ONCE):  # bounds the memory of a long text
        hashes = np.array([*map(zlib.crc32, found[start : start + _GRAMS_AT_ONCE])], np.uint32)
        permuted = _avalanche(hashes)[:, np.newaxis] * odd + shift
        np.minimum(least, permuted.min(axis=0), out=least)
    # The upper bits of a product: lower ones of the minima would agree in every column at
    # once for one pair of n-grams in 256.
    mixed = (least * np.uint32(_MIX)) >> np.uint32(24)
    signature: bytes = mixed.astype(np.uint8).tobytes()
    return signature


@cache
def _permutations() -> tuple[Hashes, Hashes]:
    """Factors and summands of the permutations h -> a h + b mod 2^32; an odd a loses nothing.

    The draws are those of datasketch's scheme `affine32`, so that its sketches and these agree.
    """
    import numpy as np

    draw = np.random.RandomState(SEED)  # its stream is frozen
    odd = draw.randint(0, 2**31, PERMUTATIONS, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    return odd, draw.randint(0, 2**32, PERMUTATIONS, dtype=np.uint32)


def _avalanche(hashes: Hashes) -> Hashes:
    """Spread every bit of a hash over all: the finalizer of MurmurHash3 (Appleby 2011)."""
    import numpy as np

    hashes = (hashes ^ (hashes >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    hashes = (hashes ^ (hashes >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return hashes ^ (hashes >> np.uint32(16))


def estimate(some: Signatures, others: Signatures) -> Similarities:
    """Estimate the similarity of each pair of rows."""
    import numpy as np

    by_chance = 1 / 256
    agreeing = np.count_nonzero(some == others, axis=-1) / PERMUTATIONS
    similarities: Similarities = np.clip((agreeing - by_chance) / (1 - by_chance), 0.0, 1.0)
    return similarities


def near_pairs(
    left: Sequence[str],
    left_signatures: Signatures,
    right: Sequence[str],
    right_signatures: Signatures,
    threshold: float,
) -> Iterator[tuple[int, int, float]]:
    """Yield the pairs of a left and a right text that are truly alike, with their similarity.

    The smaller side had better be the right one: it is indexed, the left is gone through.
    """
    import numpy as np

    found = similar_pairs(left_signatures, right_signatures, threshold, threshold - MARGIN)
    for some, others, _ in found:
        ones, i = np.unique(some, return_inverse=True)
        twos, j = np.unique(others, return_inverse=True)
        table = tabulate([*(left[at] for at in ones), *(right[at] for at in twos)])
        j += len(ones)
        for start in range(0, len(some), _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            similarity = table.similarity(i[part], j[part])
            near = similarity >= threshold
            yield from zip(
                some[part][near].tolist(),
                others[part][near].tolist(),
                similarity[near].tolist(),
                strict=True,
            )


def similar_pairs(
    left: Signatures, right: Signatures, threshold: float, least: float
) -> Iterator[tuple[Positions, Positions, Similarities]]:
    """Yield pairs of a left and a right row that seem alike, block by block, each pair once.

    Args:
        left: any number of rows; they are gone through in blocks.
        right: rows that are indexed.
        threshold: how alike rows have to be so that all but one in a hundred are found.
        least: pairs whose estimated similarity is lower are left out.

    Yields:
        Positions on the left, positions on the right, and estimates.
    """
    import numpy as np

    if not len(right):
        return
    index = []
    for keys in band_keys(right, threshold):
        order = np.argsort(keys)
        index.append((order, keys[order]))
    for start in range(0, len(left), _BLOCK):
        block = left[start : start + _BLOCK]
        pairs = []
        for keys, (order, ordered) in zip(band_keys(block, threshold), index, strict=True):
            first = np.searchsorted(ordered, keys, side="left")
            counts = np.searchsorted(ordered, keys, side="right") - first
            rows = np.repeat(np.arange(len(block)), counts)
            within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
            pairs.append(rows * len(right) + order[first[rows] + within])
        rows, others = np.divmod(np.unique(np.concatenate(pairs)), len(right))
        similarity = estimate(block[rows], right[others])
        kept = similarity >= least
        yield rows[kept] + start, others[kept], similarity[kept]


def similar_bundles(signatures: Signatures, threshold: float) -> Iterator[Sequence[int]]:
    """Yield bundles of rows that may be alike; of similar rows 99% or more share a bundle.

    Bundles overlap. A pair of rows may come in many of them.
    """
    import numpy as np

    for keys in band_keys(signatures, threshold):
        order = np.argsort(keys, kind="stable")
        edges = np.flatnonzero(np.diff(keys[order])) + 1
        bounds = np.concatenate(([0], edges, [len(order)]))
        for run in np.flatnonzero(np.diff(bounds) > 1):
            yield order[bounds[run] : bounds[run + 1]].tolist()


def band_keys(signatures: Signatures, threshold: float) -> Iterator[npt.NDArray[np.uint64]]:
    """Yield one number per row for each band of columns; rows alike share one in some band."""
    import numpy as np

    width = _band_width(threshold)
    # Powers of an odd number: a different number for every likely content of a band. Two
    # contents that do share one cost a comparison and no more.
    factors = np.cumprod(np.full(width, 0x9E3779B97F4A7C15, dtype=np.uint64))
    for start in range(0, PERMUTATIONS - width + 1, width):
        yield (signatures[:, start : start + width] @ factors).astype(np.uint64, copy=False)


def _band_width(threshold: float) -> int:
    """Return the widest band that still finds enough of the pairs at the threshold.

    The wider, the fewer pairs below the threshold are looked at in vain.
    """
    return max(
        width
        for width in range(1, PERMUTATIONS + 1)
        if width == 1 or 1 - (1 - threshold**width) ** (PERMUTATIONS // width) >= _RECALL
    )
