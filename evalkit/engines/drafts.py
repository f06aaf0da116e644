"""Guessing the rest of an answer, so that a model can check many tokens in one pass.

An answer is nearly known: it is one of the canonical ones, unless the model fails. The engine
feeds the likeliest of them behind the prompt, keeps what agrees with the model's own choice and
goes on from the first difference (speculative decoding by verification, arXiv 2211.17192, with
the format in the place of a draft model). Guesses change how many passes it takes, never what the
answer is.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property

from evalkit.records import Answer, Label

RESUMED = 3
"""After so many tokens that stand in a canonical answer too, one that went astray is expected to
follow it again: a call that copied its input with a mistake, say."""


class Drafts:
    """The canonical answers to one input, as token ids with the token that ends them."""

    def __init__(self, answers: Sequence[Answer], ids: Sequence[Sequence[int]]) -> None:
        self.labels: list[Mapping[str, Label]] = [answer.labels for answer in answers]
        self.ids = [tuple(found) for found in ids]

    def guess(
        self, written: Sequence[int], draft_counts: Counter[int], least: float = 0.0
    ) -> tuple[int, ...]:
        """How the answer may go on: as most of those do that begin as it does.

        Where none does any more, as those do that have its last tokens.

        Args:
            written: the answer so far.
            draft_counts: how often each of the answers was given so far, by its number.
            least: the share of answers that must agree on a token for it to be guessed.

        Returns ids without the end token; none where no canonical answer is like that.
        """
        begun = tuple(written)
        start = len(begun)
        fitting = [i for i, ids in enumerate(self.ids) if ids[:start] == begun]
        if not fitting:
            start, fitting = self._behind(begun[-RESUMED:])
        guessed: list[int] = []
        while fitting:
            place = start + len(guessed)
            shares: dict[int, float] = {}
            for i in fitting:
                token = self.ids[i][place]
                # Before anything was given, each answer is as likely as another.
                shares[token] = shares.get(token, 0.0) + draft_counts[i] + 1 / len(self.ids)
            token = max(shares, key=lambda token: shares[token])
            fitting = [i for i in fitting if self.ids[i][place] == token]
            ends = any(len(self.ids[i]) == place + 1 for i in fitting)
            if ends or shares[token] < least * sum(shares.values()):
                break
            guessed.append(token)
        return tuple(guessed)

    def _behind(self, tail: tuple[int, ...]) -> tuple[int, list[int]]:
        """The last place behind these tokens in any answer, and the answers that have it."""
        if len(tail) == RESUMED:
            for place in range(max(map(len, self.ids)) - 1, RESUMED - 1, -1):
                having = [
                    i
                    for i, ids in enumerate(self.ids)
                    if len(ids) > place and ids[place - RESUMED : place] == tail
                ]
                if having:
                    return place, having
        return 0, []

    def number(self, written: Sequence[int]) -> int | None:
        """Which answer this is, ended; None for any other text."""
        return self._numbers.get(tuple(written))

    def confidences(self, number: int, logprobs: Sequence[float]) -> dict[str, float]:
        """The probability that the model gave to each field's value, given the fields before.

        It is that of the tokens at which the canonical answers part: not the quotes and
        braces they share.

        Args:
            number: which answer was given.
            logprobs: of its tokens, the end token's included.
        """
        sums = dict.fromkeys(self.labels[number], 0.0)
        for place, field in self._partings(number):
            sums[field] += logprobs[place]
        return {field: min(1.0, math.exp(total)) for field, total in sums.items()}

    @cached_property
    def _numbers(self) -> dict[tuple[int, ...], int]:
        return {ids[:-1]: i for i, ids in enumerate(self.ids)}

    def _partings(self, number: int) -> list[tuple[int, str]]:
        """Places of an answer at which others part from it, and the field that parts them."""
        ids, labels = self.ids[number], self.labels[number]
        found = []
        together = [i for i in range(len(self.ids)) if i != number]
        for place, token in enumerate(ids):
            parting = [i for i in together if self.ids[i][place] != token]
            if parting:
                # Those that part here differ in this field and perhaps in later ones. Where a
                # token spans two fields, they may differ in either.
                differing = [
                    {name for name in labels if self.labels[i][name] != labels[name]}
                    for i in parting
                ]
                in_all = set.intersection(*differing)
                field = next(name for name in labels if name in (in_all or differing[0]))
                found.append((place, field))
                together = [i for i in together if self.ids[i][place] == token]
        return found
