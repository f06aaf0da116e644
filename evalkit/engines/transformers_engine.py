"""The engine that runs a model in this process, with transformers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from evalkit.engines.chat import Chat
from evalkit.engines.generation import Job, PrefixCache, continue_greedily
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
        self.prefixes = PrefixCache(model)

    def complete(self, requests: Sequence[Request]) -> Iterator[tuple[str, Completion]]:
        """Yield completions batch by batch, longest prompts first."""
        jobs = [
            Job(
                self.chat.encode_prompt(request.prompt),
                len(self.chat.encode_answer(request.longest_answer)) + SLACK_TOKENS,
            )
            for request in requests
        ]
        started = time.perf_counter()
        for batch in continue_greedily(
            self.model, jobs, self.chat.stop_ids, self.batch_size, self.prefixes
        ):
            seconds = (time.perf_counter() - started) / len(batch)
            for index, said in batch:
                yield (
                    requests[index].id,
                    Completion(
                        text=self.chat.decode(said.ids),
                        finish_reason=FinishReason.STOP if said.stopped else FinishReason.LENGTH,
                        token_ids=said.ids,
                        prompt_tokens=len(jobs[index].prompt),
                        seconds=seconds,
                    ),
                )
            started = time.perf_counter()

    def describe(self) -> Mapping[str, str | int]:
        """Device, precision and batch size."""
        return {
            "engine": "transformers",
            "device": self.model.device.type,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "batch_size": self.batch_size,
            "decoding": "free",
        }

    def prompt_sha256(self, prompt: Prompt) -> str:
        """Hash the prompt as the chat template lays it out."""
        return self.chat.prompt_sha256(prompt)
