"""A system that answers, and remembers what it answered."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache, cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.engines.building import ENGINES, EngineOptions
from evalkit.environment import machine, package_versions, processor
from evalkit.formats import FORMATS
from evalkit.formats.base import empty_prompt
from evalkit.records import Completion, Request, Unanswered
from evalkit.runs import AnswerStore, request_sha256
from evalkit.runs.rows import completion_from_json, completion_to_json
from evalkit.systems import System
from evalkit.weights import weights_fingerprint
from evalkit.weights.cache import hash_file
from evalkit.weights.tokenizer_files import brings_tokenizer, tokenizer_sha256

if TYPE_CHECKING:
    from evalkit.engines.base import Engine

    Build = Callable[[System, EngineOptions], Engine]
    Requests = Callable[[], Iterable[Request]]

CHUNK = 2048
"""Requests handed to an engine at once: enough to sort by length, few enough to hold."""


@dataclass
class Answered:
    """What came of a number of requests."""

    completions: dict[str, Completion] = field(default_factory=dict)
    unanswered: dict[str, str] = field(default_factory=dict)
    """Request id -> why nothing came."""
    reused: int = 0
    """How many completions were known from before."""
    seconds: float = 0.0
    """Wall-clock time, without that of loading."""
    load_seconds: float = 0.0
    operations: float = 0.0
    """Of matrix products, where the engine counts them."""


class CachedModel:
    """One way of answering: a system, its options, and the store of what is known of it.

    The engine is built when something is asked that is not known.
    """

    def __init__(
        self,
        system: System,
        options: EngineOptions,
        runs: Path,
        build: Build,
        *,
        cache_namespace: str = "",
    ) -> None:
        """Look up what is known.

        Args:
            system: what answers.
            options: how it is run on this machine.
            runs: folder of all runs, where answers are kept.
            build: makes the engine.
            cache_namespace: keeps answers apart from those to the same requests in other
                circumstances.
        """
        self.system = system
        self.options = options
        self.runs = runs
        self.build = build
        self.cache_namespace = cache_namespace
        self.load_seconds = 0.0
        self._engine: Engine | None = None
        self.store = AnswerStore(runs, self._identity())

    @property
    def described(self) -> Mapping[str, Any]:
        """How the engine describes itself (`engine`) and lays out a prompt (`prompt_sha256`)."""
        if self.store.described is None:
            self._load()
        assert self.store.described is not None
        return self.store.described

    @cached_property
    def weights_sha256(self) -> str | None:
        """The fingerprint of the base weights; None for a system without any here."""
        base = self.system.source.locate() if self.system.source else None
        return weights_fingerprint(base) if base else None

    @cached_property
    def trained_sha256(self) -> dict[str, str]:
        """The hashes of the files that training left."""
        return {path.name: hash_file(path) for path in self.system.trained_files}

    def answer(
        self,
        requests: Requests,
        advance: Callable[[], None] = lambda: None,
    ) -> Answered:
        """Answer requests; what is known already is not computed again.

        Args:
            requests: makes the requests; called again where an engine turns out to be another
                than the one whose answers are known.
            advance: called with every completion.

        Raises:
            RuntimeError: the engine left a request unanswered, or answered one twice.
        """
        while True:
            started, loaded = time.perf_counter(), self.load_seconds
            operations = self._operations
            answered = Answered()
            known_of = self.store.described
            for chunk in _chunks(requests()):
                self._answer(chunk, answered, advance)
                if known_of is not None and self.store.described != known_of:
                    break
            else:
                took = time.perf_counter() - started
                answered.load_seconds = self.load_seconds - loaded
                answered.seconds = took - answered.load_seconds
                answered.operations = self._operations - operations
                return answered

    def _answer(
        self, chunk: list[Request], answered: Answered, advance: Callable[[], None]
    ) -> None:
        """Answer some requests. Equal ones are asked once."""
        unknown: dict[str, list[str]] = {}
        todo: list[Request] = []
        for request in chunk:
            key = self._key(request)
            if (known := self.store.get(key)) is not None:
                answered.completions[request.id] = completion_from_json(known)
                answered.reused += 1
                advance()
            elif key in unknown:
                unknown[key].append(request.id)
            else:
                unknown[key] = [request.id]
                todo.append(request)
        if not todo:
            return
        keys = {ids[0]: key for key, ids in unknown.items()}
        for name, said in self._load().complete(todo):
            if name not in keys:
                raise RuntimeError(f"the engine answered {name!r} twice, or was not asked it")
            key = keys.pop(name)
            if isinstance(said, Unanswered):
                answered.unanswered |= dict.fromkeys(unknown[key], said.why)
                continue
            self.store.keep(key, completion_to_json(said))
            for same in unknown[key]:
                answered.completions[same] = said
                advance()
        if keys:
            raise RuntimeError(f"the engine left {len(keys)} requests unanswered: {list(keys)[:3]}")

    def divergences(self, texts: Mapping[str, str]) -> list[dict[str, Any]]:
        """For each text how far the adapter moved the base: `id`, `kl` (nats a token), `tokens`.

        See `evalkit.engines.divergence`.
        """
        keys = {name: _text_key(text) for name, text in texts.items()}
        found = self._known(keys)
        if len(found) < len(keys):
            from evalkit.engines.divergence import divergence

            engine: Any = self._load()
            found = self._known(keys)  # of the engine that it turned out to be
            todo = [name for name in keys if name not in found]
            for name, (kl, tokens) in zip(
                todo, divergence(engine, [texts[n] for n in todo]), strict=True
            ):
                found[name] = {"kl": kl, "tokens": tokens}
                self.store.keep(keys[name], found[name])
        return [
            {"id": name, "kl": found[name]["kl"], "tokens": found[name]["tokens"]} for name in keys
        ]

    def _known(self, keys: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        said = {name: self.store.get(key) for name, key in keys.items()}
        return {name: known for name, known in said.items() if known is not None}

    def close(self) -> None:
        """Let go of the file of answers.

        Of a system whose weights cannot be identified (a server may change its model under the
        same name) they are forgotten: they served to go on after an interruption.
        """
        self._engine = None
        if self.system.config.engine == "endpoint":
            self.store.discard()
        else:
            self.store.close()

    def _key(self, request: Request) -> str:
        key = request_sha256(request)
        if self.system.config.engine == "replay":  # recorded by id, whatever was asked
            key = hashlib.sha256(f"{key} {request.id}".encode()).hexdigest()
        return key

    @property
    def _operations(self) -> float:
        counted: float = getattr(self._engine, "operations", 0.0)
        return counted

    def _load(self) -> Engine:
        if self._engine is None:
            started = time.perf_counter()
            self._engine = self.build(self.system, self.options)
            task, fmt = self.system.task, self.system.format
            self.store.open(
                {
                    "engine": dict(self._engine.describe()),
                    "prompt_sha256": self._engine.prompt_sha256(empty_prompt(task, fmt)),
                }
            )
            self.load_seconds += time.perf_counter() - started
        return self._engine

    def _identity(self) -> dict[str, Any]:
        """Everything that decides what the answers are, but for what is asked."""
        config = self.system.config.model_dump(mode="json", exclude={"recipe", "summary", "task"})
        recorded = self.system.config.answers
        return {
            "system": config,
            "answers_sha256": hash_file(self.system.folder / recorded) if recorded else None,
            "weights_sha256": self.weights_sha256,
            "trained_sha256": self.trained_sha256,
            "tokenizer_sha256": self._tokenizer_sha256(),
            "task_sha256": self.system.task.fingerprint,
            "options": asdict(self.options),
            "packages": package_versions(),
            "machine": machine(),
            "processor": processor(),
            "code_sha256": _code_sha256(),
            "plugins_sha256": [
                FORMATS.plugin_sha256(config["format"]),
                ENGINES.plugin_sha256(config["engine"]),
            ],
            "apart": self.cache_namespace,
        }

    def _tokenizer_sha256(self) -> list[str]:
        """The base's, and that of an adapter that brings one of its own."""
        base = self.system.source.locate() if self.system.source else None
        adapter = self.system.adapter_folder
        own = adapter if adapter is not None and brings_tokenizer(adapter) else None
        return [tokenizer_sha256(folder) for folder in (base, own) if folder]


def without_adapter(system: System) -> System:
    """The base of a system as it is, asked the same."""
    config = system.config.model_copy(update={"adapter": False, "recipe": {}})
    return replace(system, config=config, adapter_folder=None)


def _chunks(requests: Iterable[Request]) -> Iterator[list[Request]]:
    left = iter(requests)
    while chunk := list(islice(left, CHUNK)):
        yield chunk


def _text_key(text: str) -> str:
    return hashlib.sha256(b"divergence\n" + text.encode(errors="surrogatepass")).hexdigest()


@cache
def _code_sha256() -> str:
    """Hash the parts of evalkit that decide what is asked and what is answered."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256((package / "records.py").read_bytes())
    for folder in ("engines", "formats", "tasks", "weights"):
        for path in sorted((package / folder).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
