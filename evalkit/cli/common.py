"""What the commands share."""

from __future__ import annotations

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
