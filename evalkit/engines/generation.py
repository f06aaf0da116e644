"""Greedy decoding in batches: the common prefix computed once, answers guessed and checked.

Token ids are those of `model.generate` on one prompt at a time, in fp32 (tested on tiny
Llama-, Qwen3- and Gemma3-shaped models and on the default weights). In bf16 a batch's layout
decides near-ties; see docs/architecture.md.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from evalkit.engines.chat import common_prefix

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedConfig, PreTrainedModel
    from transformers.cache_utils import Cache

    from evalkit.engines.drafts import Drafts


@dataclass(frozen=True)
class Job:
    """One prompt to be continued."""

    prompt: Sequence[int]
    """Token ids; at least one."""
    max_new_tokens: int
    drafts: Drafts | None = None
    """What the model may be expected to write."""


@dataclass(frozen=True)
class Continuation:
    """What the model wrote."""

    ids: tuple[int, ...]
    """Generated ids without the stop token."""
    stopped: bool
    """Whether a stop token came before `max_new_tokens`."""
    logprobs: tuple[float, ...] = field(default=(), compare=False)
    """Of the generated tokens, the stop token's included."""
    margin: float = field(default=math.inf, compare=False)
    """The least distance of a chosen token's logit from the next one's."""
    passes: int = field(default=0, compare=False)
    """Forward passes the row took part in."""


def soft_cap(logits: torch.Tensor, config: PreTrainedConfig) -> torch.Tensor:
    """Cap logits as Gemma does in its forward, which is not called where the head runs apart."""
    cap = getattr(config, "final_logit_softcapping", None)
    return logits if cap is None else torch.tanh(logits / cap) * cap


class CausalModel:
    """A causal language model in two parts, so that the head runs only where it is needed.

    An ordinary head computes in fp32 whatever the trunk's type is: bf16 logits near 20 lie 0.125
    apart, and such ties would be decided by how a batch is laid out.
    """

    def __init__(self, model: PreTrainedModel | PeftModel) -> None:
        inner: Any = getattr(model, "get_base_model", lambda: model)()
        self._head = inner.get_output_embeddings()
        self.device = inner.device
        self.dtype = inner.dtype
        self.config = inner.config.get_text_config()
        self.trunk = inner.base_model
        """Adapter layers are inside."""
        # An adapted or a quantised head is more than its weight, and is called as it is.
        if type(self._head) is torch.nn.Linear:
            self._head = copy.deepcopy(self._head).float()
        self.head_dtype = str(next(self._head.parameters()).dtype).removeprefix("torch.")

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """The logits (tokens, vocabulary) of hidden states (tokens, width), as fp32."""
        if self.head_dtype == "float32":
            hidden = hidden.float()
        logits: torch.Tensor = self._head(hidden)
        return soft_cap(logits, self.config).float()


class PrefixCache:
    """Keys and values of the last prefix, kept from call to call."""

    def __init__(self, model: CausalModel) -> None:
        self.model = model
        self._ids: tuple[int, ...] = ()
        self._cache: Cache | None = None

    def rows(self, prefix: Sequence[int], count: int) -> Cache | None:
        """A cache of `count` rows that all hold the prefix; None for an empty prefix."""
        if not prefix:
            return None
        if self._ids != tuple(prefix):
            ids = torch.tensor([prefix], device=self.model.device)
            out = self.model.trunk(input_ids=ids, use_cache=True)
            self._ids, self._cache = tuple(prefix), out.past_key_values
        cache = copy.deepcopy(self._cache)
        assert cache is not None
        cache.batch_repeat_interleave(count)
        return cache


def continue_greedily(
    model: CausalModel,
    jobs: Sequence[Job],
    stop_ids: frozenset[int],
    batch_size: int,
    prefixes: PrefixCache,
    habits: Counter[int] | None = None,
) -> Iterator[list[tuple[int, Continuation]]]:
    """Continue every job with its likeliest tokens; yield (job index, continuation) by batch.

    Batches hold prompts of similar length, longest first, so that what memory it takes shows
    at once. Where jobs have drafts, these are guessed and verified; `habits` counts which of
    them were right, from call to call.
    """
    # One prompt token at least must be left to run: the first answer token comes from it.
    shared = min(
        common_prefix([job.prompt for job in jobs]),
        min((len(job.prompt) for job in jobs), default=1) - 1,
    )
    prefix = jobs[0].prompt[:shared] if jobs else ()
    habits = Counter() if habits is None else habits
    may_pad = not _windows_matter(model, jobs)
    for batch in _batches(jobs, batch_size, may_pad=may_pad):
        with torch.inference_mode():
            cache = prefixes.rows(prefix, len(batch))
            chosen = [jobs[i] for i in batch]
            decoding = _Decoding(model, chosen, shared, cache, stop_ids, habits)
            done = decoding.run(may_guess=may_pad)
        yield list(zip(batch, done, strict=True))


def _windows_matter(model: CausalModel, jobs: Sequence[Job]) -> bool:
    """Whether some sequence outgrows a sliding window.

    Sliding masks count places, so padding in the middle would push real tokens out of sight.
    """
    config = model.config
    window = getattr(config, "sliding_window", None)
    # Models without layer types (Mistral) slide in every layer.
    slides = "sliding_attention" in (getattr(config, "layer_types", None) or ["sliding_attention"])
    # Padded to the longest prompt, every row takes part in as many steps as the longest answer.
    longest = max((len(job.prompt) for job in jobs), default=0)
    longest += max((job.max_new_tokens for job in jobs), default=0) + _spare_places(jobs)
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


def _spare_places(jobs: Sequence[Job]) -> int:
    """Places in the cache that a batch may spend on guesses: a few answers' lengths."""
    drafts = {id(job.drafts): job.drafts for job in jobs if job.drafts}
    return 4 * max((len(ids) for d in drafts.values() for ids in d.ids), default=0)


class _Decoding:
    """One batch on its way. What a row has not fed yet is padded on the left.

    The cache keeps places for padding and for guesses that were wrong; the mask hides them, and
    positions count what it does not hide.
    """

    def __init__(
        self,
        model: CausalModel,
        jobs: Sequence[Job],
        shared: int,
        cache: Cache | None,
        stop_ids: frozenset[int],
        habits: Counter[int],
    ) -> None:
        self.model = model
        self.cache = cache
        self.stop_ids = stop_ids
        self.habits = habits
        self.alive = [_Row(job, list(job.prompt[shared:])) for job in jobs]
        self.rows = tuple(self.alive)
        self.seen = torch.ones(len(jobs), shared, dtype=torch.long, device=model.device)
        self.spare = _spare_places(jobs)

    def run(self, *, may_guess: bool) -> list[Continuation]:
        """Decode until every row has ended."""
        while self.alive:
            guesses = [row.guess(self.habits) if may_guess else () for row in self.alive]
            longest = max(map(len, guesses))
            if longest > self.spare:
                guesses, longest = [()] * len(guesses), 0
            self.spare -= longest
            self._check(guesses, self._forward(guesses))
            self._drop_ended()
        return [row.ended(self.habits) for row in self.rows]

    def _forward(self, guesses: Sequence[tuple[int, ...]]) -> torch.Tensor:
        """Feed every row what is left of it and its guess.

        Returns the logits (tokens, vocabulary) that follow each row's last written token and
        the tokens of its guess, row after row.
        """
        feeds = [[*row.feed, *guess] for row, guess in zip(self.alive, guesses, strict=True)]
        width = max(map(len, feeds))
        device = self.model.device
        ids = torch.tensor([[0] * (width - len(f)) + f for f in feeds], device=device)
        fed = torch.tensor([[0] * (width - len(f)) + [1] * len(f) for f in feeds], device=device)
        self.seen = torch.cat([self.seen, fed], dim=1)
        out = self.model.trunk(
            input_ids=ids,
            attention_mask=self.seen,
            position_ids=(self.seen.cumsum(1) - 1).clamp(min=0)[:, -width:],
            past_key_values=self.cache,
            use_cache=True,
        )
        self.cache = out.past_key_values
        asked = [
            row[width - 1 - len(g) :] for row, g in zip(out.last_hidden_state, guesses, strict=True)
        ]
        return self.model.logits(torch.cat(asked))

    def _check(self, guesses: Sequence[tuple[int, ...]], logits: torch.Tensor) -> None:
        """Keep of each guess what the model would have written, and its next token."""
        chosen = logits.argmax(-1).tolist()
        best, second = logits.topk(2).values.unbind(-1)
        logprobs = (best - logits.logsumexp(-1)).tolist()
        margins = (best - second).tolist()
        first = 0
        for place, (row, guess) in enumerate(zip(self.alive, guesses, strict=True)):
            row.passes += 1
            agreed = 0
            for step in range(len(guess) + 1):
                token = chosen[first + step]
                row.take(token, logprobs[first + step], margins[first + step], self.stop_ids)
                if row.is_ended or step == len(guess) or guess[step] != token:
                    break
                agreed += 1
            first += len(guess) + 1
            if wrong := len(guess) - agreed:
                self.seen[place, -wrong:] = 0

    def _drop_ended(self) -> None:
        keep = [place for place, row in enumerate(self.alive) if not row.is_ended]
        if 0 < len(keep) < len(self.alive):
            kept = torch.tensor(keep, device=self.model.device)
            assert self.cache is not None
            self.cache.batch_select_indices(kept)
            self.seen = self.seen[kept]
        self.alive = [self.alive[place] for place in keep]


class _Row:
    """One row of a batch on its way."""

    def __init__(self, job: Job, suffix: list[int]) -> None:
        self.job = job
        self.feed = suffix
        """What the cache does not hold yet."""
        self.written: list[int] = []
        self.logprobs: list[float] = []
        self.margin = math.inf
        self.stopped = self.is_ended = False
        self.passes = 0

    def guess(self, habits: Counter[int]) -> tuple[int, ...]:
        """How the answer may go on."""
        return self.job.drafts.guess(self.written, habits) if self.job.drafts else ()

    def take(self, token: int, logprob: float, margin: float, stop_ids: frozenset[int]) -> None:
        """Put down the model's choice."""
        self.logprobs.append(logprob)
        self.margin = min(self.margin, margin)
        if token in stop_ids:
            self.stopped = self.is_ended = True
            return
        self.written.append(token)
        self.feed = [token]
        self.is_ended = len(self.written) >= self.job.max_new_tokens

    def ended(self, habits: Counter[int]) -> Continuation:
        """What came out."""
        number = self.job.drafts.number(self.written) if self.job.drafts else None
        if self.stopped and number is not None:
            habits[number] += 1
        return Continuation(
            tuple(self.written), self.stopped, tuple(self.logprobs), self.margin, self.passes
        )
