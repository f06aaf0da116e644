"""`evalkit predict` and `evalkit prompt`: what was judged, in use."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalkit.classifier import load, read_inputs, render_prompt
from evalkit.cli.common import (
    AnyName,
    AsJson,
    AtPrecision,
    BadRows,
    OnDevice,
    console,
    print_json,
)
from evalkit.data.questions import load_questions
from evalkit.data.tables import check_ending, write_records
from evalkit.data.writing import check_outputs, written_whole
from evalkit.errors import UserError
from evalkit.printable import printable
from evalkit.systems import load_system, missing_parts

if TYPE_CHECKING:
    from evalkit.classifier import Classification, Classifier
    from evalkit.data.loading import OnBadRow
    from evalkit.tasks import Task

_WAYS = "Give a text, --in FILE, or texts on standard input, one a line."

Inputs = Annotated[
    list[str] | None,
    typer.Option("--input", metavar="NAME=TEXT", help="One of the task's inputs; repeat it."),
]


def predict(
    name: AnyName = None,
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="[TEXT]...", help="What to classify.")
    ] = None,
    inputs: Inputs = None,
    source: Annotated[
        str | None,
        typer.Option("--in", help="Rows: .jsonl, .csv, .parquet, or - for JSON lines on stdin."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="A .jsonl, .csv or .parquet file to write.")
    ] = None,
    on_bad_row: BadRows = "stop",
    device: OnDevice = "auto",
    precision: AtPrecision = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Most rows of a batch.")] = 16,
    force: Annotated[bool, typer.Option("--force", help="Replace --out if it is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Classify texts with a system, asked and read as the gate does it.

    TEXT is classified, by the project's only system where no NAME is before it; without a
    TEXT, each line of standard input, or the rows of --in. Values, confidences and margins go to
    --out, or as JSON lines to standard output.
    """
    if name is not None and _is_text(name):
        texts, name = [name, *(texts or ())], None
    for text in (*(texts or ()), *(["".join(_pairs(inputs).values())] if inputs else ())):
        if not text.strip():
            raise UserError(f"The text to classify is empty. {_WAYS}")
    if sum((bool(texts), bool(inputs), source is not None)) > 1:
        raise UserError("Give a text, --input or --in, and only one of them.")
    if out is not None:
        check_ending(out)
        check_outputs([out], Path(source or "-"), replace=force)
    classifier = load(name, device=device, precision=precision, batch_size=batch_size)
    asked = _asked(classifier.task, texts, inputs, source, on_bad_row)
    said = classifier.predict(row["inputs"] for row in asked)
    records = [{**row, **answer.to_json()} for row, answer in zip(asked, said, strict=True)]
    if out is not None:
        _write(out, records)
    elif as_json:
        print_json(records)
    elif texts or inputs:
        _show(classifier, said)
    else:
        for record in records:
            typer.echo(json.dumps(record, ensure_ascii=False))
    _count_problems(said)


def prompt(
    name: AnyName = None,
    text: Annotated[str | None, typer.Argument(help="What would be classified.")] = None,
    inputs: Inputs = None,
    as_json: AsJson = False,
) -> None:
    """Show the whole prompt that a system reads for a text, and its tokens."""
    if name is not None and text is None and _is_text(name):
        name, text = None, name
    if (text is None) == (not inputs):
        raise UserError("Give a text, or its parts with --input NAME=TEXT.")
    system = load_system(name)
    given = read_inputs(system.task, _pairs(inputs) if text is None else text)
    shown = render_prompt(system, given)
    if as_json:
        tokens = [
            {"id": n, "text": token} for n, token in zip(shown.token_ids, shown.tokens, strict=True)
        ]
        print_json({"text": shown.text, "tokens": tokens})
        return

    sys.stdout.write("".join(f"{printable(line, len(line))}\n" for line in shown.text.split("\n")))
    if not shown.token_ids:
        lays = "\nThe base's chat template lays these messages out."
        typer.echo(
            "\nThe server lays these messages out, and knows their tokens."
            if system.config.endpoint
            else " ".join([lays, *missing_parts(system)])
        )
        return
    typer.echo(f"\n{len(shown.token_ids):,} tokens:")
    typer.echo(" ".join(map(repr, shown.tokens)))


def _is_text(given: str) -> bool:
    """Whether what is in a name's place is what is to be classified.

    A single word in ASCII letters is a name, and a slip in it is told.
    """
    if not given.strip():
        return True
    if all(c.isascii() and not c.isspace() for c in given):
        return False

    try:
        load_system(given)
    except UserError:
        return True
    return False


def _asked(
    task: Task,
    texts: Sequence[str] | None,
    inputs: Sequence[str] | None,
    source: str | None,
    on_bad_row: OnBadRow,
) -> list[dict[str, Any]]:
    """What is to be classified, as `id` and `inputs`."""
    if source is not None:
        rows, skipped = load_questions(source, task, on_bad_row=on_bad_row)
        for row in skipped:
            typer.echo(f"left out: {row.where}: {row.why}", err=True)
        return [{"id": row.id, "inputs": dict(row.inputs)} for row in rows]
    given: Sequence[Any] = [_pairs(inputs)] if inputs else (texts or _lines_of_stdin())
    return [
        {"id": f"row-{n:06d}", "inputs": read_inputs(task, one)} for n, one in enumerate(given, 1)
    ]


def _lines_of_stdin() -> list[str]:
    if sys.stdin.isatty():
        raise UserError(_WAYS)
    try:
        text = sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"standard input is not valid UTF-8 at byte {error.start + 1}.") from error
    lines = [line for raw in text.split("\n") if (line := raw.strip())]
    if not lines:
        raise UserError(f"Standard input holds no text. {_WAYS}")
    return lines


def _pairs(inputs: Sequence[str] | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for given in inputs or ():
        name, sign, text = given.partition("=")
        if not sign:
            raise UserError(f"--input {given}: write NAME=TEXT.")
        if name in found:
            raise UserError(f"--input {name} is given twice.")
        found[name] = text
    return found


def _write(out: Path, records: Sequence[dict[str, Any]]) -> None:
    with written_whole([out]) as (making,):
        write_records(making, records, ending=out.suffix)
    typer.echo(f"Written: {out} ({len(records):,} rows)", err=True)


def _show(classifier: Classifier, said: Sequence[Classification]) -> None:
    """For each text a line per field: value, confidence, and the answer's margin."""
    out = console(sys.stdout)
    fields = classifier.task.fields
    for number, one in enumerate(said):
        if number:
            out.print()
        for name, value in one.values.items():
            told = "-" if value is None else fields[name].display(value)
            sure = f"  {one.confidences[name]:.1%}" if name in one.confidences else ""
            out.print(f"{name}: {told}{sure}", markup=False, soft_wrap=True)
        if one.margin is not None:
            out.print(f"margin: {one.margin:.2f}", markup=False)
        if one.problem:
            out.print(f"problem: {one.problem}", markup=False, soft_wrap=True)


def _count_problems(said: Sequence[Classification]) -> None:
    if bad := sum(1 for one in said if one.problem):
        typer.echo(f"{bad:,} of {len(said):,} answers lack a value; `problem` says why.", err=True)
