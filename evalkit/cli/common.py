"""What the commands share."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from evalkit.errors import UserError, did_you_mean
from evalkit.locale import LANGUAGES, Lang
from evalkit.printable import legible
from evalkit.reports.strict_json import finite

if TYPE_CHECKING:
    from rich.console import Console


def shelf_names(incomplete: str) -> list[str]:
    """The systems on the shelf whose names begin so, for the shell's completion."""
    from evalkit.systems import list_systems

    try:
        return [found.name for found in list_systems() if found.name.startswith(incomplete)]
    except UserError:
        return []


SYSTEM = "A system on the shelf, or a folder with system.toml."
Name = Annotated[str, typer.Argument(help=SYSTEM, autocompletion=shelf_names)]
AnyName = Annotated[
    str | None,
    typer.Argument(help=f"{SYSTEM} The project's only one by default.", autocompletion=shelf_names),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def one_of(option: str, *choices: str, metavar: str = "TEXT", help: str = "") -> Any:
    """An option that takes one of some words; another gets one message."""
    *others, last = choices
    words = f"{', '.join(others)} or {last}"

    def read(said: str) -> str:
        if said in choices:
            return said
        raise UserError(f"{option} is {words}, not '{said}'.{did_you_mean(said, choices)}")

    return typer.Option(option, parser=read, metavar=metavar, help=help or f"{words}.")


InLang = Annotated[Lang, one_of("--lang", *LANGUAGES, metavar="LANG")]
OnDevice = Annotated[
    Literal["auto", "cpu", "cuda", "mps"], one_of("--device", "auto", "cpu", "cuda", "mps")
]
AtPrecision = Annotated[
    Literal["auto", "fp32", "bf16"], one_of("--precision", "auto", "fp32", "bf16")
]
BadRows = Annotated[
    Literal["stop", "skip"],
    one_of(
        "--on-bad-row",
        "stop",
        "skip",
        help="stop at a row that is not an example, or skip it.",
    ),
]
Scheme = Annotated[str, typer.Option(help="Label scheme of the data.")]


def console(stream: object) -> Console:
    """A console that leaves text as it is."""
    from evalkit.console import LegibleConsole

    return LegibleConsole(file=stream, highlight=False)  # type: ignore[arg-type]


def tell(text: str, *, err: bool = False) -> None:
    """Print a line or several, to standard error on demand."""
    # Not by click, which writes UTF-8 where a stream is said to be ASCII.
    (sys.stderr if err else sys.stdout).write(legible(text) + "\n")


class PytestCode(int):
    """An exit code of pytest's, to be handed on as it is."""


def print_json(content: object) -> None:
    """Print strict JSON: keys in the order given, no `NaN`, control characters escaped."""
    typer.echo(json.dumps(finite(content), indent=2, allow_nan=False))
