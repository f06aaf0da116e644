"""Questions that come one by one, answered together.

What comes while a batch is computed is the next batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from evalkit.records import Completion, Unanswered

Answer = Completion | Unanswered
Inputs = dict[str, str]


class Batcher:
    """Hands questions to one thread, which is all that an engine has room for."""

    def __init__(self, answer: Callable[[Sequence[Inputs]], Sequence[Answer]], most: int) -> None:
        """Take what answers a number of inputs, in order, and how many it is asked at once."""
        self._answer = answer
        self._most = most
        self._waiting: list[tuple[Inputs, asyncio.Future[Answer]]] = []
        self._working: asyncio.Task[None] | None = None

    async def ask(self, asked: Sequence[Inputs]) -> list[Answer]:
        """Answer inputs, in order; whatever goes wrong with a batch is raised to all in it."""
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in asked]
        self._waiting += zip(asked, futures, strict=True)
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        return list(await asyncio.gather(*futures))

    async def _work(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            try:
                answers = await asyncio.to_thread(self._answer, [inputs for inputs, _ in batch])
            except Exception as error:
                told: Sequence[Answer | Exception] = [error] * len(batch)
            else:
                told = answers
            for (_, future), said in zip(batch, told, strict=True):
                if future.done():  # whoever asked has gone
                    continue
                if isinstance(said, Exception):
                    future.set_exception(said)
                else:
                    future.set_result(said)
        self._working = None
