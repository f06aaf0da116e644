"""The engine that asks a server: vLLM, SGLang, llama.cpp, Ollama, or any like them.

They speak OpenAI's chat completions. The server lays out the prompt, decodes and cuts; the engine
sends the task's words, waits, tries again, and keeps the server's trouble apart from the model's
answers.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from evalkit.engines.building import EngineKind, EngineOptions
from evalkit.engines.chat import instructions_of
from evalkit.engines.places import Endpoint
from evalkit.engines.server import PAUSE, Refusal, Server, Trouble, quoted, shown
from evalkit.engines.server_logprobs import confidences, least_margin, read_tokens
from evalkit.errors import UserError
from evalkit.records import Completion, FinishReason, Prompt, Request, Unanswered

if TYPE_CHECKING:
    from evalkit.systems import System

SLACK_TOKENS = 32
"""Room beyond the longest canonical answer, as in `transformers_engine`. A token has at least
one byte, so that bytes bound tokens where the tokenizer is the server's."""
GIVE_UP_AFTER = 3
"""Requests in a row that failed on every try, after which the server is taken to be down."""
_FINISHED = {
    # A server that says nothing of the end sends what it has to say.
    **dict.fromkeys(("none", "stop", "eos", "eos_token", "end_turn"), FinishReason.STOP),
    **dict.fromkeys(("stop_sequence", "stop_token"), FinishReason.STOP),
    **dict.fromkeys(("length", "max_tokens", "max_length"), FinishReason.LENGTH),
}
"""What servers call the end of an answer, in lower case."""
_MOST_TOKENS = 10**9
"""A server that counts more cannot count."""


class EndpointEngine:
    """Greedy answers of a model on a server."""

    def __init__(
        self, place: Endpoint, *, api_key: str | None = None, pause: float = PAUSE
    ) -> None:
        self.place = place
        self.server = Server(
            place.url,
            api_key=api_key,
            timeout=place.timeout,
            retries=place.retries,
            connections=place.concurrency,
            pause=pause,
        )
        self._asks_logprobs = place.logprobs
        self._lock = threading.Lock()
        self._lost_in_a_row = 0
        self._down = ""
        """Why nothing is asked any more; empty while the server is up."""

    def complete(
        self, requests: Sequence[Request]
    ) -> Iterator[tuple[str, Completion | Unanswered]]:
        """Yield answers as the server gives them.

        Where it stays down, what is left is yielded as `Unanswered` without delay.

        Raises:
            UserError: the server refuses a request.
        """
        waiting = iter(requests)
        found: queue.SimpleQueue[tuple[str, Completion | Unanswered | BaseException]]
        found = queue.SimpleQueue()
        closed, hurry = threading.Event(), threading.Event()

        def work() -> None:
            while not closed.is_set():
                with self._lock:
                    request = next(waiting, None)
                if request is None:
                    return
                try:
                    found.put((request.id, self._answer(request, hurry)))
                except BaseException as error:  # raised again where it is waited for
                    found.put((request.id, error))

        for _ in range(min(self.place.concurrency, len(requests))):
            # Daemons: a request under way does not hold up the end of the program.
            threading.Thread(target=work, daemon=True).start()
        try:
            for _ in requests:
                name, said = found.get()
                if isinstance(said, BaseException):
                    raise said
                yield name, said
        finally:
            closed.set()
            hurry.set()

    def describe(self) -> Mapping[str, str | int]:
        """Server, model, and what the server says it is.

        Raises:
            UserError: the server does not answer at all.
        """
        return {
            "engine": "endpoint",
            "url": self.place.url,
            "model": self.place.model,
            "served": self._served,
            "system_role": int(self.place.system_role),
            "body": json.dumps(self.place.body, sort_keys=True),
            **({"token_limit": limit} if (limit := self.place.token_limit) != "max_tokens" else {}),
            **({"omit": ", ".join(self.place.omit)} if self.place.omit else {}),
            "decoding": "constrained" if self.place.is_constrained else "free",
        }

    def prompt_sha256(self, prompt: Prompt) -> str:
        """Hash the messages; how the server's template lays them out is not known here."""
        text = json.dumps(messages(prompt, system_role=self.place.system_role))
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def _served(self) -> str:
        """The model as the server lists it, with what tells one file from another."""
        try:
            listed = self.server.ask("/models", _models)
        except Trouble as trouble:
            raise UserError(
                f"No model answers at {self.place.url}: {trouble.why}. Start the server, or "
                "correct `url` in the system.toml."
            ) from trouble
        except Refusal as refusal:
            if refusal.status in (404, 405, 501):
                return "not listed"
            raise
        named = [entry for entry in listed if entry.get("id") == self.place.model]
        entry = (named or (listed if len(listed) == 1 else [{}]))[0]
        meta = entry.get("meta")  # llama.cpp's
        known = meta if isinstance(meta, dict) else {}
        kept = {key: known[key] for key in ("ftype", "n_params", "size") if key in known}
        details = f" {json.dumps(kept, sort_keys=True)}" if kept else ""
        return shown(f"{entry.get('id', 'not listed')}{details}")

    def _answer(self, request: Request, hurry: threading.Event) -> Completion | Unanswered:
        if self._down:
            return Unanswered(self._down)
        try:
            said = self._ask(request, hurry)
        except Trouble as trouble:
            with self._lock:
                self._lost_in_a_row += 1
                if self._lost_in_a_row >= GIVE_UP_AFTER and not self._down:
                    self._down = (
                        f"given up: {self._lost_in_a_row} requests in a row failed, the last "
                        f"because of {trouble.why}"
                    )
                    hurry.set()
            return Unanswered(trouble.why)
        with self._lock:
            self._lost_in_a_row = 0
        return said

    def _ask(self, request: Request, hurry: threading.Event) -> Completion | Unanswered:
        asks_logprobs = self._asks_logprobs
        try:
            return self._ask_once(request, hurry, asks_logprobs)
        except Refusal as refusal:
            if not asks_logprobs or not re.search("logprob|probabilit", refusal.said):
                raise UserError(f"{refusal} The row is '{request.id}'.") from refusal
        self._asks_logprobs = False
        return self._ask_once(request, hurry, False)

    def _ask_once(
        self, request: Request, hurry: threading.Event, asks_logprobs: bool
    ) -> Completion | Unanswered:
        started = time.perf_counter()

        def read(reply: object) -> Completion | Unanswered:
            said = read_completion(reply, request, time.perf_counter() - started)
            if self.place.is_constrained and isinstance(said, Completion):
                # The likeliest token may be one that the grammar forbids.
                said = replace(said, margin=None)
            return said

        place = self.place
        own: dict[str, Any] = {
            "temperature": 0,
            place.token_limit: len(request.longest_answer.encode(errors="replace")) + SLACK_TOKENS,
            **({"logprobs": True, "top_logprobs": 2} if asks_logprobs else {}),
        }
        body = {
            "model": place.model,
            "messages": messages(request.prompt, system_role=place.system_role),
            **{key: value for key, value in own.items() if key not in place.omit},
            **place.body,
        }
        return self.server.ask("/chat/completions", read, body=body, hurry=hurry)


def build_endpoint(place: Endpoint, decoding: str = "free") -> EndpointEngine:
    """Make the engine with the key that the environment holds.

    Raises:
        UserError: the variable is not set, or decoding is to be constrained here, which is the
            server's to do.
    """
    if decoding != "free":
        raise UserError(
            f"Decoding '{decoding}' is not evalkit's to do on a server. Hand the server a grammar "
            "in `body` of [endpoint]: `evalkit grammar TASK` prints it."
        )
    key = os.environ.get(place.api_key_env, "").strip() if place.api_key_env else None
    if key == "":
        raise UserError(
            f"The environment variable {place.api_key_env}, named by api_key_env, is not set. "
            "Set it to the server's key, or leave out api_key_env."
        )
    if key and not (key.isascii() and key.isprintable()):
        raise UserError(
            f"The key in {place.api_key_env} holds what no header can carry: a line break, or a "
            "letter outside ASCII. Set it again, to the key and nothing else."
        )
    return EndpointEngine(place, api_key=key)


def messages(prompt: Prompt, *, system_role: bool) -> list[dict[str, str]]:
    """The prompt as chat messages; a function is described in words."""
    instructions = instructions_of(prompt)
    user = "".join(span.text for span in prompt.user)
    if not system_role:
        return [{"role": "user", "content": f"{instructions}\n\n{user}"}]
    return [{"role": "system", "content": instructions}, {"role": "user", "content": user}]


def read_completion(reply: object, request: Request, seconds: float) -> Completion | Unanswered:
    """Read a chat completion.

    Raises:
        Trouble: it is none.
    """
    try:
        choice = reply["choices"][0]  # type: ignore[index]
        message, reason = choice["message"], str(choice["finish_reason"])
        text, thought = _said(message)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise Trouble(f"the server's answer is no chat completion: {quoted(reply)}") from error
    if message.get("tool_calls") or message.get("function_call"):
        return Unanswered(
            "the server took the answer for a call of a tool (tool_calls). Start it without its "
            "tool-call parser (vLLM: without --enable-auto-tool-choice)"
        )
    finished = _FINISHED.get(reason.lower())
    if finished is None:
        return Unanswered(f"the server ended the answer with {shown(reason)!r}")
    stopped = finished is FinishReason.STOP
    if thought and stopped and not text.strip():
        return Unanswered(
            "the server took the whole answer for a thought (reasoning_content). Start it without "
            "its reasoning parser, or switch thinking off: "
            "body = { chat_template_kwargs = { enable_thinking = false } }"
        )
    tokens = read_tokens(choice.get("logprobs"), text)
    whole = text
    if thought:
        whole = f"<think>{thought}</think>{text}" if text or stopped else f"<think>{thought}"
    counted = _counted(reply, "prompt_tokens")
    return Completion(
        # An escape in JSON may spell half a surrogate pair, which is no text.
        text=whole.encode("utf-16", "surrogatepass").decode("utf-16", "replace"),
        finish_reason=finished,
        counted_tokens=_counted(reply, "completion_tokens"),
        prompt_tokens=counted,
        seconds=seconds,
        confidences=confidences(text, tokens, request.answers) if stopped and not thought else {},
        margin=least_margin(tokens),
        # Fewer tokens than words: the server let the model see a part (Ollama's num_ctx).
        saw_whole_prompt=not 0 < counted < _words(request.prompt),
    )


def _said(message: dict[str, Any]) -> tuple[str, str]:
    """A message's text and the thought that the server took out of it.

    Raises:
        TypeError: it holds something else.
    """
    content = message.get("content") if "tool_calls" in message else message["content"]
    if content is None:
        # OpenAI's models say here what they refuse; that is their answer.
        content = message.get("refusal") or ""
    whole: list[dict[str, Any]] = [{"type": "text", "text": content}]
    parts = content if isinstance(content, list) else whole
    thought = message.get("reasoning_content") or message.get("reasoning") or ""
    text = ""
    for part in parts:
        if part["type"] == "thinking":
            thought += "".join(inner["text"] for inner in part["thinking"])
        elif part["type"] in ("text", "output_text"):
            text += part["text"]
        else:
            raise TypeError
    if not isinstance(text, str) or not isinstance(thought, str):
        raise TypeError
    return text, thought if thought.strip() else ""


def _words(prompt: Prompt) -> int:
    """The words that a prompt has at least; each is a token or more."""
    return sum(len(text.split()) for text in (prompt.instructions, *(s.text for s in prompt.user)))


def _counted(reply: object, what: str) -> int:
    """A number of tokens as the server counts them; 0 where it says nothing credible."""
    usage = reply.get("usage") if isinstance(reply, dict) else None
    count = usage.get(what) if isinstance(usage, dict) else None
    if not isinstance(count, int) or isinstance(count, bool):
        return 0
    return count if 0 < count < _MOST_TOKENS else 0


def _models(reply: object) -> list[dict[str, Any]]:
    listed = reply.get("data") if isinstance(reply, dict) else None
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise Trouble(f"the server's list of models is none: {quoted(reply)}")
    return listed


def _build(system: System, options: EngineOptions) -> EndpointEngine:
    assert system.config.endpoint is not None
    return build_endpoint(system.config.endpoint, system.config.decoding)


ENGINE = EngineKind(_build, is_language_model=True)
