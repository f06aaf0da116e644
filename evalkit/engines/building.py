"""From a system on the shelf to an engine in memory."""

from __future__ import annotations

from dataclasses import dataclass

from evalkit.engines.base import Engine
from evalkit.engines.loading import Decoding, Device, Precision
from evalkit.errors import UserError
from evalkit.systems import System, missing_parts


@dataclass(frozen=True)
class EngineOptions:
    """How a system is run on this machine; none of it belongs to the system."""

    device: Device = "auto"
    precision: Precision = "auto"
    batch_size: int = 16
    decoding: Decoding | None = None
    """As the system.toml says where this is None."""


def build_engine(system: System, options: EngineOptions) -> Engine:
    """Load what a system needs, for itself alone. Of several, `Engines` shares the base.

    Raises:
        UserError: weights or adapter are not here, or do not fit each other.
    """
    check_complete(system)
    if system.config.endpoint is not None:
        from evalkit.engines.endpoint import build_endpoint

        return build_endpoint(system.config.endpoint, system.config.decoding)
    if system.config.engine == "ray":
        from evalkit.engines.ray_engine import build_ray

        return build_ray(system, options)
    if system.config.engine == "keyword":
        from evalkit.engines.keyword import KeywordEngine

        return KeywordEngine(system.task, system.format)
    if system.config.engine == "tfidf":
        from evalkit.engines.baseline import BaselineEngine
        from evalkit.engines.tfidf import load_tfidf

        tfidf = load_tfidf(system.trained_files[0], system.task)
        return BaselineEngine(tfidf, system.task, system.format)
    if system.config.engine == "majority":
        from evalkit.engines.baseline import BaselineEngine
        from evalkit.engines.majority import load_majority

        majority = load_majority(system.trained_files[0], system.task)
        return BaselineEngine(majority, system.task, system.format)
    if system.config.answers is not None:
        from evalkit.engines.replay import ReplayEngine, load_answers

        return ReplayEngine(load_answers(system.folder / system.config.answers))
    from evalkit.engines.pool import Engines

    return Engines().build(system, options)


def check_complete(system: System) -> None:
    """Say what is missing before anything is loaded.

    Raises:
        UserError: weights or adapter are not here.
    """
    if missing := missing_parts(system):
        raise UserError(f"{system.name} cannot run yet.\n" + "\n".join(missing))
