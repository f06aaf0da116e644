"""`evalkit`: the shelf, its weights and adapters, data and stored runs, from the command line.

Judging is pytest's: `pytest suites/ --model NAME`. Exit codes are pytest's too: 0 done,
1 a gate failed, 2 interrupted, 3 internal error, 4 the user can mend it.
"""

from __future__ import annotations

import sys
import traceback
import warnings
from typing import Annotated

import typer

from evalkit import __version__
from evalkit.cli.commands import LazyGroup
from evalkit.cli.common import PytestCode, tell
from evalkit.errors import UserError, fault_of_the_machine
from evalkit.printable import write_what_fits


def _print_version(asked: bool) -> None:
    if asked:
        tell(f"evalkit {__version__}")
        raise typer.Exit


def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """What every command shares; the help text is the application's own."""


_FORMER = {"to": "out", "show": "limit", "per-page": "limit"}
"""What options were called before one word was chosen for each; they are still understood."""

app = typer.Typer(
    cls=LazyGroup,
    help="A release gate for small fine-tuned language models that classify text. "
    "The gate itself is `pytest suites/ --model NAME`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"token_normalize_func": lambda name: _FORMER.get(name, name)},
)
app.callback()(options)


def main() -> None:
    """Run the command line; a mistake of the user's gets one message and exit code 4."""
    code = 0
    write_what_fits()
    if not sys.warnoptions:
        # What libraries have deprecated among themselves is nothing that a user can mend.
        warnings.simplefilter("ignore", FutureWarning)
    try:
        app()
    except UserError as error:
        tell(f"error: {error}", err=True)
        code = 4
    except KeyboardInterrupt:
        tell("interrupted", err=True)
        code = 2
    except SystemExit as stop:
        if isinstance(stop.code, PytestCode):
            code = int(stop.code)
        else:
            # Typer ends with 2 on wrong arguments, and with 1 or 130 when interrupted.
            code = {"None": 0, "0": 0, "2": 4, "1": 2, "130": 2}.get(str(stop.code), 3)
            if str(stop.code) == "130":  # without a word
                tell("interrupted", err=True)
    except Exception as error:
        fault = fault_of_the_machine(error, sys.argv[1:])
        tell(f"error: {fault}" if fault else traceback.format_exc(), err=True)
        code = 4 if fault else 3
    sys.exit(code)
