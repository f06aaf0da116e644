"""Engines that share what they can: one base in memory, with all adapters that belong to it."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from evalkit.engines.base import Engine
from evalkit.engines.building import ENGINES, EngineKind, EngineOptions
from evalkit.systems import System, check_complete
from evalkit.weights.adapters import AdapterFiles

if TYPE_CHECKING:
    from evalkit.engines.shared_base import SharedBase


def build_engine(system: System, options: EngineOptions) -> Engine:
    """Load what a system needs, for itself alone. Of several, `Engines` shares the base.

    Raises:
        UserError: weights or adapter are not here, or do not fit each other.
    """
    check_complete(system)
    return ENGINES.find(system.config.engine).build(system, options)


class Engines:
    """Builds engines. Those of one base, device and precision share it.

    The latest base alone is kept here. An engine that is still held keeps its own.
    """

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._base: SharedBase | None = None

    def build(self, system: System, options: EngineOptions) -> Engine:
        """Load what a system needs and is not here yet.

        Raises:
            UserError: weights or adapter are not here, or do not fit each other.
        """
        if system.config.engine != "transformers":
            return build_engine(system, options)
        check_complete(system)
        from evalkit.engines.loading import choose_device, choose_dtype
        from evalkit.engines.shared_base import SharedBase
        from evalkit.engines.spelling import check_spelling

        assert system.source is not None
        folder = system.source.locate()
        assert folder is not None
        device = choose_device(options.device)
        dtype = choose_dtype(options.precision, device)
        quantization = system.config.quantization
        # What changes more than its own tensors is alone on its base.
        owner = system.adapter_folder
        if owner is not None and AdapterFiles(owner).leaves_base:
            owner = None
        key = (folder.resolve(), device, dtype, quantization, owner)
        if self._base is None or key != self._key:
            self.close()
            self._base = SharedBase(folder, device, dtype, quantization)
            self._key = key
        base = self._base
        try:
            adapter = base.attach(system.adapter_folder) if system.adapter_folder else None
            chat = base.chat_of(system.adapter_folder)
            check_spelling(system.name, chat, system.task, system.format)
        except BaseException:
            # Half of the adapter may be in it.
            self._drop()
            raise
        return base.engine(
            adapter,
            options.batch_size,
            decoding=options.decoding or system.config.decoding,
            chat=chat,
            thoughts=system.format.thoughts,
        )

    def close(self) -> None:
        """Look at the base after its last system's turn, and forget it.

        Its memory is free once no engine is held.

        Raises:
            RuntimeError: it is not what was loaded any more.
        """
        if self._base is not None:
            self._base.switch(None)
            self._drop()

    def _drop(self) -> None:
        self._base = None
        # Models and adapters refer to each other.
        gc.collect()


ENGINE = EngineKind(
    lambda system, options: Engines().build(system, options),
    reads_weights=True,
    is_language_model=True,
    trained_elsewhere=False,
)
