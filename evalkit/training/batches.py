"""Which rows come together, in an order that the seed and the epoch alone decide.

Trainer's own order is drawn anew in the middle of an epoch that is resumed, which then goes
through some rows twice and through others not at all.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import torch
from torch.utils.data import Dataset, Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices

from evalkit.engines.chat import common_prefix
from evalkit.errors import UserError
from evalkit.training.places import OWN, Kind, Place, Space
from evalkit.training.prefix_sharing import Row
from evalkit.training.recipe import LabelSpaces
from evalkit.training.topics import Topics


class PlacedRows(Dataset[Row]):
    """Rows, each with the place at which it was asked for."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: Place) -> Row:
        return {**self.rows[place.row], "place": place}


@dataclass(frozen=True)
class TopicBatches:
    """How rows with a topic are put together, so that lists of topics fit them."""

    of_row: Sequence[str | None]
    """For each row its topic."""
    topics: Topics
    spaces: LabelSpaces

    def draw(
        self, lengths: Sequence[int], size: int, draw: random.Random
    ) -> tuple[list[list[int]], list[Space], list[int]]:
        """Put a share of the rows into micro-batches of their own.

        Args:
            lengths: tokens of each row.
            size: rows of a micro-batch.
            draw: decides.

        Returns:
            The micro-batches, the space of each, and all other rows.
        """
        tagged = [row for row, topic in enumerate(self.of_row) if topic is not None]
        draw.shuffle(tagged)
        first = round(len(tagged) * self.spaces.topic_share)
        second = first + round(len(tagged) * self.spaces.beside_share)
        batches, spaces = [], []
        for kind, chosen in ((Kind.TOPICS, tagged[:first]), (Kind.BESIDE, tagged[first:second])):
            pool = _Pool(chosen, lengths, self)
            while (found := pool.take(kind, size, draw)) is not None:
                batches.append(found[0])
                spaces.append(Space(kind, found[1]))
        used = set(chain.from_iterable(batches))
        return batches, spaces, [row for row in range(len(self.of_row)) if row not in used]


class _Pool:
    """Rows with a topic that are still to be had, by length."""

    def __init__(self, rows: Sequence[int], lengths: Sequence[int], topics: TopicBatches) -> None:
        self.rows = sorted(rows, key=lambda row: (lengths[row], row))
        self.lengths = lengths
        self.topic_of = topics.of_row
        self.topics = topics.topics
        self.spaces = topics.spaces

    def take(
        self, kind: Kind, size: int, draw: random.Random
    ) -> tuple[list[int], tuple[str, ...]] | None:
        """Take a micro-batch and the topics it is labelled with; None where no more fit."""
        taken = self._of_topics(size, draw) if kind is Kind.TOPICS else self._beside(size, draw)
        if taken is None:
            return None
        left = set(self.rows).difference(taken[0])
        self.rows = [row for row in self.rows if row in left]
        return taken

    def _of_topics(
        self, size: int, draw: random.Random
    ) -> tuple[list[int], tuple[str, ...]] | None:
        wanted = draw.randint(self.spaces.fewest, self.spaces.most)
        counts = self._counts()
        chosen: list[str] = []
        for name in self._shuffled(counts, draw):
            enough = sum(counts[topic] for topic in chosen) >= size
            if len(chosen) == self.spaces.most or (len(chosen) >= wanted and enough):
                break
            if not set(self.topics[name].near) & set(chosen):
                chosen.append(name)
        rows = [row for row in self.rows if self.topic_of[row] in chosen]
        if len(rows) < size:
            return None
        start = draw.randint(0, len(rows) - size)
        rows = rows[start : start + size]
        return rows, tuple(sorted({str(self.topic_of[row]) for row in rows}))

    def _beside(self, size: int, draw: random.Random) -> tuple[list[int], tuple[str, ...]] | None:
        """A quarter to a half of the rows are of the topic or two that stand beside."""
        if size < 2:
            return None
        counts = self._counts()
        order = self._shuffled(counts, draw)
        focus = order[:1]
        if draw.random() < 0.5:
            near = set(self.topics[focus[0]].near) if focus else set()
            focus += [name for name in order[1:] if name not in near][:1]
        inside = [row for row in self.rows if self.topic_of[row] in focus]
        count = min(len(inside), draw.randint(max(1, size // 4), max(1, size // 2)))
        barred = {*focus, *(other for name in focus for other in self.topics[name].near)}
        others = [row for row in self.rows if self.topic_of[row] not in barred]
        if not count or len(others) < size - count:
            return None
        start = draw.randint(0, len(inside) - count)
        inside = inside[start : start + count]
        # Of like length, so that little is padding.
        middle = self.lengths[inside[count // 2]]
        place = bisect_left([self.lengths[row] for row in others], middle) - (size - count) // 2
        place = min(max(place, 0), len(others) - (size - count))
        rows = inside + others[place : place + size - count]
        return rows, tuple(sorted({str(self.topic_of[row]) for row in inside}))

    def _counts(self) -> Mapping[str, int]:
        counts: dict[str, int] = {}
        for row in self.rows:
            topic = str(self.topic_of[row])
            counts[topic] = counts.get(topic, 0) + 1
        return counts

    def _shuffled(self, counts: Mapping[str, int], draw: random.Random) -> list[str]:
        """Topics in an order in which one with more rows tends to come sooner."""
        # Weighted sampling without replacement (Efraimidis and Spirakis 2006).
        keys = {name: draw.random() ** (1 / counts[name]) for name in sorted(counts)}
        return sorted(keys, key=lambda name: -keys[name])


class ByLength(Sampler[Place]):
    """Rows of similar length after each other, for batches of a fixed number of rows.

    Args:
        rows: the rows.
        step: rows of an optimiser step, over all processes.
        seed: decides the order, with the epoch.
        batch_size: rows of a micro-batch on one device; `step` by default.
        topics: which rows come together for the sake of their topics.
        pairs: for each row a name that it shares with those it comes together with.
        lengths: epoch -> tokens of each row in it, where edits make that another number.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        step: int,
        seed: int,
        batch_size: int | None = None,
        topics: TopicBatches | None = None,
        pairs: Sequence[str | None] | None = None,
        lengths: Callable[[int], Sequence[int]] | None = None,
    ) -> None:
        self.own_lengths = [len(row["input_ids"]) for row in rows]
        self.lengths: Sequence[int] = self.own_lengths
        self.slots: Sequence[int] = range(len(rows))
        self.step = step
        self.seed = seed
        self.batch_size = batch_size or step
        self.topics = topics
        self.pairs = pairs
        self.lengths_in = lengths
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Trainer before each epoch."""
        self.epoch = epoch

    def fill(self, slots: Sequence[int]) -> None:
        """Say which row each slot of the epochs from now on shows; by default its own."""
        self.slots = slots

    def __len__(self) -> int:
        return len(self.slots)

    def __iter__(self) -> Iterator[Place]:
        lengths = self.lengths_in(self.epoch) if self.lengths_in else self.own_lengths
        self.lengths = [lengths[row] for row in self.slots]
        for place in self._places():
            yield place._replace(row=self.slots[place.row])

    def _places(self) -> Iterator[Place]:
        """Slots, in the place of rows."""
        if self.topics is None:
            for row in self._by_length(range(len(self.lengths)), self.step):
                yield Place(row, self.epoch)
            return
        draw = random.Random(f"{self.seed} {self.epoch}")
        topics = replace(self.topics, of_row=[self.topics.of_row[row] for row in self.slots])
        batches, spaces, others = topics.draw(self.lengths, self.batch_size, draw)
        rest = self._by_length(others, self.batch_size)
        whole = len(rest) - len(rest) % self.batch_size
        batches += [rest[at : at + self.batch_size] for at in range(0, whole, self.batch_size)]
        spaces += [OWN] * (len(batches) - len(spaces))
        order = list(range(len(batches)))
        draw.shuffle(order)
        for number in order:
            for row in batches[number]:
                yield Place(row, self.epoch, spaces[number])
        for row in rest[whole:]:
            yield Place(row, self.epoch)

    def _by_length(self, rows: Sequence[int], size: int) -> list[int]:
        if not rows:
            return []
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        lengths = [self.lengths[row] for row in rows]
        order = [rows[i] for i in get_length_grouped_indices(lengths, size, generator=generator)]
        if self.pairs is None:
            return order
        return _together(order, [self.pairs[row] for row in self.slots], self.batch_size)


def _together(order: Sequence[int], pairs: Sequence[str | None], size: int) -> list[int]:
    """Move rows of a pair into one batch of this size, and as few others as that takes.

    A group that is larger than a batch is spread over several.
    """
    groups: dict[str, list[int]] = {}
    for row in order:
        groups.setdefault(pairs[row] or f"\0{row}", []).append(row)
    waiting = deque(
        group[at : at + size] for group in groups.values() for at in range(0, len(group), size)
    )
    moved: list[int] = []
    while waiting:
        room = size - len(moved) % size
        fits = next((at for at, group in enumerate(waiting) if len(group) <= room), None)
        if fits is None:
            # Nothing small enough is left: the last batches may break a group.
            return [*moved, *chain.from_iterable(waiting)]
        moved += waiting[fits]
        del waiting[fits]
    return moved


class TokenBatches(Sampler[list[Place]]):
    """Batches of rows of like length that hold at most so many tokens, padding included.

    The batches are the same in every epoch and come in a new order; with as many batches in
    each, Trainer can tell in which epoch a step lies.
    """

    def __init__(self, rows: Sequence[Row], tokens: int, seed: int) -> None:
        self.seed = seed
        self.epoch = 0
        lengths = [len(row["input_ids"]) for row in rows]
        shared = common_prefix([row["input_ids"] for row in rows])
        if rows and max(lengths) > tokens:
            raise UserError(
                f"[recipe] tokens_per_batch: the longest row has {max(lengths)} tokens, and "
                f"{tokens} are to be in a batch."
            )
        generator = torch.Generator().manual_seed(seed)
        shuffled = torch.randperm(len(rows), generator=generator).tolist()
        self.batches: list[list[int]] = []
        batch: list[int] = []
        for row in sorted(shuffled, key=lambda row: lengths[row]):
            # Rows come by length, so the last is the widest.
            if shared + (len(batch) + 1) * (lengths[row] - shared) > tokens:
                self.batches.append(batch)
                batch = []
            batch.append(row)
        if batch:
            self.batches.append(batch)

    def set_epoch(self, epoch: int) -> None:
        """Called by Trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[Place]]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        for index in torch.randperm(len(self.batches), generator=generator).tolist():
            yield [Place(row, self.epoch) for row in self.batches[index]]
