"""Who answers in a session: systems with their engines, which are built once."""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from evalkit.errors import EvidenceError, InsufficientData, UserError

if TYPE_CHECKING:
    from rich.console import Console

    from evalkit.engines.loading import Device
    from evalkit.engines.pool import Engines
    from evalkit.runs.cache import CachedModel
    from evalkit.systems import System
    from evalkit.tasks import Task

_T = TypeVar("_T")


class Respondents:
    """Every system of a session that answers, as it is asked."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self._engines: Engines | None = None
        self._made: dict[tuple[Any, ...], CachedModel] = {}

    def of(
        self,
        system: System,
        task: Task | None,
        *,
        adapter: bool = True,
        batch_size: int | None = None,
        device: Device | None = None,
        apart: str = "",
    ) -> CachedModel:
        """The one for a system, asked about a task of its own or another.

        Args:
            system: who answers.
            task: another than the system's own.
            adapter: whether its adapter is on.
            batch_size: another than `--batch-size`.
            device: another than `--device`.
            apart: a name under which answers are kept apart from all others.
        """
        from evalkit.engines.building import EngineOptions
        from evalkit.engines.pool import Engines
        from evalkit.runs.cache import CachedModel, without_adapter

        self._engines = self._engines or Engines()
        options = EngineOptions(
            device=device or self.config.getoption("device"),
            precision=self.config.getoption("precision"),
            batch_size=batch_size or self.config.getoption("batch_size"),
        )
        asked = system if adapter else without_adapter(system)
        asked = asked.with_task(task) if task else asked
        key = (system.folder, asked.task.fingerprint, adapter, options, apart)
        if key not in self._made:
            made = CachedModel(
                asked,
                options,
                Path(self.config.getoption("runs")),
                self._engines.build,
                cache_namespace=apart,
            )
            if self.config.getoption("fresh"):
                made.store.ignore_known()
            self._made[key] = made
        return self._made[key]

    def guarded(self, system: System, make: Callable[[System, Console], _T]) -> _T:
        """Let a system answer. What breaks down here ends the session."""
        from rich.console import Console

        capture = self.config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled(), warnings.catch_warnings():
            # What libraries have deprecated is not what a release engineer came to read.
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            try:
                return make(system, Console(stderr=True))
            except KeyboardInterrupt:
                sys.stderr.write(
                    "\nWhat was answered is kept; the same command goes on from there.\n"
                )
                raise
            except (InsufficientData, EvidenceError):
                raise
            except UserError as error:
                pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)
            except Exception:
                # Not a wrong answer of the model: nothing may be judged on what is missing.
                pytest.exit(
                    f"evalkit broke down while '{system.name}' was answering; nothing was "
                    f"judged.\n{traceback.format_exc()}",
                    returncode=pytest.ExitCode.INTERNAL_ERROR,
                )
