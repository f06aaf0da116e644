"""The tree in one pass says what plain forward passes say of each answer by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from evalkit.engines.batching import BatchBudget
from evalkit.engines.chat import build_chat
from evalkit.engines.constrained import Choice, Tree, choose
from evalkit.engines.drafts import Drafts
from evalkit.engines.generation import CausalModel, Job, PrefixCache
from evalkit.engines.transformers_engine import TransformersEngine
from evalkit.errors import UserError
from evalkit.formats import get_format
from evalkit.formats.base import canonical_labels
from evalkit.records import Answer, FinishReason, Request
from evalkit.tasks import load_task
from tiny_models import SHAPES, VOCABULARY, WINDOW, model, tokenizer

tiny = cache(model)
END = 3
ANSWERS = [
    ({"folder": "A", "level": 1}, [10, 11, 20, 31, END]),
    ({"folder": "A", "level": 2}, [10, 11, 20, 32, END]),
    ({"folder": "B", "level": 1}, [10, 12, 13, 20, 31, END]),
    ({"folder": "B", "level": 2}, [10, 12, 13, 20, 32, END]),
    ({"folder": "B", "level": 3}, [10, 12, 13, 20, 32, 32, END]),
]


def drafts(shift: int = 0) -> Drafts:
    """Canonical answers; of another input, the same with other tokens."""
    ids = [[token if token == END else token + shift for token in found] for _, found in ANSWERS]
    return Drafts([Answer(labels, "") for labels, _ in ANSWERS], ids)


def ids(count: int, seed: int) -> list[int]:
    return torch.randint(0, VOCABULARY, (count,), generator=torch.manual_seed(seed)).tolist()


ONE = drafts()
CASES = {
    "common prefix": [Job(ids(12, 1) + ids(n, n), 20, ONE) for n in (5, 1, 9, 2, 14)],
    "no common prefix": [Job(ids(n, n), 20, ONE) for n in (5, 1, 9)],
    "beyond the window": [Job(ids(3 * WINDOW, 1) + ids(n, n), 20, ONE) for n in (5, 1, 30)],
    "answers of their own": [Job(ids(4, 1) + ids(n, n), 20, drafts(n)) for n in (5, 1, 9)],
    "one answer": [Job(ids(4, 1), 20, Drafts([Answer({"x": "y"}, "")], [[7, END]]))],
    "an empty answer": [
        Job(ids(4, 1), 20, Drafts([Answer({"x": i}, "") for i in (0, 1)], [[END], [7, END]]))
    ],
}


def brute_force(shape: str, job: Job) -> list[float]:
    """Log-probability of every answer, each by a plain pass over prompt and answer."""
    found = []
    assert job.drafts is not None
    for answer in job.drafts.ids:
        with torch.inference_mode():
            logits = tiny(shape)(torch.tensor([[*job.prompt, *answer]])).logits[0]
        steps = logits.log_softmax(-1)[len(job.prompt) - 1 : -1]
        found.append(float(sum(steps[place, token] for place, token in enumerate(answer))))
    return found


@cache
def scored(shape: str, case: str) -> list[list[float]]:
    return [brute_force(shape, job) for job in CASES[case]]


@cache
def causal(shape: str) -> CausalModel:
    """Whether it packs is found out by several passes: once is enough."""
    return CausalModel(tiny(shape))


def chosen(shape: str, jobs: Sequence[Job], rows: int) -> list[Choice]:
    asked = causal(shape)
    said: dict[int, Choice] = {}
    for batch in choose(asked, jobs, BatchBudget(rows, 10**6), PrefixCache(asked)):
        said |= batch
    return [said[i] for i in range(len(jobs))]


@pytest.mark.parametrize("rows", [1, 2, 16])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("shape", [*SHAPES, "mistral"])
def test_scores_are_those_of_plain_passes(shape: str, case: str, rows: int):
    jobs = CASES[case]
    said = chosen(shape, jobs, rows)
    for job, choice, scores in zip(jobs, said, scored(shape, case), strict=True):
        assert job.drafts is not None
        ranked = sorted(scores, reverse=True)
        assert choice.number == scores.index(ranked[0])
        assert choice.ids == job.drafts.ids[choice.number][:-1]
        assert choice.logprob == pytest.approx(ranked[0], abs=1e-4)
        expected = torch.tensor(scores).softmax(0).tolist()
        assert choice.probabilities == pytest.approx(expected, abs=1e-4)
        margin = ranked[0] - ranked[1] if len(ranked) > 1 else math.inf
        assert choice.margin == pytest.approx(margin, abs=1e-4)
        for field, value in job.drafts.labels[choice.number].items():
            marginal = sum(
                p
                for labels, p in zip(job.drafts.labels, expected, strict=True)
                if labels[field] == value
            )
            assert choice.confidences[field] == pytest.approx(marginal, abs=1e-4)


def test_the_winner_is_not_always_the_greedy_path():
    """Else scoring whole answers would show nothing that going down the tree does not."""
    said = []
    for seed in range(40):
        job = Job(ids(8, 1000 + seed), 20, ONE)
        (choice,) = chosen("llama", [job], 1)
        with torch.inference_mode():
            logits = tiny("llama")(torch.tensor([[*job.prompt, 10]])).logits[0, -1]
        greedy = "A" if logits[11] > logits[12] else "B"
        said.append(greedy == ONE.labels[choice.number]["folder"])
    assert 0 < sum(said) < len(said)


@given(st.lists(st.lists(st.integers(0, 3), max_size=5), min_size=1, max_size=9, unique_by=tuple))
def test_a_tree_holds_every_beginning_once(found: list[list[int]]):
    answers = [Answer({"x": i}, "") for i in range(len(found))]
    tree = Tree(Drafts(answers, [[*f, END + 6] for f in found]))
    beginnings = {tuple(f[:end]) for f in found for end in range(1, len(f) + 1)}
    paths = {
        tuple(t for t, seen in zip(tree.tokens, line, strict=True) if seen)
        for line in tree.lineage.tolist()
    }
    assert paths == beginnings
    assert len(tree.tokens) == len(beginnings)
    assert sorted(tree.depths) == sorted(len(b) - 1 for b in beginnings)
    for f, steps in zip(found, tree.steps, strict=True):
        assert [token for _, token in steps] == [*f, END + 6]


def engine() -> TransformersEngine:
    chat = build_chat(tokenizer())
    return TransformersEngine(model("llama"), chat, 4, decoding="constrained")


def requests(count: int) -> list[Request]:
    task = load_task("notifications-3level")
    fmt = get_format("json", task)
    answers = tuple(
        Answer(labels, fmt.render(task, labels, {})) for labels in canonical_labels(task)
    )
    return [
        Request(
            f"r{i}",
            fmt.prompt(task, dict.fromkeys(task.inputs, f"text {i}")),
            {},
            answers[-1].text,
            answers,
        )
        for i in range(count)
    ]


def test_a_model_that_never_stops_answers_canonically():
    made = engine()
    asked = requests(6)
    found = dict(made.complete(asked))
    canonical = {answer.text: answer.labels for answer in asked[0].answers}
    assert len(found) == 6
    for completion in found.values():
        assert completion.text in canonical
        assert completion.finish_reason is FinishReason.STOP
        assert completion.confidences.keys() == canonical[completion.text].keys()
        assert all(0 < p <= 1 for p in completion.confidences.values())
        assert completion.margin is not None
        assert completion.margin >= 0
    assert made.passes == 6
    assert made.describe()["decoding"] == "constrained"


def test_too_many_answers_are_a_user_error():
    asked = [replace(request, answers=()) for request in requests(1)]
    with pytest.raises(UserError, match="too many possible answers"):
        list(engine().complete(asked))
