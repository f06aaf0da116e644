"""`evalkit schema`: what system.toml, task.toml and gates.toml may hold, for editors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalkit.data.writing import written_whole
from evalkit.errors import UserError
from evalkit.schemas import schema_text


def schema(
    kind: Annotated[str, typer.Argument(help="system, task or gates.")],
    out: Annotated[
        Path | None, typer.Option(help="A .json file to write, in place of one that is there.")
    ] = None,
) -> None:
    """Print the JSON Schema of a kind of TOML file.

    An editor reads it where the file begins with a line `#:schema PATH`, as those of `evalkit
    init` do.
    """
    text = schema_text(kind)
    if out is None:
        typer.echo(text, nl=False)
        return
    if out.suffix != ".json":
        raise UserError(f"--out {out}: a schema is JSON; end its name in .json.")
    with written_whole([out]) as (making,):
        making.write_text(text, encoding="utf-8")
