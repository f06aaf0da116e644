"""From a system on the shelf to an engine in memory."""

from __future__ import annotations

from dataclasses import dataclass

from evalkit.engines.base import Engine
from evalkit.engines.loading import Device, Precision
from evalkit.errors import UserError
from evalkit.systems import System, missing_parts


@dataclass(frozen=True)
class EngineOptions:
    """How a system is run on this machine; none of it belongs to the system."""

    device: Device = "auto"
    precision: Precision = "auto"
    batch_size: int = 16


def build_engine(system: System, options: EngineOptions) -> Engine:
    """Load what a system needs.

    Raises:
        UserError: weights or adapter are not here, or do not fit each other.
    """
    if missing := missing_parts(system):
        raise UserError(f"{system.name} cannot run yet.\n" + "\n".join(missing))
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
    from evalkit.engines.chat import build_chat
    from evalkit.engines.loading import (
        attach_adapter,
        choose_device,
        choose_dtype,
        load_base,
        load_tokenizer,
    )
    from evalkit.engines.transformers_engine import TransformersEngine

    assert system.source is not None
    folder = system.source.locate()
    assert folder is not None
    device = choose_device(options.device)
    model = load_base(
        folder,
        device=device,
        dtype=choose_dtype(options.precision, device),
        quantization=system.config.quantization,
    )
    eos = model.generation_config.eos_token_id if model.generation_config else None
    ends = [] if eos is None else eos if isinstance(eos, list) else [eos]
    chat = build_chat(load_tokenizer(folder), ends)
    if system.adapter_folder is not None:
        model = attach_adapter(model, system.adapter_folder)
    return TransformersEngine(model, chat, options.batch_size)
