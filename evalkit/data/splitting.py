"""A development split with no near-identical text on both sides."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from evalkit.data.normalising import normalised_inputs
from evalkit.errors import UserError
from evalkit.records import Example


def split_off_dev(
    examples: Sequence[Example], n: int, seed: int
) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """Split examples into (train, dev), with `n` of them in dev.

    Examples whose inputs are the same after `normalise_text` stay together. So dev falls short
    of `n` where no whole group fits into what is left. Which groups go to dev depends on their
    text and the seed alone: a row added elsewhere leaves them in place as far as it can. Both
    sides keep the order of `examples`.

    Raises `UserError` where either side would be empty or n is negative; n = 0 gives no dev.
    """
    if n == 0:
        return tuple(examples), ()
    if not 0 < n < len(examples):
        raise UserError(
            f"A development split of {n:,} cannot be taken from {len(examples):,} rows. "
            f"Choose a size from 0 to {max(len(examples) - 1, 0):,}."
        )
    groups: dict[str, list[int]] = {}
    for position, example in enumerate(examples):
        groups.setdefault(normalised_inputs(example), []).append(position)
    dev: set[int] = set()
    for text in sorted(groups, key=lambda text: _rank(text, seed)):
        if len(dev) + len(groups[text]) <= n:
            dev.update(groups[text])
    if not dev:
        raise UserError(
            f"No development split of {n:,}: every text repeats in more than {n:,} of the "
            f"{len(examples):,} rows. Take a larger split, or more varied data."
        )
    train = tuple(e for i, e in enumerate(examples) if i not in dev)
    return train, tuple(e for i, e in enumerate(examples) if i in dev)


def _rank(text: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{text}".encode()).digest()
