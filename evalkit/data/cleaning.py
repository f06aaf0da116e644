"""Exact duplicates: found, dropped, and reported where their labels disagree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from evalkit.data.normalising import exact_inputs
from evalkit.records import Example


@dataclass(frozen=True, slots=True)
class Deduplicated:
    """Examples without exact repeats of their inputs."""

    kept: tuple[Example, ...]
    """The first of each group of duplicates, in the order they came."""
    dropped: int
    conflicts: tuple[tuple[Example, ...], ...]
    """Groups with the same inputs and different labels, each with all its members."""


def deduplicate(examples: Iterable[Example]) -> Deduplicated:
    """Keep the first of all examples whose inputs are the same, character by character."""
    groups: dict[tuple[tuple[str, str], ...], list[Example]] = {}
    for example in examples:
        groups.setdefault(exact_inputs(example), []).append(example)
    kept = tuple(group[0] for group in groups.values())
    dropped = sum(len(group) - 1 for group in groups.values())
    conflicts = tuple(tuple(group) for group in groups.values() if _disagree(group))
    return Deduplicated(kept, dropped, conflicts)


def _disagree(group: list[Example]) -> bool:
    return any(dict(example.labels) != dict(group[0].labels) for example in group)
