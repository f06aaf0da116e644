"""Batches with a shared prefix say what `model.generate` says of one prompt at a time.

Equal ids show something only where the next token is never a near-tie, rows differ, and some
stop early: all three are asserted of the reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AttentionInterface, PreTrainedModel

from evalkit.engines import generation, packing
from evalkit.engines.batching import BatchBudget
from evalkit.engines.drafts import Drafts
from evalkit.engines.generation import (
    CausalModel,
    Continuation,
    Job,
    PrefixCache,
    continue_greedily,
)
from evalkit.engines.prepacked import Prepacked
from evalkit.engines.prepacked import _is_offered as prepacked_is_offered
from evalkit.errors import UserError
from evalkit.records import Answer
from tiny_models import SHAPES, VOCABULARY, WINDOW, model

STOPS = frozenset(range(0, VOCABULARY, 9))
CLEAR = 1e-4
"""Least distance of the two likeliest tokens, in standard deviations of the logits; fp32 rounding
moves them by some 1e-6."""


class Reference(NamedTuple):
    said: tuple[Continuation, ...]
    margin: float


SEEDS = {"llama": 3, "qwen3": 2, "gemma3": 5, "mistral": 0}
"""Models of two layers whose answers are worth comparing with."""


@cache
def tiny(shape: str) -> PreTrainedModel:
    return model(shape, seed=SEEDS[shape], layers=2)


def budget(rows: int) -> BatchBudget:
    return BatchBudget(rows, 10**9)


def ids(count: int, seed: int) -> list[int]:
    return torch.randint(0, VOCABULARY, (count,), generator=torch.manual_seed(seed)).tolist()


def jobs_of(shared: int, lengths: Sequence[int], limits: Sequence[int]) -> list[Job]:
    """Prompts with `shared` tokens in common and then one of each length."""
    return [
        Job(ids(shared, 1) + ids(length, 100 + row), limit)
        for row, (length, limit) in enumerate(zip(lengths, limits, strict=True))
    ]


LENGTHS = [5, 1, 9, 5, 2, 14, 5, 9]
LIMITS = [20, 3, 20, 12, 20, 8, 1, 16]
CASES = {
    "common prefix": jobs_of(12, LENGTHS, LIMITS),
    "no common prefix": jobs_of(0, LENGTHS, LIMITS),
    "prefix beyond the window": jobs_of(3 * WINDOW, LENGTHS, LIMITS),
    "prefix ends at the window": jobs_of(WINDOW - 1, LENGTHS, LIMITS),
    # One short enough that no window matters, so that Gemma's rows are padded too.
    "within the window": jobs_of(2, [4, 1, 2, 6, 3, 6, 5, 1], [6, 7, 3, 7, 2, 1, 7, 7]),
    "very different lengths": jobs_of(4, [1, 90, 2, 40, 3, 88, 1, 11], [20] * 8),
    "one prompt": jobs_of(7, [6], [20]),
}


def generate(shape: str, jobs: Sequence[Job]) -> Reference:
    said, margins = [], []
    for job in jobs:
        prompt = torch.tensor([list(job.prompt)])
        with torch.inference_mode():
            out = tiny(shape).generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                max_new_tokens=job.max_new_tokens,
                do_sample=False,
                eos_token_id=sorted(STOPS),
                pad_token_id=0,
            )
            logits = tiny(shape)(out).logits[0, prompt.shape[1] - 1 : -1]
        best, second = logits.topk(2).values.unbind(-1)
        margins.append(float(((best - second) / logits.std(-1)).min()))
        new = out[0, prompt.shape[1] :].tolist()
        stopped = new[-1] in STOPS
        said.append(Continuation(tuple(new[:-1] if stopped else new), stopped))
    return Reference(tuple(said), min(margins))


@cache
def reference(shape: str, case: str) -> Reference:
    return generate(shape, CASES[case])


@cache
def causal(shape: str, packed: bool) -> CausalModel:
    """Whether it packs is found out by several passes: once is enough."""
    made = CausalModel(tiny(shape))
    assert made.packs
    made.packs = packed
    return made


def continued(
    shape: str,
    jobs: Sequence[Job],
    batch_size: int,
    prefixes: PrefixCache | None = None,
    *,
    packed: bool = True,
) -> tuple[Continuation, ...]:
    feeding = causal(shape, packed)
    prefixes = prefixes or PrefixCache(feeding)
    said: dict[int, Continuation] = {}
    for batch in continue_greedily(feeding, jobs, STOPS, budget(batch_size), prefixes):
        assert 0 < len(batch) <= batch_size
        assert not said.keys() & dict(batch).keys()
        said |= batch
    assert sorted(said) == list(range(len(jobs)))
    return tuple(said[row] for row in range(len(jobs)))


both_ways = pytest.mark.parametrize("packed", [True, False], ids=["packed", "padded"])


@pytest.mark.parametrize(("batch_size", "packed"), [(3, True), (16, True), (3, False)])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("shape", SHAPES)
def test_same_ids_as_generate(shape: str, case: str, batch_size: int, packed: bool):
    found = continued(shape, CASES[case], batch_size, packed=packed)
    assert found == reference(shape, case).said


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("shape", [*SHAPES, "mistral"])
def test_what_is_fed_in_parts_says_the_same(shape: str, case: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(packing, "TOKENS_AT_ONCE", 20)
    monkeypatch.setattr(packing, "SCORES_AT_ONCE", 100)
    assert continued(shape, CASES[case], 16) == reference(shape, case).said


@pytest.fixture
def three_threads() -> Iterator[None]:
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(1)


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_computed_side_by_side_says_the_same(shape: str, case: str):
    assert continued(shape, CASES[case], 16) == reference(shape, case).said


@pytest.mark.usefixtures("three_threads")
@pytest.mark.parametrize("shape", SHAPES)
def test_batches_of_one_are_computed_side_by_side_and_share_no_product(
    shape: str, monkeypatch: pytest.MonkeyPatch
):
    fed: list[int] = []
    feed = packing.PackedKeys.feed

    def watched(self: packing.PackedKeys, rows: Sequence[int], *given: Any) -> torch.Tensor:
        fed.append(len(rows))
        return feed(self, rows, *given)

    jobs = CASES["common prefix"]
    feeding = causal(shape, packed=True)
    monkeypatch.setattr(packing.PackedKeys, "feed", watched)
    batches = list(continue_greedily(feeding, jobs, STOPS, budget(1), PrefixCache(feeding)))
    assert max(map(len, batches)) == 3
    assert set(fed) == {1}
    said = dict(answer for batch in batches for answer in batch)
    assert tuple(said[row] for row in range(len(jobs))) == reference(shape, "common prefix").said


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", [*SHAPES, "mistral"])
def test_what_rows_begin_with_is_fed_once(
    shape: str, threads: int, monkeypatch: pytest.MonkeyPatch, three_threads: None
):
    torch.set_num_threads(threads)
    longest = ids(30, 3)
    prompts = [[1, *longest[:end], *ids(2, end)] for end in (30, 25, 25, 12, 11, 1)]
    # One is another's beginning: of that too the last token has to be fed.
    jobs = [Job(prompt, 6) for prompt in [*prompts, [1, *longest[:20]], [2, 3, 4], [1]]]
    expected = generate(shape, jobs)
    assert expected.margin > CLEAR

    def tokens() -> int:
        counting = Counting(tiny(shape))
        assert counting.packs
        counting.tokens = 0
        found = dict(*continue_greedily(counting, jobs, STOPS, budget(16), PrefixCache(counting)))
        assert tuple(found[i] for i in range(len(jobs))) == expected.said
        return counting.tokens

    once = tokens()
    monkeypatch.setattr(packing, "beginnings", lambda feeds, asked: [0] * len(feeds))
    assert tokens() - once > 40


@pytest.mark.parametrize("candidates", [2, 8])
def test_prepacked_weights_change_nothing(candidates: int, monkeypatch: pytest.MonkeyPatch):
    # With two candidates, none is ever clearly behind the second: the whole head is asked.
    monkeypatch.setattr(generation, "CANDIDATES", candidates)
    causal = CausalModel(model("llama").to(torch.bfloat16))
    assert causal.packs
    jobs = CASES["common prefix"]
    assert len(jobs) >= generation.WORTH_PREPACKING
    asked: list[int] = []

    def said(prepacked: Prepacked) -> list[tuple[int, Continuation, float, tuple[float, ...]]]:
        asked.append(len(prepacked))
        monkeypatch.setattr(causal, "prepacked", lambda: prepacked)
        (batch,) = continue_greedily(causal, jobs, STOPS, budget(16), PrefixCache(causal))
        return [(i, one, one.margin, one.logprobs) for i, one in batch]

    assert said(causal.prepacked()) == said([])
    if prepacked_is_offered():
        assert asked == [3 * 7 + 1, 0]


def test_a_model_that_does_not_tell_all_in_attention_is_fed_padded(
    monkeypatch: pytest.MonkeyPatch,
):
    def mistaken(*states: Any, **options: Any) -> Any:
        return packing.attend(*states, **(options | {"scaling": 1.0}))

    monkeypatch.setitem(AttentionInterface._global_mapping, packing.NAME, mistaken)
    counting = Counting(tiny("llama"))
    assert not counting.packs
    jobs = CASES["common prefix"]
    (batch,) = continue_greedily(counting, jobs, STOPS, budget(16), PrefixCache(counting))
    said = dict(batch)
    assert tuple(said[i] for i in range(len(jobs))) == reference("llama", "common prefix").said
    assert max(counting.rows) == len(jobs)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_reference_is_worth_comparing_with(shape: str, case: str):
    expected = reference(shape, case)
    assert expected.margin > CLEAR
    if case == "one prompt":
        return
    long = [said.ids for said in expected.said if len(said.ids) > 2]
    assert len(set(long)) == len(long) > 2
    stopped_after = {len(said.ids) for said in expected.said if said.stopped}
    assert len(stopped_after) > 1, "rows stop at different steps"
    limits = {len(said.ids) for said in expected.said if not said.stopped}
    assert len(limits) > 1 or case == "very different lengths", "rows reach different limits"
    assert limits


@both_ways
@pytest.mark.parametrize("shape", ["gemma3", "mistral"])
def test_padding_never_pushes_a_token_out_of_the_window(shape: str, packed: bool):
    # Each row fits the window by itself; padded to the longest prompt, the third one would not.
    jobs = [Job(ids(2, 1) + ids(9, 2), 2), Job(ids(2, 1) + ids(10, 3), 1)]
    jobs += [Job(ids(2, 1) + ids(1, seed), WINDOW - 4) for seed in (5, 7, 9, 13)]
    assert all(len(job.prompt) + job.max_new_tokens < WINDOW for job in jobs)
    expected = generate(shape, jobs)
    assert expected.margin > CLEAR
    assert max(len(said.ids) for said in expected.said) > WINDOW - 8
    assert continued(shape, jobs, 16, packed=packed) == expected.said


@both_ways
def test_a_window_without_layer_types_counts_as_well(packed: bool):
    expected = generate("mistral", CASES["prefix beyond the window"])
    assert expected.margin > CLEAR
    found = continued("mistral", CASES["prefix beyond the window"], 16, packed=packed)
    assert found == expected.said


@pytest.mark.parametrize("shape", SHAPES)
def test_no_jobs(shape: str):
    assert continued(shape, [], 16) == ()


def test_longest_prompts_come_first():
    jobs = CASES["very different lengths"]
    feeding = causal("llama", packed=True)
    batches = list(continue_greedily(feeding, jobs, STOPS, budget(3), PrefixCache(feeding)))
    lengths = [len(jobs[row].prompt) for batch in batches for row, _ in batch]
    assert lengths == sorted(lengths, reverse=True)
    assert [len(batch) for batch in batches] == [3, 3, 2]


class Counting(CausalModel):
    """A model that counts the calls of its trunk."""

    def __init__(self, counted: PreTrainedModel) -> None:
        super().__init__(counted)
        whole = self.trunk
        self.calls = 0
        self.rows: list[int] = []
        self.tokens = 0

        def trunk(**inputs: Any) -> Any:
            self.calls += 1
            self.rows.append(len(inputs["input_ids"]))
            self.tokens += inputs["input_ids"].numel()
            return whole(**inputs)

        self.trunk = trunk

    def prepacked(self) -> Prepacked:
        return []  # A function has no layers.


@pytest.mark.parametrize("shape", SHAPES)
def test_the_prefix_is_run_once_and_stays_as_it_is(shape: str):
    counting = Counting(tiny(shape))
    prefixes = PrefixCache(counting)
    case = "prefix beyond the window"
    for batch_size in (3, 1, 16):
        assert continued(shape, CASES[case], batch_size, prefixes) == reference(shape, case).said
    assert counting.calls == 1
    other = "common prefix"
    assert continued(shape, CASES[other], 16, prefixes) == reference(shape, other).said
    assert counting.calls == 2


@both_ways
def test_equal_jobs_are_computed_once(packed: bool):
    jobs = CASES["common prefix"]
    twice = [*jobs, *reversed(jobs)]
    counting, once = Counting(tiny("llama")), Counting(tiny("llama"))
    counting.packs = once.packs = packed
    batches = list(continue_greedily(counting, twice, STOPS, budget(16), PrefixCache(counting)))
    list(continue_greedily(once, jobs, STOPS, budget(16), PrefixCache(once)))
    assert counting.tokens == once.tokens
    both = {i: continuation for batch in batches for i, continuation in batch}
    expected = reference("llama", "common prefix").said
    assert [both[i] for i in range(len(twice))] == [*expected, *reversed(expected)]
    # The same prompt may be asked for fewer tokens, or with other answers in mind.
    said, job = max(zip(expected, jobs, strict=True), key=lambda pair: len(pair[0].ids))
    others = [job, replace(job, max_new_tokens=2), replace(job, drafts=drafts_for(said, "wrong"))]
    (batch,) = continue_greedily(counting, others, STOPS, budget(16), PrefixCache(counting))
    found = dict(batch)
    assert [found[i].ids for i in range(3)] == [said.ids, said.ids[:2], said.ids]
    assert len(said.ids) > 2


@both_ways
def test_what_memory_is_not_enough_for_is_halved(packed: bool):
    class Small(Counting):
        def choices(self, hidden: torch.Tensor) -> Any:
            if len(hidden) > 3:
                raise torch.OutOfMemoryError
            return super().choices(hidden)

    small = Small(tiny("llama"))
    small.packs = packed
    prefixes, rows = PrefixCache(small), budget(16)
    case = "common prefix"
    said: dict[int, Continuation] = {}
    for batch in continue_greedily(small, CASES[case], STOPS, rows, prefixes):
        assert len(batch) <= 3
        said |= batch
    assert tuple(said[i] for i in range(len(said))) == reference("llama", case).said
    assert rows.tokens < 4 * 46
    small.rows.clear()
    again = list(continue_greedily(small, CASES[case], STOPS, rows, prefixes))
    assert sum(len(batch) for batch in again) == len(CASES[case])


def test_layers_that_attend_in_another_way_are_a_user_error():
    strange = model("llama")
    strange.config.layer_types = ["linear_attention"] * 3
    with pytest.raises(UserError, match="layers of kind 'linear_attention'"):
        CausalModel(strange)


def test_no_prefix_needs_no_cache():
    counting = Counting(tiny("llama"))
    assert PrefixCache(counting).rows([], 3).get_seq_length() == 0
    assert counting.calls == 0


def drafts_for(said: Continuation, kind: str) -> Drafts:
    """Canonical answers, of which the one that the model gives is the first, or is not there."""
    right = [*said.ids, 0]  # 0 is a stop token
    near = [*said.ids[:-1], (said.ids[-1] + 1) % VOCABULARY, 0] if said.ids else [1, 0]
    begun = [*said.ids[: len(said.ids) // 2], 1, 1, 1, 0]
    found = {
        "right": [right],
        "near": [near],
        "begun": [begun, near],
        "all": [[5, 5, 5, 0], begun, near, right],
        "wrong": [[5, 5, 5, 0], [7, 0]],
        "too long": [[*said.ids, *ids(40, 3), 0]],
    }[kind]
    answers = [Answer({"label": i}, str(i)) for i in range(len(found))]
    return Drafts(answers, found)


KINDS = ("right", "near", "begun", "all", "wrong", "too long")


@both_ways
@pytest.mark.parametrize("first", [0, 2, 3])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("shape", SHAPES)
def test_guesses_do_not_change_what_is_said(shape: str, case: str, first: int, packed: bool):
    """Whatever is guessed of the rows beside one: each has another kind of guess."""
    expected = reference(shape, case).said
    jobs = [
        replace(job, drafts=drafts_for(said, KINDS[(first + row) % len(KINDS)]))
        for row, (job, said) in enumerate(zip(CASES[case], expected, strict=True))
    ]
    assert continued(shape, jobs, 3, packed=packed) == expected


@pytest.mark.parametrize("case", ["common prefix", "prefix beyond the window"])
@pytest.mark.parametrize("shape", [*SHAPES, "mistral"])
def test_a_right_guess_takes_one_pass(shape: str, case: str):
    expected = reference(shape, case).said
    jobs = [
        replace(job, drafts=drafts_for(said, "right"))
        for job, said in zip(CASES[case], expected, strict=True)
    ]
    plain, guessed = continued(shape, CASES[case], 16), continued(shape, jobs, 16)
    assert sum(said.passes for said in guessed) == len(jobs)
    assert sum(said.passes for said in plain) > 3 * len(jobs)
    for one, other in zip(plain, guessed, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
        assert one.margin == pytest.approx(other.margin, abs=1e-4)
        assert len(one.logprobs) == len(one.ids) + one.stopped


def test_logprobs_and_margins_are_the_models_own():
    jobs = CASES["common prefix"]
    for job, said in zip(jobs, continued("llama", jobs, 16), strict=True):
        sequence = torch.tensor([[*job.prompt, *said.ids]])
        with torch.inference_mode():
            logits = tiny("llama")(sequence).logits[0, len(job.prompt) - 1 :]
        best, second = logits.topk(2).values.unbind(-1)
        steps = len(said.logprobs)
        expected = (best - logits.logsumexp(-1))[:steps].tolist()
        assert said.logprobs == pytest.approx(expected, abs=1e-4)
        assert said.margin == pytest.approx(float((best - second)[:steps].min()), abs=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_head_is_the_models_own_in_fp32(shape: str):
    whole = tiny(shape)
    sequence = torch.tensor([ids(9, 4)])
    with torch.inference_mode():
        causal = CausalModel(whole)
        hidden = causal.trunk(input_ids=sequence).last_hidden_state[0]
        assert torch.allclose(causal.logits(hidden), whole(sequence).logits[0], atol=1e-5)
        assert causal.logits(hidden.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize(("scale", "bias"), [(0.5, 0.0), (4.0, 0.0), (40.0, 0.0), (4.0, 2.0)])
def test_a_rounded_head_decides_nothing_that_is_near(scale: float, bias: float):
    asked = []

    class Noting(CausalModel):
        def logits(self, hidden: torch.Tensor) -> torch.Tensor:
            asked.append(len(hidden))
            return super().logits(hidden)

    whole = model("llama").bfloat16()
    head: Any = whole.get_output_embeddings()
    torch.nn.init.normal_(head.weight, generator=torch.manual_seed(1))
    offsets = torch.randn(VOCABULARY, generator=torch.manual_seed(3)).bfloat16() * bias
    if bias:
        head.bias = torch.nn.Parameter(offsets)
    width = head.in_features
    states = torch.randn(300, width, generator=torch.manual_seed(2))
    with torch.inference_mode():
        causal = Noting(whole)
        hidden = (states * scale * width**-0.5).bfloat16()
        tokens, logprobs, margins = causal.choices(hidden)
        exact = hidden.float() @ head.weight.float().T + offsets.float()
    best, second = exact.topk(2).values.T
    assert tokens == exact.argmax(-1).tolist()
    assert logprobs == pytest.approx((best - exact.logsumexp(-1)).tolist(), abs=0.01)
    near = best - second < generation.CLEAR - 1 + best.abs() / 32
    for found, right, is_near in zip(margins, (best - second).tolist(), near, strict=True):
        assert found == pytest.approx(right, abs=1e-4 if is_near else right / 8)
    assert near.any()
    # All of a row's logits are asked for in fp32 only where many of them lie near each other.
    assert sum(asked) == 300 if scale == 0.5 else sum(asked) < 150


def test_an_adapted_head_is_called_with_its_adapter():
    adapted = get_peft_model(model("llama"), LoraConfig(target_modules=["lm_head"], r=2))
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, generator=torch.manual_seed(0))
    sequence = torch.tensor([ids(9, 4)])
    with torch.inference_mode():
        causal = CausalModel(adapted)
        logits = causal.logits(causal.trunk(input_ids=sequence).last_hidden_state[0])
        assert torch.allclose(logits, adapted(sequence).logits[0], atol=1e-5)
        with adapted.disable_adapter():
            assert not torch.allclose(logits, adapted(sequence).logits[0], atol=1e-2)
