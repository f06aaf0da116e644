"""The likeliest of the canonical answers, by what the model gives to each of them whole.

The answers of a task form a tree of tokens. All its nodes are fed behind the prompt in one pass,
each seeing the prompt and the nodes it grew from, so that every answer's probability (its end
token included) is the model's own; nothing is cut short as it would be by going down the tree
greedily. Over the set the probabilities are scaled to add up to 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from evalkit.engines.batching import BatchBudget, in_batches
from evalkit.engines.drafts import Drafts
from evalkit.engines.generation import (
    CausalModel,
    Job,
    PrefixCache,
    check_finite_logits,
    distinct,
    feed,
    shared_prefix,
)


@dataclass(frozen=True)
class Choice:
    """What became of one prompt's answers."""

    number: int
    """Of the likeliest; of equals, the first."""
    ids: tuple[int, ...]
    """Its token ids, without the end token."""
    confidences: dict[str, float]
    """Field name -> the probability of its value, over all answers that have it."""
    margin: float
    """How far the second answer's log-probability is behind; infinite where there is none."""
    probabilities: tuple[float, ...]
    """Of every answer; they add up to 1."""
    logprob: float
    """Of the likeliest, among all texts the model could have written."""


class Tree:
    """What canonical answers share: every beginning of one is a node, the whole ones are not."""

    def __init__(self, drafts: Drafts) -> None:
        self.drafts = drafts
        numbers: dict[tuple[int, ...], int] = {}
        for ids in drafts.ids:
            for end in range(1, len(ids)):
                numbers.setdefault(ids[:end], len(numbers))
        self.tokens = [begun[-1] for begun in numbers]
        self.depths = [len(begun) - 1 for begun in numbers]
        """Tokens before the node's own."""
        self._parents = [numbers.get(begun[:-1]) for begun in numbers]
        self.steps = [
            [(numbers[ids[:place]] + 1 if place else 0, token) for place, token in enumerate(ids)]
            for ids in drafts.ids
        ]
        """For each answer, after which node (from 1; 0 is the prompt's end) comes which token."""

    @cached_property
    def lineage(self) -> torch.Tensor:
        """(nodes, nodes) whether the second is the first, or one that it grew from."""
        seen = torch.eye(len(self.tokens), dtype=torch.bool)
        for node, parent in enumerate(self._parents):
            if parent is not None:  # which stands before it
                seen[node] |= seen[parent]
        return seen


def choose(
    model: CausalModel, jobs: Sequence[Job], budget: BatchBudget, prefixes: PrefixCache
) -> Iterator[list[tuple[int, Choice]]]:
    """Choose among each job's drafts; yield (job index, choice) by batch.

    Equal jobs are computed once.

    Args:
        model: what gives the probabilities.
        jobs: prompts; every one has drafts.
        budget: how much a batch may hold.
        prefixes: what of the prompts is computed already.

    Raises:
        UserError: memory is not enough for one row.
    """
    prefix = shared_prefix(jobs)
    groups = distinct(jobs)
    chosen = [jobs[group[0]] for group in groups]
    trees: dict[int, Tree] = {}
    for job in chosen:
        assert job.drafts is not None
        if id(job.drafts) not in trees:
            trees[id(job.drafts)] = Tree(job.drafts)
    rows = [(job.prompt[len(prefix) :], trees[id(job.drafts)]) for job in chosen]
    widths = [
        len(job.prompt) + len(tree.tokens) for job, (_, tree) in zip(chosen, rows, strict=True)
    ]

    def run(batch: list[int]) -> list[Choice]:
        with torch.inference_mode():
            return _score(model, [rows[i] for i in batch], prefix, prefixes)

    for batch, done in in_batches(widths, budget, run):
        yield [(i, choice) for g, choice in zip(batch, done, strict=True) for i in groups[g]]


def _score(
    model: CausalModel,
    rows: Sequence[tuple[Sequence[int], Tree]],
    prefix: Sequence[int],
    prefixes: PrefixCache,
) -> list[Choice]:
    shared, count = len(prefix), len(rows)
    feeds = [[*suffix, *tree.tokens] for suffix, tree in rows]
    positions = [
        [
            *range(shared, shared + len(suffix)),
            *(shared + len(suffix) + depth for depth in tree.depths),
        ]
        for suffix, tree in rows
    ]
    width = max(map(len, feeds))
    among = torch.ones((count, width, width), dtype=torch.bool)
    for row, (_, tree) in enumerate(rows):
        if nodes := len(tree.tokens):
            among[row, -nodes:, -nodes:] = tree.lineage
    hidden, _ = feed(
        model,
        feeds,
        [shared] * count,
        torch.arange(shared, device=model.device).repeat(count, 1),
        prefixes.rows(prefix, count),
        positions,
        among.to(model.device),
    )
    return [
        _choose(tree, model.logits(states[-1 - len(tree.tokens) :]))
        for states, (_, tree) in zip(hidden, rows, strict=True)
    ]


def _choose(tree: Tree, logits: torch.Tensor) -> Choice:
    """Args: logits after the prompt and after each node, (1 + nodes, vocabulary)."""
    check_finite_logits(logits.amax(-1))
    steps = [step for answer in tree.steps for step in answer]
    after, token = torch.tensor(steps, device=logits.device).T
    each = (logits[after, token] - logits.logsumexp(-1)[after]).double().cpu()
    of = torch.tensor([n for n, answer in enumerate(tree.steps) for _ in answer])
    scores = torch.zeros(len(tree.steps), dtype=torch.double).index_add_(0, of, each)
    probabilities = scores.softmax(0).tolist()
    # In order of likelihood, the first of equals first.
    order = sorted(range(len(probabilities)), key=lambda n: (-float(scores[n]), n))
    best = order[0]
    labelled = list(zip(tree.drafts.labels, probabilities, strict=True))
    confidences = {
        field: min(1.0, sum(p for labels, p in labelled if labels[field] == value))
        for field, value in tree.drafts.labels[best].items()
    }
    return Choice(
        best,
        tree.drafts.ids[best][:-1],
        confidences,
        float(scores[best] - scores[order[1]]) if len(order) > 1 else math.inf,
        tuple(probabilities),
        float(scores[best]),
    )
