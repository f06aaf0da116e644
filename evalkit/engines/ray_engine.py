"""The engine that spreads requests over a Ray cluster, with one model per worker.

Each worker holds the same engine that would otherwise run here. A worker that dies is replaced
and its requests go to another; requests that cost several workers their lives are given up, as
`Unanswered`.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from evalkit.engines.base import Engine
from evalkit.engines.building import EngineKind, EngineOptions
from evalkit.engines.places import Cluster
from evalkit.engines.pool import build_engine
from evalkit.errors import UserError
from evalkit.records import Completion, Prompt, Request, Unanswered

if TYPE_CHECKING:
    from evalkit.systems import System

SHARD_BATCHES = 2
"""Batches in a shard: enough to sort by length, few enough that workers end together."""
MOST_TRIES = 3
"""Workers that a shard is given to, one after the other."""
OBJECT_STORE_BYTES = 100_000_000
"""Of a cluster of this machine's own: prompts and answers are all that is sent."""


@dataclass
class _Shard:
    requests: list[Request]
    tries: int = 0


class _Worker:
    """What runs on the cluster: an engine, in a process of its own."""

    def __init__(self, build: Callable[[], Engine]) -> None:
        self.build = build
        self.engine: Engine | None = None

    def load(self) -> Engine:
        """Build the engine at the first call: what fails here is reported like any other fault."""
        if self.engine is None:
            self.engine = self.build()
        return self.engine

    def pid(self) -> int:
        return os.getpid()

    def describe(self) -> dict[str, str | int]:
        return dict(self.load().describe())

    def prompt_sha256(self, prompt: Prompt) -> str:
        return self.load().prompt_sha256(prompt)

    def complete(self, requests: Sequence[Request]) -> list[tuple[str, Completion | Unanswered]]:
        return list(self.load().complete(requests))


class RayEngine:
    """The same engine on several workers."""

    def __init__(self, build: Callable[[], Engine], place: Cluster, shard_size: int) -> None:
        """Start the workers.

        Args:
            build: makes a worker's engine, on the worker.
            place: the cluster and its share for us.
            shard_size: requests handed to a worker at once.

        Raises:
            UserError: Ray is not installed, or the cluster is too small.
        """
        self.build = build
        self.place = place
        self.shard_size = shard_size
        self.ray = _connect(place)
        self.workers = [self._start() for _ in range(place.workers)]

    def complete(
        self, requests: Sequence[Request]
    ) -> Iterator[tuple[str, Completion | Unanswered]]:
        """Yield answers shard by shard, as workers are done with them."""
        shards = deque(
            _Shard(list(requests[start : start + self.shard_size]))
            for start in range(0, len(requests), self.shard_size)
        )
        idle = deque(range(len(self.workers)))
        under_way: dict[Any, tuple[_Shard, int]] = {}
        while shards or under_way:
            while shards and idle:
                shard, number = shards.popleft(), idle.popleft()
                shard.tries += 1
                task = self.workers[number].complete.remote(shard.requests)
                under_way[task] = (shard, number)
            (done, *_), _ = self.ray.wait(list(under_way), num_returns=1)
            shard, number = under_way.pop(done)
            try:
                answers = self._get(done)
            except self.ray.exceptions.RayActorError as death:
                self.workers[number] = self._start()
                idle.append(number)
                if shard.tries < MOST_TRIES:
                    shards.appendleft(shard)
                    continue
                why = f"{MOST_TRIES} workers died over it: {_first_line(death)}"
                answers = [(request.id, Unanswered(why)) for request in shard.requests]
            else:
                idle.append(number)
            yield from answers

    def describe(self) -> Mapping[str, str | int]:
        """What a worker says of its engine, and how many there are."""
        described = self._ask_one("describe")
        return {**described, "engine": f"ray: {described['engine']}", "workers": len(self.workers)}

    def prompt_sha256(self, prompt: Prompt) -> str:
        """Hash the prompt as a worker's engine does."""
        return str(self._ask_one("prompt_sha256", prompt))

    def close(self) -> None:
        """End the workers."""
        while self.workers:
            self.ray.kill(self.workers.pop())

    def _start(self) -> Any:
        worker = self.ray.remote(_Worker)
        return worker.options(num_cpus=self.place.cpus, num_gpus=self.place.gpus).remote(self.build)

    def _ask_one(self, method: str, *arguments: object) -> Any:
        for _ in range(MOST_TRIES):
            try:
                return self._get(getattr(self.workers[0], method).remote(*arguments))
            except self.ray.exceptions.RayActorError as error:
                death = error
                self.workers[0] = self._start()
        raise UserError(
            f"No worker of the Ray cluster stays alive: {_first_line(death)}. It may be short of "
            "memory for one model per worker; lower `workers` in [ray]."
        )

    def _get(self, task: Any) -> Any:
        """Wait for a result; a fault inside a worker's engine is raised as if it were here."""
        try:
            return self.ray.get(task)
        except self.ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, UserError):
                raise error.cause from error
            raise


def build_ray(system: System, options: EngineOptions) -> RayEngine:
    """Start the workers of a system, each with the engine `transformers` of it."""
    place = system.config.ray or Cluster()
    config = system.config.model_copy(update={"engine": "transformers", "ray": None})
    alone = replace(system, config=config, folder=system.folder.absolute())

    def build() -> Engine:
        return build_engine(alone, options)

    return RayEngine(build, place, SHARD_BATCHES * options.batch_size)


ENGINE = EngineKind(build_ray, reads_weights=True, is_language_model=True, trained_elsewhere=False)


def _connect(place: Cluster) -> Any:
    try:
        import ray
    except ImportError as error:
        raise UserError(
            "engine 'ray' needs Ray, which is not installed: pip install 'pytest-evalkit[ray]'."
        ) from error
    if not ray.is_initialized():
        _check_reachable(place.address)
        quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
        try:
            ray.init(address=place.address or "auto", **quiet)
        except ConnectionError as error:
            if place.address:
                raise UserError(
                    f"No Ray cluster is found by {place.address!r}: {_first_line(error)}. Start it "
                    "with `ray start --head`, or leave out `address` in [ray]."
                ) from error
            ray.init(
                address="local",
                num_cpus=max(1, round(place.workers * place.cpus)),
                object_store_memory=OBJECT_STORE_BYTES,
                include_dashboard=False,
                **quiet,
            )
    there: dict[str, float] = ray.cluster_resources()
    for kind, each in (("CPU", place.cpus), ("GPU", place.gpus)):
        if place.workers * each > there.get(kind, 0):
            raise UserError(
                f"{place.workers} workers of {each:g} {kind} each do not fit on the Ray cluster, "
                f"which has {there.get(kind, 0):g}. Lower `workers` in [ray]."
            )
    return ray


def _check_reachable(address: str | None) -> None:
    """Knock at an address before Ray does, which waits for minutes."""
    host, _, port = (address or "").rpartition("://")[2].rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"No Ray cluster answers at {address!r}: {error}. Start it with `ray start --head`, or "
            "leave out `address` in [ray]."
        ) from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
