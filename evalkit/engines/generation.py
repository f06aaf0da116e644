"""Greedy decoding in batches: the common prefix computed once, answers guessed and checked.

Token ids are those of `model.generate` on one prompt at a time, in fp32 (tested on tiny
Llama-, Qwen3- and Gemma3-shaped models and on the default weights). In bf16 a batch's layout
decides near-ties; docs/engine.md has figures.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import torch
from transformers.cache_utils import DynamicCache

from evalkit.engines.batching import BatchBudget, equal_ones, in_batches
from evalkit.engines.chat import common_prefix
from evalkit.engines.packing import NAME as PACKED
from evalkit.engines.packing import PackedKeys, beginnings, can_pack
from evalkit.engines.prefix_attention import attending_by
from evalkit.engines.prepacked import Prepacked, multiplying_with, prepack
from evalkit.engines.side_by_side import in_equal_parts, lanes, side_by_side
from evalkit.errors import UserError

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedConfig, PreTrainedModel

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


HIDDEN = torch.iinfo(torch.long).max
"""The position of a place in the cache that no token may look at."""
LOGITS_AT_ONCE = 128
"""Places whose logits are held at the same time."""
CLEAR = 4.0
"""By how much the likeliest token's logit has to lead in bf16 for it not to be asked again in
fp32; more where logits are larger than usual. Rounding moves a logit of 64 by an eighth."""
CANDIDATES = 8
"""Of so many tokens that lead in bf16 the fp32 logits are computed, where none leads by far."""
CAUTION = 0.5
"""On a CPU a wrong guess costs as much as a right one saves: tokens are guessed that at least
this share of the answers so far went on with. Elsewhere a pass costs more than its tokens."""


WORTH_PREPACKING = 8
"""Fewer jobs are done before prepacking their weights has paid."""


class CausalModel:
    """A causal language model in two parts, so that the head runs only where it is needed.

    What an ordinary head says is decided in fp32 whatever the trunk's type is: bf16 logits near 20
    lie 0.125 apart, and such ties would be decided by how a batch is laid out. Where one token
    leads by far even so, that is enough (`CLEAR`).

    Masks are made here, from the positions of what each place in the cache holds. So rows may be
    padded, and guesses may be wrong, without a sliding window counting the places they leave.
    """

    def __init__(self, model: PreTrainedModel | PeftModel) -> None:
        """Take a model apart.

        Raises:
            UserError: it mixes tokens other than by attention to all or to a window.
        """
        inner = _innermost(model)
        self.source_head = self.head_of(model)
        self.device = inner.device
        self.dtype = inner.dtype
        self.config = inner.config.get_text_config()
        self.fed: list[int] = []
        """Tokens that went through the trunk, by pass; lanes append to it side by side."""
        self.trunk = inner.base_model
        """Adapter layers are inside."""
        self._windows = _windows(self.config)
        self.reach = _reach(self.config, self._windows)
        """Tokens of which the last one can know: prompt and answer are to be no longer."""
        weight = next(self.source_head.parameters())
        # An adapted or a quantised head is more than its weight, and is called as it is.
        plain = type(self.source_head) is torch.nn.Linear and weight.dtype != torch.float32
        self._to_float = plain
        self._rounds = plain and getattr(self.config, "final_logit_softcapping", None) is None
        """Whether the head as it stands in the model says in less time nearly the same."""
        dtype = torch.float32 if plain else weight.dtype
        self.head_dtype = str(dtype).removeprefix("torch.")

    @cached_property
    def _head(self) -> torch.nn.Module:
        """The head in fp32, where it can be: a large copy, made when it is first asked."""
        if not self._to_float:
            return self.source_head
        source: Any = self.source_head
        head = torch.nn.Linear(1, 1, bias=source.bias is not None)
        for name, values in source.named_parameters():
            setattr(head, name, torch.nn.Parameter(values.detach().float(), requires_grad=False))
        return head

    def forget_head(self) -> None:
        """Make the head's copy anew when it is next asked: its weights have changed."""
        self.__dict__.pop("_head", None)

    @property
    def operations(self) -> float:
        """Of the trunk's matrix products so far."""
        layers = (layer for layer in self.trunk.modules() if type(layer) is torch.nn.Linear)
        return 2.0 * sum(layer.weight.numel() for layer in layers) * sum(self.fed)

    @cached_property
    def packs(self) -> bool:
        """Whether rows are fed without padding: on a CPU, where it saves what it leaves out."""
        return self.device.type == "cpu" and can_pack(self)

    def prepacked(self) -> Prepacked:
        """The layers' weights as they are now, laid out for quick products."""
        return prepack(self.trunk, *([self.source_head] if self._rounds else []))

    @staticmethod
    def head_of(model: PreTrainedModel | PeftModel) -> torch.nn.Module:
        """The output head as it stands in the model."""
        head: torch.nn.Module = _innermost(model).get_output_embeddings()
        return head

    def hidden(
        self,
        ids: torch.Tensor,
        positions: torch.Tensor,
        places: torch.Tensor,
        cache: DynamicCache,
        among: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Run tokens through the trunk, behind what the cache holds.

        Args:
            ids: (rows, width).
            positions: (rows, width), from 0.
            places: (rows, cached + width) the position of what each place of the cache holds
                when these tokens have come to it, or `HIDDEN`.
            cache: keys and values; these tokens' are added to it.
            among: (rows, width, width) which of these tokens each may see of those that come
                no later; all by default.

        Returns the last hidden states (rows, width, size).
        """
        width = ids.shape[1]
        visible = places[:, None, :] <= positions[:, :, None]
        if among is not None:
            visible[:, :, -width:] &= among
        masks = {}
        for kind, window in self._windows.items():
            mask = visible if window is None else visible & self._near(places, positions, window)
            # Padding sees itself at least: weights over nothing would not be numbers.
            mask[:, :, -width:] |= torch.eye(width, dtype=torch.bool, device=ids.device)
            masks[kind] = self._as_asked(mask[:, None])
        self.fed.append(ids.numel())
        out = self.trunk(
            input_ids=ids,
            attention_mask=masks if len(masks) > 1 else next(iter(masks.values())),
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        )
        states: torch.Tensor = out.last_hidden_state
        return states

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """The logits (tokens, vocabulary) of hidden states (tokens, width), as fp32."""
        if self.head_dtype == "float32":
            hidden = hidden.float()
        logits: torch.Tensor = self._head(hidden)
        return soft_cap(logits, self.config).float()

    def choices(self, hidden: torch.Tensor) -> tuple[list[int], list[float], list[float]]:
        """What follows each hidden state (tokens, width).

        Returns the likeliest tokens, their log-probabilities, and how far the logits of the next
        ones are behind. Tokens are those of fp32, and so is all else where another token is near.
        """
        parts = [self._choices(part) for part in torch.split(hidden, LOGITS_AT_ONCE)]
        token, logprob, margin = map(torch.cat, zip(*parts, strict=True))
        return token.tolist(), logprob.tolist(), margin.tolist()

    def _choices(self, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        if not self._rounds:
            return _likeliest(self.logits(hidden))[:3]
        rounded: torch.Tensor = self.source_head(hidden)
        token, logprob, margin, top = _likeliest(rounded.float())
        near = (margin < CLEAR + top.abs() / 16).nonzero()[:, 0]
        if len(near):
            exact = self._exactly(hidden[near], rounded[near])
            token[near], logprob[near], margin[near] = exact
        return token, logprob, margin

    def _exactly(
        self, hidden: torch.Tensor, rounded: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Token, log-probability and lead by fp32 logits, of which a few are enough.

        Args:
            hidden: (tokens, width).
            rounded: (tokens, vocabulary) their logits in bf16.
        """
        count = min(CANDIDATES, rounded.shape[-1])
        rough, ids = rounded.topk(count)
        head: Any = self.source_head
        logits = (head.weight[ids].float() @ hidden.float()[:, :, None]).squeeze(-1)
        if head.bias is not None:
            logits += head.bias[ids].float()
        leading, second = logits.topk(min(2, count)).values[:, [0, -1]].unbind(-1)
        # No other token comes up to the second, however its logit was rounded.
        is_open = second - rough[:, -1] < 1 + leading.abs() / 64
        token, logprob, margin, _ = _likeliest(rounded.float().scatter_(-1, ids, logits))
        if is_open.any():
            whole = _likeliest(self.logits(hidden[is_open]))
            token[is_open], logprob[is_open], margin[is_open] = whole[:3]
        return token, logprob, margin

    @staticmethod
    def _near(places: torch.Tensor, positions: torch.Tensor, window: int) -> torch.Tensor:
        return places[:, None, :] > positions[:, :, None] - window

    def _as_asked(self, mask: torch.Tensor) -> torch.Tensor:
        """The mask as the attention in use wants it."""
        if self.config._attn_implementation == "sdpa":
            return mask
        added = torch.zeros(mask.shape, dtype=self.dtype, device=mask.device)
        return added.masked_fill_(~mask, torch.finfo(self.dtype).min)


def _likeliest(
    logits: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of each row: the likeliest token, its log-probability, its lead, and its logit.

    The logits (rows, vocabulary) are overwritten: memory of this size is dear to get.
    """
    top, token = logits.max(-1, keepdim=True)
    check_finite_logits(top)
    others = logits.sub_(top).scatter_(-1, token, -math.inf)
    margin = others.amax(-1).neg_()
    logprob = others.exp_().sum(-1).log1p_().neg_()
    return token[:, 0], logprob, margin, top[:, 0]


def check_finite_logits(top: torch.Tensor) -> None:
    """Refuse logits whose largest (tokens, 1) is no number: no token is the likeliest then.

    Raises:
        UserError: there is one.
    """
    if not torch.isfinite(top).all():
        raise UserError(
            "The model's logits are NaN or infinite. Its weights are finite, so it overflows on "
            "the way: try --precision fp32. An adapter that was trained with too high a learning "
            "rate does it too."
        )


def _innermost(model: PreTrainedModel | PeftModel) -> Any:
    return getattr(model, "get_base_model", lambda: model)()


def _windows(config: PreTrainedConfig) -> dict[str, int | None]:
    """Kind of layer -> how many tokens it sees, itself included; None for all."""
    window = getattr(config, "sliding_window", None)
    # Models without layer types (Mistral) slide in every layer.
    kinds = getattr(config, "layer_types", None)
    kinds = set(kinds or ["sliding_attention" if window else "full_attention"])
    if strange := kinds - {"full_attention", "sliding_attention"}:
        raise UserError(
            f"evalkit cannot run a {config.model_type} model: it has layers of kind "
            f"'{min(strange)}'. Llama, Qwen3, Gemma 3 and Mistral are known to work."
        )
    return {kind: window if kind == "sliding_attention" else None for kind in sorted(kinds)}


def _reach(config: PreTrainedConfig, windows: Mapping[str, int | None]) -> int:
    """How many tokens a model was made for, or as many as its windows pass on.

    Where every layer slides, each layer passes on what is one window less a token further back.
    """
    made_for: int = getattr(config, "max_position_embeddings", None) or sys.maxsize
    widest = [window for window in windows.values() if window is not None]
    if len(widest) < len(windows):
        return made_for
    layers: int = config.num_hidden_layers
    return min(made_for, 1 + layers * (max(widest) - 1))


class PrefixCache:
    """Keys and values of the last prefix, kept from call to call."""

    def __init__(self, model: CausalModel) -> None:
        self.model = model
        self._ids: tuple[int, ...] = ()
        self._cache = DynamicCache()

    def rows(self, prefix: Sequence[int], count: int) -> DynamicCache:
        """A cache of `count` rows that all hold the prefix; an empty one for an empty prefix."""
        # Every layer keeps all its keys: a window is the masks' business.
        cache = DynamicCache()
        if not prefix:
            return cache
        if self._ids != tuple(prefix):
            self._ids, self._cache = (), DynamicCache()
            places = torch.arange(len(prefix), device=self.model.device)[None]
            ids = torch.tensor([list(prefix)], device=self.model.device)
            self.model.hidden(ids, places, places, self._cache)
            self._ids = tuple(prefix)
        held: Any
        for number, held in enumerate(self._cache.layers):
            shape = (count, -1, -1, -1)
            cache.update(held.keys.expand(shape), held.values.expand(shape), number)
        return cache


def shared_prefix(jobs: Sequence[Job]) -> Sequence[int]:
    """What all prompts begin with; of each one token at least is left to run."""
    if not jobs:
        return ()
    shortest = min(len(job.prompt) for job in jobs)
    shared = min(common_prefix([job.prompt for job in jobs]), shortest - 1)
    return jobs[0].prompt[:shared]


def distinct(jobs: Sequence[Job]) -> list[list[int]]:
    """Numbers of jobs that come to the same, together."""
    return equal_ones(
        [
            (tuple(job.prompt), job.max_new_tokens, tuple(job.drafts.ids) if job.drafts else ())
            for job in jobs
        ]
    )


def continue_greedily(
    model: CausalModel,
    jobs: Sequence[Job],
    stop_ids: frozenset[int],
    budget: BatchBudget,
    prefixes: PrefixCache,
    draft_counts: Counter[int] | None = None,
) -> Iterator[list[tuple[int, Continuation]]]:
    """Continue every job with its likeliest tokens; yield (job index, continuation) by batch.

    Batches hold rows of similar length, longest first. Where jobs have drafts, these are guessed
    and verified; `draft_counts` counts which of them were right, from call to call. Equal jobs are
    computed once. Where a batch holds one row, each lane computes one of its own.

    Raises:
        UserError: memory is not enough for one row.
    """
    prefix = shared_prefix(jobs)
    draft_counts = Counter() if draft_counts is None else draft_counts
    groups = distinct(jobs)
    chosen = [jobs[group[0]] for group in groups]
    widths = [len(job.prompt) + job.max_new_tokens + _spare_places(job) for job in chosen]
    prepacked = model.prepacked() if model.packs and len(chosen) >= WORTH_PREPACKING else []
    is_alone = budget.rows == 1 and model.packs
    if is_alone:
        budget = budget.for_rows(lanes(model.device))

    def run(batch: list[int]) -> list[Continuation]:
        rows = [chosen[i] for i in batch]
        with torch.inference_mode(), multiplying_with(prepacked):
            said = _decode(model, rows, prefix, stop_ids, prefixes, draft_counts, is_alone)
        # Not before all rows have ended: guesses do not depend on which ends first.
        for row, one in zip(rows, said, strict=True):
            number = row.drafts.number(one.ids) if row.drafts and one.stopped else None
            if number is not None:
                draft_counts[number] += 1
        return said

    for batch, done in in_batches(widths, budget, run):
        yield [(i, said) for g, said in zip(batch, done, strict=True) for i in groups[g]]


def _decode(
    model: CausalModel,
    rows: Sequence[Job],
    prefix: Sequence[int],
    stop_ids: frozenset[int],
    prefixes: PrefixCache,
    draft_counts: Counter[int],
    is_alone: bool,
) -> list[Continuation]:
    """Continue a batch: packed rows in parts side by side, those that begin alike in one part.

    A row that `is_alone` is a part, so that no product has a token of another.
    """
    shared = len(prefix)
    if not model.packs:
        padded = PaddedKeys(model, prefixes.rows(prefix, len(rows)), shared, len(rows))
        return _Decoding(rows, shared, padded, model, stop_ids, draft_counts).run()
    cache = prefixes.rows(prefix, 1)
    at_a_time = lanes(model.device)
    order = sorted(range(len(rows)), key=lambda i: list(rows[i].prompt))
    suffixes = [rows[i].prompt[shared:] for i in order]
    common = beginnings(suffixes, [1] * len(order))
    lengths = [len(ids) - count for ids, count in zip(suffixes, common, strict=True)]
    single = [slice(at, at + 1) for at in range(len(order))]
    cuts = single if is_alone else in_equal_parts(lengths, at_a_time)
    parts = [[rows[i] for i in order[part]] for part in cuts]

    def decode(part: Sequence[Job]) -> list[Continuation]:
        own = max(len(row.prompt) + row.max_new_tokens for row in part) - shared
        keys = PackedKeys(model, cache, shared, len(part), own)
        return _Decoding(part, shared, keys, model, stop_ids, draft_counts).run()

    # Around all of them: the first to end would take it from the others.
    with attending_by(PACKED, model.config):
        done = side_by_side([partial(decode, part) for part in parts], at_a_time)
    said = dict(zip(order, (one for part in done for one in part), strict=True))
    return [said[i] for i in range(len(rows))]


def _spare_places(job: Job) -> int:
    """Places in the cache that a row may spend on guesses: a few answers' lengths."""
    return 4 * max(map(len, job.drafts.ids)) if job.drafts else 0


class _Decoding:
    """One batch on its way."""

    def __init__(
        self,
        jobs: Sequence[Job],
        shared: int,
        keys: PackedKeys | PaddedKeys,
        model: CausalModel,
        stop_ids: frozenset[int],
        draft_counts: Counter[int],
    ) -> None:
        self.model = model
        self.keys = keys
        self.stop_ids = stop_ids
        self.draft_counts = draft_counts
        self.rows = [_Row(job, shared) for job in jobs]
        self.spare = max(map(_spare_places, jobs))
        self.caution = CAUTION if model.device.type == "cpu" else 0.0

    def run(self) -> list[Continuation]:
        """Decode until every row has ended."""
        while alive := [number for number, row in enumerate(self.rows) if not row.is_ended]:
            rows = [self.rows[number] for number in alive]
            guesses = [row.guess(self.draft_counts, self.caution) for row in rows]
            longest = max(map(len, guesses))
            if longest > self.spare:
                guesses, longest = [()] * len(guesses), 0
            self.spare -= longest
            # The states that follow each row's last written token and the tokens of its guess.
            states = self.keys.feed(
                alive,
                [[*row.feed, *guess] for row, guess in zip(rows, guesses, strict=True)],
                [row.seen for row in rows],
                [1 + len(guess) for guess in guesses],
            )
            self._check(rows, guesses, states)
        return [row.ended() for row in self.rows]

    def _check(
        self, rows: Sequence[_Row], guesses: Sequence[tuple[int, ...]], states: torch.Tensor
    ) -> None:
        """Keep of each guess what the model would have written, and its next token."""
        tokens, logprobs, margins = self.model.choices(states)
        first = 0
        for row, guess in zip(rows, guesses, strict=True):
            row.passes += 1
            row.seen += len(row.feed)
            for step in range(len(guess) + 1):
                token = tokens[first + step]
                row.take(token, logprobs[first + step], margins[first + step], self.stop_ids)
                if row.is_ended or step == len(guess) or guess[step] != token:
                    break
                row.seen += 1
            first += len(guess) + 1


class PaddedKeys:
    """Keys and values of a batch whose rows are fed padded on the left.

    The cache keeps places for padding and for guesses that were wrong; they are marked hidden.
    """

    def __init__(self, model: CausalModel, cache: DynamicCache, shared: int, rows: int) -> None:
        self.model = model
        self.cache = cache
        self.rows = list(range(rows))
        self.places = torch.arange(shared, device=model.device).repeat(rows, 1)

    def feed(
        self,
        rows: Sequence[int],
        feeds: Sequence[Sequence[int]],
        seen: Sequence[int],
        asked: Sequence[int],
    ) -> torch.Tensor:
        """Feed rows, as `PackedKeys.feed` does; those that are left out are forgotten."""
        device = self.model.device
        if list(rows) != self.rows:
            kept = torch.tensor([self.rows.index(row) for row in rows], device=device)
            self.cache.batch_select_indices(kept)
            self.places = self.places[kept]
            self.rows = list(rows)
        wrong = self.places >= torch.tensor(seen, device=device)[:, None]
        hidden, self.places = feed(
            self.model, feeds, seen, self.places.masked_fill(wrong, HIDDEN), self.cache
        )
        return torch.cat([states[-wanted:] for states, wanted in zip(hidden, asked, strict=True)])


def feed(
    model: CausalModel,
    feeds: Sequence[Sequence[int]],
    seen: Sequence[int],
    places: torch.Tensor,
    cache: DynamicCache,
    positions: Sequence[Sequence[int]] | None = None,
    among: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Feed rows of different lengths, padded on the left.

    Args:
        model: what is fed.
        feeds: token ids of each row.
        seen: tokens that each row has in the cache already.
        places: (rows, cached) the position of what each place of the cache holds.
        cache: keys and values.
        positions: of the tokens; one after the other by default.
        among: as `CausalModel.hidden` takes it.

    Returns the hidden states (rows, width, size), and `places` with the new ones.
    """
    if positions is None:
        positions = [range(s, s + len(f)) for f, s in zip(feeds, seen, strict=True)]
    width = max(map(len, feeds))
    ids = torch.tensor([[0] * (width - len(f)) + list(f) for f in feeds])
    at = torch.tensor([[HIDDEN] * (width - len(p)) + list(p) for p in positions])
    ids, at = ids.to(model.device), at.to(model.device)
    places = torch.cat([places, at], dim=1)
    return model.hidden(ids, at.where(at != HIDDEN, 0), places, cache, among), places


class _Row:
    """One row of a batch on its way."""

    def __init__(self, job: Job, shared: int) -> None:
        self.job = job
        self.feed = list(job.prompt[shared:])
        """What the cache does not hold yet."""
        self.seen = shared
        """How many tokens it holds."""
        self.written: list[int] = []
        self.logprobs: list[float] = []
        self.margin = math.inf
        self.stopped = self.is_ended = False
        self.passes = 0

    def guess(self, draft_counts: Counter[int], least: float) -> tuple[int, ...]:
        """How the answer may go on, as far as it may; the last token is not fed."""
        if not self.job.drafts:
            return ()
        left = self.job.max_new_tokens - len(self.written) - 1
        return self.job.drafts.guess(self.written, draft_counts, least)[:left]

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

    def ended(self) -> Continuation:
        """What came out."""
        return Continuation(
            tuple(self.written), self.stopped, tuple(self.logprobs), self.margin, self.passes
        )
