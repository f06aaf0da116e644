"""What the commands share."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

Name = Annotated[str, typer.Argument(help="A system on the shelf, or a folder with system.toml.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def console(stream: object) -> Console:
    """A console that leaves text as it stands."""
    from rich.console import Console

    return Console(file=stream, highlight=False)  # type: ignore[arg-type]


class PytestCode(int):
    """An exit code of pytest's, to be handed on as it is."""


def print_json(content: object) -> None:
    """Print strict JSON: keys in the order given, no `NaN`, control characters escaped."""
    typer.echo(json.dumps(_strict(content), indent=2, allow_nan=False))


def _strict(content: object) -> object:
    """The same with null for numbers that JSON does not have."""
    if isinstance(content, float) and not math.isfinite(content):
        return None
    if isinstance(content, Mapping):
        return {key: _strict(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_strict(value) for value in content]
    return content
