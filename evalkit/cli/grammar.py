"""`evalkit grammar`: a task's answers as a grammar."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from evalkit.cli.common import one_of
from evalkit.formats import get_format
from evalkit.formats.grammar import gbnf, json_schema
from evalkit.tasks import load_task


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
