"""Rows of different lengths fed one behind the other: no padding, and nothing fed twice.

The linear layers see one long row of tokens. Only attention knows which row a token belongs to;
it is handed to the model through transformers' attention interface, under the name `NAME`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from transformers import AttentionInterface
from transformers.cache_utils import DynamicCache

from evalkit.engines.chat import common_prefix
from evalkit.engines.prefix_attention import Held, attend_behind, attending_by

if TYPE_CHECKING:
    from evalkit.engines.generation import CausalModel

NAME = "evalkit_packed_rows"
TOKENS_AT_ONCE = 1024
"""Tokens that go through the layers together, as if padded: more take more memory and no less
time each."""
SCORES_MULTIPLE = 32
"""On a CPU, softmax over a multiple of so many scores takes half the time."""
SCORES_AT_ONCE = 1 << 24
"""Attention scores that are held together; a long prompt's queries take turns."""


class PackedKeys:
    """Keys and values of a batch: one prefix, and of each row what it has of its own.

    A row's own token has its place by its position, so what is fed again (after a wrong guess)
    takes the place of what was there.
    """

    def __init__(
        self, model: CausalModel, prefix: DynamicCache, shared: int, rows: int, room: int
    ) -> None:
        """Make room.

        Args:
            model: what is fed.
            prefix: one row, or none.
            shared: tokens of the prefix.
            rows: how many there are.
            room: tokens that a row may have behind the prefix.
        """
        self.model = model
        self.shared = shared
        self.rows = rows
        self.room = room + -(shared + room) % SCORES_MULTIPLE
        self._prefix: Any = prefix.layers
        self._own: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def feed(
        self,
        rows: Sequence[int],
        feeds: Sequence[Sequence[int]],
        seen: Sequence[int],
        asked: Sequence[int],
    ) -> torch.Tensor:
        """Feed rows; the model attends by `NAME` (`attending_by`).

        Args:
            rows: their numbers, in order.
            feeds: token ids of each.
            seen: how many tokens of each stay, the prefix's included.
            asked: how many of its last tokens' states are wanted of each.

        Returns the last hidden states (tokens, size), row after row.
        """
        found: list[torch.Tensor] = []
        for start, end in _parts([len(ids) for ids in feeds]):
            part = slice(start, end)
            step = _Step(self, rows[part], feeds[part], seen[part], asked[part])
            found += self._run(step, asked[part])
        return torch.cat(found)

    def _run(self, step: _Step, asked: Sequence[int]) -> Iterator[torch.Tensor]:
        self.model.fed.append(len(step.ids))
        out = self.model.trunk(
            input_ids=step.ids[None],
            position_ids=step.positions[None],
            use_cache=False,
            step=step,
        )
        states: torch.Tensor = out.last_hidden_state[0]
        last = 0
        for length, wanted in zip(step.lengths, asked, strict=True):
            last += length
            yield states[last - wanted : last]

    def prefix(self, layer: int, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The prefix's keys and values in a layer, (key heads, tokens, size)."""
        if not self.shared:
            nothing = like[0, :, :0]
            return nothing, nothing
        held = self._prefix[layer]
        return held.keys[0], held.values[0]

    def own(self, layer: int, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Where a layer's keys and values are, (key heads, rows x room, size)."""
        if layer not in self._own:
            shape = (like.shape[1], self.rows * self.room, like.shape[3])
            self._own[layer] = (like.new_zeros(shape), like.new_zeros(shape))
        return self._own[layer]


def _parts(lengths: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Which rows go together, from the first to before the last; at least one."""
    start = 0
    for end in range(1, len(lengths) + 1):
        together = lengths[start : end + 1]
        if end == len(lengths) or max(together) * len(together) > TOKENS_AT_ONCE:
            yield start, end
            start = end


def beginnings(feeds: Sequence[Sequence[int]], asked: Sequence[int]) -> list[int]:
    """How many first tokens each row has in common with the row before it.

    Not those whose states are asked for.
    """
    pairs = zip(feeds[1:], feeds, asked[1:], strict=False)
    return [0] + [min(common_prefix([row, other]), len(row) - last) for row, other, last in pairs]


class _Step:
    """Where the tokens that are fed together belong.

    What several rows begin with is fed once, and its keys and values are put away for each of them.
    """

    def __init__(
        self,
        keys: PackedKeys,
        rows: Sequence[int],
        feeds: Sequence[Sequence[int]],
        seen: Sequence[int],
        asked: Sequence[int],
    ) -> None:
        device = keys.model.device
        fresh = all(count == keys.shared for count in seen)
        common = beginnings(feeds, asked) if fresh else [0] * len(feeds)
        new = [ids[count:] for ids, count in zip(feeds, common, strict=True)]
        self.ids = torch.tensor([token for ids in new for token in ids], device=device)
        self.lengths = [len(ids) for ids in new]
        """How many tokens are fed of each row."""
        self._sources = _sources(common, self.lengths, device) if any(common) else None
        """Which token goes where `slots` says; None for one after the other."""
        whole = torch.tensor([len(ids) for ids in feeds], device=device)
        first = torch.tensor([count - keys.shared for count in seen], device=device)
        lengths = torch.tensor(self.lengths, device=device)
        before = first + torch.tensor(common, device=device)
        longest = int((before + lengths).max())
        self.keys = keys
        self.rows = torch.tensor(rows, device=device)
        side_by_side = rows[-1] - rows[0] == len(rows) - 1
        self._span = slice(rows[0], rows[-1] + 1) if side_by_side else None
        self.width = int(lengths.max())
        """Tokens of the longest feed."""
        self.places = longest + -(keys.shared + longest) % SCORES_MULTIPLE
        """Places that are looked at: as many as the longest row has tokens, or a few more."""
        column = torch.arange(self.width, device=device)
        self.at = before[:, None] + column
        """(rows, width) the place of each token, among its row's own."""
        real = column < lengths[:, None]
        self.positions = self.at[real] + keys.shared
        every = torch.arange(int(whole.max()), device=device)
        to = self.rows[:, None] * keys.room + first[:, None] + every
        self.slots = to[every < whole[:, None]]
        """Where keys and values go, row by row."""
        self.unpad = real.flatten().nonzero()[:, 0]
        """Where each token stands among rows of equal width."""
        starts = lengths.cumsum(0) - lengths
        self.pad = (starts[:, None] + column.minimum(lengths[:, None] - 1)).flatten()
        """Which token stands where among rows of equal width; the row's last one in padding."""
        self._masks: dict[
            tuple[int | None, int, int], tuple[torch.Tensor | None, torch.Tensor]
        ] = {}

    def put(self, held: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        """Put keys or values away; returns those of the rows, (key heads, rows, places, size)."""
        if self._sources is not None:
            new = new.index_select(1, self._sources)
        held.index_copy_(1, self.slots, new)
        rows, room = self.keys.rows, self.keys.room
        own = held.view(len(held), rows, room, held.shape[2])[:, :, : self.places]
        return own[:, self._span] if self._span else own.index_select(1, self.rows)

    def masks(
        self, window: int | None, group: int, queries: slice, like: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor]:
        """What is added to scores of the prefix and of own tokens, (rows, queries, tokens)."""
        key = (window, group, queries.start)
        if key not in self._masks:
            if queries.start:  # Those of a long prompt are too large to be kept.
                self._masks.clear()
            at = self.at.repeat_interleave(group, dim=1)[:, queries, None]
            own = torch.arange(self.places, device=like.device)
            hidden = own > at
            in_prefix = None
            if window is not None:
                hidden |= own <= at - window
                prefix = torch.arange(-self.keys.shared, 0, device=like.device)
                in_prefix = _added(prefix <= at - window, like)
            self._masks[key] = in_prefix, _added(hidden, like)
        return self._masks[key]


def _sources(common: Sequence[int], lengths: Sequence[int], device: torch.device) -> torch.Tensor:
    """Which token that is fed each row's tokens are: the first ones those of the row before."""
    row: list[int] = []
    found: list[int] = []
    start = 0
    for count, length in zip(common, lengths, strict=True):
        row = [*row[:count], *range(start, start + length)]
        found += row
        start += length
    return torch.tensor(found, device=device)


def _added(hidden: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    mask = torch.zeros(hidden.shape, dtype=like.dtype, device=like.device)
    return mask.masked_fill_(hidden, torch.finfo(like.dtype).min)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float,
    step: _Step,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attend to the prefix and to each token's own row, after its keys were put away.

    Args:
        module: the attention layer.
        query: (1, heads, tokens, size).
        key: (1, key heads, tokens, size); each serves a group of query heads.
        value: as `key`.
        attention_mask: None; the step says everything.
        scaling: factor on the scores.
        step: what is fed.
        sliding_window: how many tokens each token sees, itself included; all by default.
        softcap: bound on the scores, where the model has one.

    Returns:
        (1, tokens, heads, size), and no attention weights.
    """
    assert attention_mask is None
    layer: Any = module.layer_idx
    heads, tokens, size = query.shape[1:]
    kinds, rows = key.shape[1], len(step.rows)
    group = heads // kinds
    keys, values = step.keys.own(layer, key)
    k_own, v_own = step.put(keys, key[0]), step.put(values, value[0])
    padded = query[0].transpose(0, 1).index_select(0, step.pad) * scaling
    grouped = padded.view(rows, step.width, kinds, group, size).permute(2, 0, 1, 3, 4)
    asking = grouped.reshape(kinds, rows, step.width * group, size)
    prefix = step.keys.prefix(layer, key)
    at_once = max(1, SCORES_AT_ONCE // (kinds * rows * (step.keys.shared + step.places)))
    found = []
    for start in range(0, asking.shape[2], at_once):
        queries = slice(start, start + at_once)
        in_prefix, in_own = step.masks(sliding_window, group, queries, query)
        found.append(
            attend_behind(
                asking[:, :, queries],
                Held(*prefix, in_prefix),
                Held(k_own, v_own, in_own),
                softcap=softcap,
            )
        )
    together = torch.cat(found, dim=2) if len(found) > 1 else found[0]
    out = together.view(kinds, rows * step.width, group * size).transpose(0, 1)
    return out.index_select(0, step.unpad).view(1, tokens, heads, size), None


def can_pack(model: CausalModel) -> bool:
    """Compare a few states with the model's own; they differ by rounding alone.

    An architecture whose layers do more than transformers' attention interface says (share keys
    among layers, or have sinks) would say something else without an error.
    """
    ids = (torch.arange(18, device=model.device) * 7 + 5) % model.config.vocab_size
    feeds = [ids[:9].tolist(), ids[9:].tolist()]
    try:
        with torch.inference_mode():
            keys = PackedKeys(model, DynamicCache(), 0, 2, 9)
            # Each row in two steps: what comes first, then what sees it.
            with attending_by(NAME, model.config):
                first = keys.feed([0, 1], [feeds[0][:4], feeds[1][:6]], [0, 0], [4, 6])
                then = keys.feed([0, 1], [feeds[0][4:], feeds[1][6:]], [4, 6], [5, 3])
            ours = torch.cat([first[:4], then[:5], first[4:], then[5:]]).float()
            own = model.trunk(input_ids=ids.view(2, 9), use_cache=False).last_hidden_state
    except (TypeError, ValueError, RuntimeError, AssertionError, AttributeError):
        return False
    expected = own.flatten(0, 1).float()
    difference = float((ours - expected).norm() / expected.norm())
    return difference < (1e-3 if model.dtype == torch.float32 else 0.1)


AttentionInterface.register(NAME, attend)
