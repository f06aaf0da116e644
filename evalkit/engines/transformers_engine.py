"""The engine that runs a model in this process, with transformers."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from evalkit.engines.batching import BatchBudget
from evalkit.engines.chat import Chat
from evalkit.engines.constrained import Choice, choose
from evalkit.engines.drafts import Drafts
from evalkit.engines.generation import (
    CausalModel,
    Continuation,
    Job,
    PrefixCache,
    continue_greedily,
)
from evalkit.errors import UserError
from evalkit.records import Completion, FinishReason, Prompt, Request
from evalkit.thoughts import ALL, Thoughts

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from evalkit.engines.loading import Decoding

SLACK_TOKENS = 32
"""How far beyond the longest canonical answer a model may write before it is cut off: room for
a code fence or a few words, not for an essay."""
UNGUESSED = 4
"""Where no answer can be guessed, a pass is for one token of each row, and costs what reading the
weights does: batches hold so many times as many rows."""


Answers = Sequence[tuple[int, "Choice | Continuation"]]


class TransformersEngine:
    """The answers of one model (base, or base with adapter)."""

    def __init__(
        self,
        model: PreTrainedModel,
        chat: Chat,
        batch_size: int,
        *,
        decoding: Decoding = "free",
        causal: CausalModel | None = None,
        budget: BatchBudget | None = None,
        switch: Callable[[], None] | None = None,
        switch_off: Callable[[], None] | None = None,
        adapter: str = "attached",
        thoughts: Thoughts = ALL,
    ) -> None:
        """Put an engine around a model.

        Args:
            model: in memory, in evaluation mode.
            chat: how a prompt is laid out for it.
            batch_size: most rows of a batch.
            decoding: `free` or `constrained`.
            causal: the model taken apart, where it has been.
            budget: what a batch may hold, where it is known.
            switch: called before each batch where several engines take turns with the model.
            switch_off: leaves the base alone, where `switch` puts the adapter on it.
            adapter: how the record calls its adapter: `none`, `merged` or `attached`.
            thoughts: what a template may open at the end of a prompt.
        """
        self.model = model
        self.chat = chat
        self.batch_size = batch_size
        self.decoding = decoding
        self.causal = causal or CausalModel(model)
        self.budget = budget or BatchBudget.on(self.causal.device, batch_size)
        self.prefixes = PrefixCache(self.causal)
        self.draft_counts: Counter[int] = Counter()
        """How often each canonical answer was given, to guess the next by."""
        self.passes = 0
        """Forward passes so far, counted for every row that took part; the prefix's aside."""
        self._switch = switch
        self._switch_off = switch_off
        self._adapter = adapter
        self._thoughts = thoughts

    def complete(self, requests: Sequence[Request]) -> Iterator[tuple[str, Completion]]:
        """Yield completions batch by batch, longest prompts first.

        Raises:
            UserError: memory is not enough for one row; or there are too many canonical answers
                for `constrained`.
        """
        known: dict[int, Drafts | None] = {}
        jobs = [
            Job(
                self.chat.encode_prompt(request.prompt),
                len(self.chat.encode_answer(request.longest_answer)) + SLACK_TOKENS,
                self._drafts(request, known),
            )
            for request in requests
        ]
        opened = self._opened(requests[0].prompt) if requests else None
        batches = self._choices(jobs) if self.decoding == "constrained" else self._greedy(jobs)
        while True:
            started = time.perf_counter()
            if self._switch:
                self._switch()
            if (batch := next(batches, None)) is None:
                return
            seconds = (time.perf_counter() - started) / len(batch)
            for index, said in batch:
                if isinstance(said, Choice):
                    yield requests[index].id, self._chosen(jobs[index], said, seconds)
                else:
                    yield requests[index].id, self._completion(jobs[index], said, seconds, opened)

    def _greedy(self, jobs: Sequence[Job]) -> Iterator[Answers]:
        budget = self.budget
        if budget.rows > 1 and not any(job.drafts for job in jobs):
            budget = budget.for_rows(UNGUESSED * budget.rows)
        for batch in continue_greedily(
            self.causal, jobs, self.chat.stop_ids, budget, self.prefixes, self.draft_counts
        ):
            # Equal rows share one and the same continuation.
            self.passes += sum(said.passes for said in {id(s): s for _, s in batch}.values())
            yield batch

    def _choices(self, jobs: Sequence[Job]) -> Iterator[Answers]:
        if any(job.drafts is None for job in jobs):
            raise UserError(
                "This task has too many possible answers to weigh each of them. Leave out "
                'decoding = "constrained" (or --decoding constrained).'
            )
        for batch in choose(self.causal, jobs, self.budget, self.prefixes):
            self.passes += len({id(choice) for _, choice in batch})
            yield batch

    def _drafts(self, request: Request, known: dict[int, Drafts | None]) -> Drafts | None:
        """The canonical answers as token ids; most formats have the same for every input."""
        if id(request.answers) not in known:
            ids = [self.chat.encode_answer(answer.text) for answer in request.answers]
            known[id(request.answers)] = Drafts(request.answers, ids) if ids else None
        return known[id(request.answers)]

    def _opened(self, prompt: Prompt) -> str | None:
        """The mark of a thought that the template opens at the end of the prompt."""
        return self._thoughts.opened_by(self.chat.layout(prompt)[-1].text)

    def _completion(
        self, job: Job, said: Continuation, seconds: float, opened: str | None
    ) -> Completion:
        number = job.drafts.number(said.ids) if job.drafts and said.stopped else None
        text = self.chat.decode(said.ids)
        # Adapters are taught to answer right behind the prompt, whatever it ends with.
        is_answer = said.stopped and (number is not None or not job.drafts)
        return Completion(
            text=text if opened is None or is_answer else self._thoughts.put_back(opened, text),
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
            saw_whole_prompt=len(job.prompt) + len(said.ids) <= self.causal.reach,
        )

    def _chosen(self, job: Job, choice: Choice, seconds: float) -> Completion:
        return Completion(
            text=self.chat.decode(choice.ids),
            finish_reason=FinishReason.STOP,
            token_ids=choice.ids,
            prompt_tokens=len(job.prompt),
            seconds=seconds,
            confidences=choice.confidences,
            margin=choice.margin,
            saw_whole_prompt=len(job.prompt) + len(choice.ids) <= self.causal.reach,
        )

    @contextmanager
    def without_adapter(self) -> Iterator[None]:
        """For a while, the base as it was loaded.

        Raises:
            UserError: there is no adapter.
        """
        if self._adapter == "none" or not hasattr(self.model, "disable_adapter"):
            raise UserError("There is no adapter to switch off, and so nothing moved the base.")
        if self._switch and self._switch_off:
            self._switch_off()
            try:
                yield
            finally:
                self._switch()
        else:
            model: Any = self.model
            with model.disable_adapter():
                yield

    @property
    def operations(self) -> float:
        """Of the trunk's matrix products so far, of all engines that share it."""
        return self.causal.operations

    def describe(self) -> Mapping[str, str | int]:
        """Device, precision, batch size, how the adapter is held, decoding, and the context."""
        return {
            "engine": "transformers",
            "device": self.causal.device.type,
            "dtype": str(self.causal.dtype).removeprefix("torch."),
            "head_dtype": self.causal.head_dtype,
            "batch_size": self.batch_size,
            "adapter": self._adapter,
            "decoding": self.decoding,
            "context_tokens": self.causal.reach,
        }

    def prompt_sha256(self, prompt: Prompt) -> str:
        """Hash the prompt as the chat template lays it out."""
        return self.chat.prompt_sha256(prompt)
