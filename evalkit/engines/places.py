"""Where a model runs when not in this process: three tables of a system.toml."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

OWN_KEYS = frozenset({"messages", "model", "n", "stream"})
"""Of a request to a server: what evalkit alone decides."""
OMITTABLE = frozenset({"temperature", "max_tokens", "max_completion_tokens"})
CONSTRAINTS = frozenset(
    {
        "ebnf",
        "grammar",
        "guided_choice",
        "guided_grammar",
        "guided_json",
        "guided_regex",
        "json_schema",
        "regex",
        "response_format",
        "structured_outputs",
    }
)
"""What servers (llama.cpp, vLLM, SGLang, Ollama) call the keys that keep answers to a grammar."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Endpoint(_Table):
    """A server that speaks OpenAI's chat completions."""

    url: str
    """Its base address, such as `http://localhost:8080/v1`."""
    model: str
    """What the server calls the model."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key."""
    concurrency: Annotated[int, Field(ge=1, le=512)] = 8
    """Requests under way at once."""
    timeout: Annotated[float, Field(gt=0)] = 60.0
    """Seconds that one try may take."""
    retries: Annotated[int, Field(ge=0, le=20)] = 4
    """Tries after the first, with growing pauses between them."""
    system_role: bool = True
    """False puts the instructions into the user's turn, for models without a system role."""
    logprobs: bool = True
    """Whether to ask for log-probabilities; a server that refuses is not asked again."""
    token_limit: str = "max_tokens"
    """The key that limits an answer's tokens; newer servers call it `max_completion_tokens`."""
    omit: tuple[str, ...] = ()
    """Keys that evalkit sets by itself (`temperature`, `max_tokens`) and this server refuses."""
    body: dict[str, JsonValue] = {}
    """Further keys of each request, such as a server's own switches, or other values for those
    that evalkit sets."""

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("is no address; one looks like http://localhost:8080/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(
                "holds more than an address; name the environment variable of a key with "
                "api_key_env"
            )
        url = url.rstrip("/")
        if url.endswith(("/completions", "/models")):
            raise ValueError("is the address of one request; give what stands before, up to /v1")
        return url

    @field_validator("body")
    @classmethod
    def _check_body(cls, body: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if own := sorted(OWN_KEYS & set(body)):
            raise ValueError(f"{', '.join(own)} cannot be set: evalkit decides them")
        return body

    @field_validator("omit")
    @classmethod
    def _check_omit(cls, omit: tuple[str, ...]) -> tuple[str, ...]:
        if strange := sorted(set(omit) - OMITTABLE):
            raise ValueError(
                f"{', '.join(strange)} cannot be left out; {', '.join(sorted(OMITTABLE))} can"
            )
        return omit

    @property
    def is_constrained(self) -> bool:
        """Whether `body` has the server keep answers to a grammar or schema."""
        return bool(CONSTRAINTS & set(self.body))


class LlamaCpp(_Table):
    """A GGUF file that llama.cpp answers with, on this machine."""

    file: str
    """The file, beside the system.toml."""
    context: Annotated[int, Field(ge=64)] = 4096
    """Tokens that a prompt and its answer may have together."""
    parallel: Annotated[int, Field(ge=1, le=64)] = 4
    """Requests under way at once."""
    system_role: bool = True
    """False puts the instructions into the user's turn, for models without a system role."""
    grammar: str = ""
    """A GBNF file beside the system.toml that answers are kept to; none by default."""

    @field_validator("file", "grammar")
    @classmethod
    def _check_beside(cls, name: str) -> str:
        if PurePath(name).name != name:
            raise ValueError("is the name of a file beside the system.toml, not a path")
        return name


class Cluster(_Table):
    """A Ray cluster with one model per worker."""

    workers: Annotated[int, Field(ge=1)] = 2
    """How many models answer at once."""
    address: str | None = None
    """The cluster's address, such as `auto` or `ray://head:10001`; `$RAY_ADDRESS` by default, and
    a cluster of this machine's own where that is not set."""
    cpus: Annotated[float, Field(gt=0)] = 1
    """Processor cores of each worker."""
    gpus: Annotated[float, Field(ge=0)] = 0
    """GPUs of each worker."""
