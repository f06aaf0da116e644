"""The rows of one set that are most like some rows of another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from evalkit.data.minhash import grams
from evalkit.data.normalising import normalised_inputs
from evalkit.records import Example


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A row that is like another."""

    example: Example
    similarity: float
    """Jaccard index of the character n-grams of the normalised texts."""


def nearest(
    asked: Sequence[Example], known: Iterable[Example], most: int = 3
) -> list[list[Neighbour]]:
    """Return for each row asked about the known rows most like it, the nearest first.

    Every pair is looked at, so this is for a page of rows and any number of known ones; of
    whole sets, `find_overlap` finds the near duplicates. Rows without an n-gram in common are
    left out; of rows that are equally near, the first come first.
    """
    texts = [grams(normalised_inputs(example)) for example in asked]
    found: list[list[Neighbour]] = [[] for _ in asked]
    if not asked or most < 1:
        return found
    wanted = frozenset().union(*texts)
    for example in known:
        its = grams(normalised_inputs(example))
        size, its = len(its), its & wanted
        for best, text in zip(found, texts, strict=True):
            common = len(its & text)
            similarity = common / (size + len(text) - common)
            if common and (len(best) < most or similarity > best[-1].similarity):
                best.append(Neighbour(example, similarity))
                best.sort(key=lambda neighbour: -neighbour.similarity)
                del best[most:]
    return found
