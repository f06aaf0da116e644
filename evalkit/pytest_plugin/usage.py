"""Mistakes in a command line, as pytest tells them: one message, exit code 4."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import UserError, did_you_mean, fault_of_the_machine
from evalkit.printable import legible


class as_usage_errors:  # noqa: N801 (reads as a verb at its call)
    """Turn `UserError` into pytest's usage error: one message, exit code 4."""

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: Any) -> None:
        fault = str(error) if isinstance(error, UserError) else fault_of_the_machine(error)
        if fault:
            raise pytest.UsageError(legible(fault)) from error


def did_you_mean_path(given: str) -> str:
    """`` Did you mean 'suites'?`` for a path that is not there; empty where it is."""
    there, missing = Path(), ""
    for part in Path(given).parts:
        if not (there / part).exists():
            missing = part
            break
        there /= part
    if not missing or not there.is_dir():
        return ""
    known = {path.name: str(path) for path in sorted(there.iterdir())}
    return did_you_mean(missing, (), known)


def is_partial(config: pytest.Config) -> bool:
    """Whether the user chose some of the tests rather than a folder of suites."""
    option = config.option
    chosen = option.keyword or option.markexpr or option.deselect
    last = getattr(option, "lf", False) or getattr(option, "failedfirst", False)
    named = any("::" in arg or arg.endswith(".py") for arg in config.args)
    return bool(chosen or last or named)


def check_choice(config: pytest.Config) -> None:
    """Refuse a choice of tests that leaves none.

    Raises:
        UserError: `-k` or `-m` was given.
    """
    for flag, given in (("-k", config.option.keyword), ("-m", config.option.markexpr)):
        if given:
            raise UserError(
                f"No test is chosen by {flag} '{given}'. `pytest --collect-only -q` with the "
                "same suites and --model lists what there is to choose from."
            )
