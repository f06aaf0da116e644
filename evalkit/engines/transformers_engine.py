"""The engine that runs a model in this process, with transformers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from evalkit.engines.chat import Chat
from evalkit.engines.drafts import Drafts
from evalkit.engines.generation import (
    CausalModel,
    Continuation,
    Job,
    PrefixCache,
    continue_greedily,
)
from evalkit.records import Completion, FinishReason, Prompt, Request

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SLACK_TOKENS = 32
"""How far beyond the longest canonical answer a model may write before it is cut off: room for
a code fence or a few words, not for an essay."""


class TransformersEngine:
    """Greedy decoding of one model (base, or base with adapter)."""

    def __init__(self, model: PreTrainedModel, chat: Chat, batch_size: int) -> None:
        self.model = model
        self.chat = chat
        self.batch_size = batch_size
        self.causal = CausalModel(model)
        self.prefixes = PrefixCache(self.causal)
        self.habits: Counter[int] = Counter()
        """How often each canonical answer was given, to guess the next by."""
        self.passes = 0
        """Forward passes so far, counted for every row that took part."""

    def complete(self, requests: Sequence[Request]) -> Iterator[tuple[str, Completion]]:
        """Yield completions batch by batch, longest prompts first."""
        known: dict[int, Drafts | None] = {}
        jobs = [
            Job(
                self.chat.encode_prompt(request.prompt),
                len(self.chat.encode_answer(request.longest_answer)) + SLACK_TOKENS,
                self._drafts(request, known),
            )
            for request in requests
        ]
        started = time.perf_counter()
        for batch in continue_greedily(
            self.causal, jobs, self.chat.stop_ids, self.batch_size, self.prefixes, self.habits
        ):
            seconds = (time.perf_counter() - started) / len(batch)
            for index, said in batch:
                self.passes += said.passes
                yield requests[index].id, self._completion(jobs[index], said, seconds)
            started = time.perf_counter()

    def _drafts(self, request: Request, known: dict[int, Drafts | None]) -> Drafts | None:
        """The canonical answers as token ids; most formats have the same for every input."""
        if id(request.answers) not in known:
            ids = [self.chat.encode_answer(answer.text) for answer in request.answers]
            known[id(request.answers)] = Drafts(request.answers, ids) if ids else None
        return known[id(request.answers)]

    def _completion(self, job: Job, said: Continuation, seconds: float) -> Completion:
        number = job.drafts.number(said.ids) if job.drafts and said.stopped else None
        return Completion(
            text=self.chat.decode(said.ids),
            finish_reason=FinishReason.STOP if said.stopped else FinishReason.LENGTH,
            token_ids=said.ids,
            prompt_tokens=len(job.prompt),
            seconds=seconds,
            confidences=(
                {}
                if job.drafts is None or number is None
                else job.drafts.confidences(number, said.logprobs)
            ),
            margin=said.margin,
        )

    def describe(self) -> Mapping[str, str | int]:
        """Device, precision and batch size."""
        return {
            "engine": "transformers",
            "device": self.model.device.type,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "head_dtype": self.causal.head_dtype,
            "batch_size": self.batch_size,
            "decoding": "free",
        }

    def prompt_sha256(self, prompt: Prompt) -> str:
        """Hash the prompt as the chat template lays it out."""
        return self.chat.prompt_sha256(prompt)
