"""`evalkit schema`, `evalkit grammar`: TOML files and answers, described for other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.common import one_of
from evalkit.data.writing import written_whole
from evalkit.errors import UserError
from evalkit.formats import get_format
from evalkit.formats.grammar import gbnf, json_schema
from evalkit.schemas import schema_text
from evalkit.tasks import load_task


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


def grammar(
    task: Annotated[str, typer.Argument(help="A built-in task, or the path of a task's .toml.")],
    answer_format: Annotated[str, typer.Option("--format", help="json, call or labels.")] = "json",
    notation: Annotated[str, one_of("--as", "gbnf", "json-schema")] = "gbnf",
) -> None:
    """Print the grammar of a task's answers, for servers that can enforce one."""
    asked = load_task(task)
    name = get_format(answer_format, asked).name
    if notation == "json-schema":
        typer.echo(json.dumps(json_schema(asked, name), indent=2, ensure_ascii=False))
    else:
        typer.echo(gbnf(asked, name), nl=False)
