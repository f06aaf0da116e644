"""Greedy decoding in batches, with the prefix that all prompts share computed once.

Token ids are those of `model.generate` on one prompt at a time, in fp32 (tested on tiny
Llama-, Qwen3- and Gemma3-shaped models and on the default weights). In bf16 a batch's layout
decides near-ties; see docs/architecture.md.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from evalkit.engines.chat import common_prefix

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from transformers.cache_utils import Cache


@dataclass(frozen=True)
class Job:
    """One prompt to be continued."""

    prompt: Sequence[int]
    """Token ids; at least one."""
    max_new_tokens: int


@dataclass(frozen=True)
class Continuation:
    """What the model wrote."""

    ids: tuple[int, ...]
    """Generated ids without the stop token."""
    stopped: bool
    """Whether a stop token came before `max_new_tokens`."""


class PrefixCache:
    """Keys and values of the last prefix, kept from call to call."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self._ids: tuple[int, ...] = ()
        self._cache: Cache | None = None

    def rows(self, prefix: Sequence[int], count: int) -> Cache | None:
        """A cache of `count` rows that all hold the prefix; None for an empty prefix."""
        if not prefix:
            return None
        if self._ids != tuple(prefix):
            ids = torch.tensor([prefix], device=self.model.device)
            out = self.model(input_ids=ids, use_cache=True, logits_to_keep=1)
            self._ids, self._cache = tuple(prefix), out.past_key_values
        cache = copy.deepcopy(self._cache)
        assert cache is not None
        cache.batch_repeat_interleave(count)
        return cache


def continue_greedily(
    model: PreTrainedModel,
    jobs: Sequence[Job],
    stop_ids: frozenset[int],
    batch_size: int,
    prefixes: PrefixCache,
) -> Iterator[list[tuple[int, Continuation]]]:
    """Continue every job with its likeliest tokens; yield (job index, continuation) by batch.

    Batches hold prompts of similar length, longest first, so that what memory it takes shows
    at once.
    """
    # One prompt token at least must be left to run: the first answer token comes from it.
    shared = min(
        common_prefix([job.prompt for job in jobs]),
        min((len(job.prompt) for job in jobs), default=1) - 1,
    )
    prefix = jobs[0].prompt[:shared] if jobs else ()
    for batch in _batches(jobs, batch_size, may_pad=not _windows_matter(model, jobs)):
        with torch.inference_mode():
            cache = prefixes.rows(prefix, len(batch))
            done = _run_batch(model, [jobs[i] for i in batch], shared, cache, stop_ids)
        yield list(zip(batch, done, strict=True))


def _windows_matter(model: PreTrainedModel, jobs: Sequence[Job]) -> bool:
    """Whether some sequence outgrows a sliding window.

    Sliding masks count places, so padding in the middle would push real tokens out of sight.
    """
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    # Models without layer types (Mistral) slide in every layer.
    slides = "sliding_attention" in (getattr(config, "layer_types", None) or ["sliding_attention"])
    # Padded to the longest prompt, every row takes part in as many steps as the longest answer.
    longest = max((len(job.prompt) for job in jobs), default=0)
    longest += max((job.max_new_tokens for job in jobs), default=0)
    return bool(slides and window and longest >= window)


def _batches(jobs: Sequence[Job], batch_size: int, *, may_pad: bool) -> Iterator[list[int]]:
    order = sorted(range(len(jobs)), key=lambda i: (-len(jobs[i].prompt), i))
    batch: list[int] = []
    for index in order:
        ragged = bool(batch) and len(jobs[batch[0]].prompt) != len(jobs[index].prompt)
        if len(batch) == batch_size or (ragged and not may_pad):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _run_batch(
    model: PreTrainedModel,
    jobs: Sequence[Job],
    shared: int,
    cache: Cache | None,
    stop_ids: frozenset[int],
) -> list[Continuation]:
    """Decode one batch. Suffixes are padded on the left, between prefix and suffix."""
    device = model.device
    suffixes = [list(job.prompt[shared:]) for job in jobs]
    width = max(map(len, suffixes))
    ids = torch.tensor([[0] * (width - len(s)) + s for s in suffixes], device=device)
    seen = torch.tensor(
        [[1] * shared + [0] * (width - len(s)) + [1] * len(s) for s in suffixes], device=device
    )
    positions = (seen.cumsum(1) - 1).clamp(min=0)[:, shared:]
    written: list[list[int]] = [[] for _ in jobs]
    stopped = [False] * len(jobs)
    alive = list(range(len(jobs)))
    while True:
        out = model(
            input_ids=ids,
            attention_mask=seen,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        cache = out.past_key_values
        tokens = out.logits[:, -1].float().argmax(-1).tolist()
        keep = []
        for place, (row, token) in enumerate(zip(alive, tokens, strict=True)):
            if token in stop_ids:
                stopped[row] = True
                continue
            written[row].append(token)
            if len(written[row]) < jobs[row].max_new_tokens:
                keep.append(place)
        if not keep:
            break
        ids = torch.tensor([[tokens[place]] for place in keep], device=device)
        if len(keep) < len(alive):
            kept = torch.tensor(keep, device=device)
            cache.batch_select_indices(kept)
            seen, positions = seen[kept], positions[kept]
            alive = [alive[place] for place in keep]
        seen = torch.cat([seen, seen.new_ones(len(keep), 1)], dim=1)
        positions = positions[:, -1:] + 1
    return [Continuation(tuple(w), s) for w, s in zip(written, stopped, strict=True)]
