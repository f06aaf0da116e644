"""From a system on the shelf to an engine in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalkit.engines.base import Engine
from evalkit.registry import Registry

if TYPE_CHECKING:
    from evalkit.engines.loading import Decoding, Device, Precision
    from evalkit.systems import System


@dataclass(frozen=True)
class EngineOptions:
    """How a system is run on this machine; none of it belongs to the system."""

    device: Device = "auto"
    precision: Precision = "auto"
    batch_size: int = 16
    decoding: Decoding | None = None
    """As the system.toml says where this is None."""


@dataclass(frozen=True)
class EngineKind:
    """What `engine =` in a system.toml names."""

    build: Callable[[System, EngineOptions], Engine]
    """Loads what a system needs, for itself alone."""
    reads_weights: bool = False
    """Whether a system needs `base`."""
    is_language_model: bool = False
    """Whether it reads the prompt."""
    is_baseline: bool = False
    """Whether language models are held against it."""
    is_live: bool = True
    """Whether it can be asked something new."""
    trained_file: str | None = None
    """What `evalkit train` leaves of it."""
    trained_elsewhere: bool = True
    """Whether it may have been trained where evalkit cannot see it: then nobody knows on what."""


def _read(name: str, loaded: Any) -> EngineKind | None:
    if isinstance(loaded, EngineKind):
        return loaded
    return EngineKind(loaded) if callable(loaded) else None


ENGINES = Registry[EngineKind](
    "engines",
    {
        "transformers": "evalkit.engines.pool:ENGINE",
        "ray": "evalkit.engines.ray_engine:ENGINE",
        "llamacpp": "evalkit.engines.llamacpp:ENGINE",
        "endpoint": "evalkit.engines.endpoint:ENGINE",
        "tfidf": "evalkit.engines.tfidf:ENGINE",
        "embeddings": "evalkit.engines.tfidf:WITH_EMBEDDINGS",
        "majority": "evalkit.engines.majority:ENGINE",
        "keyword": "evalkit.engines.keyword:ENGINE",
        "replay": "evalkit.engines.replay:ENGINE",
    },
    _read,
)
"""A package adds an `EngineKind`, or the function that builds the engine of a system."""
