"""`evalkit data errors | relabel`: labels that are likely wrong, and those that were corrected."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from evalkit.cli.common import AsJson, Scheme
from evalkit.cli.pipeline import (
    DryRun,
    Force,
    Job,
    Out,
    Report,
    Show,
    TaskName,
    beside,
    write_header,
)
from evalkit.cli.runs import RUNS
from evalkit.data.corrections import read_corrections
from evalkit.data.describing import read_any
from evalkit.data.relabelling import relabel as relabel_rows
from evalkit.data.row_files import open_task_rows
from evalkit.errors import UserError
from evalkit.reports.judged import read_judged
from evalkit.reports.relabelling import (
    effect_of,
    label_errors_sheet,
    relabel_sheet,
)
from evalkit.runs import find_run
from evalkit.training.label_errors import find_label_errors

if TYPE_CHECKING:
    from evalkit.data.relabelling import Relabelled
    from evalkit.reports.judged import JudgedRun


def errors(
    source: Annotated[str, typer.Argument(help="Rows: a file, or hf:OWNER/NAME[:SPLIT].")],
    task_name: TaskName = None,
    mapping: Scheme = "auto",
    show: Show = 20,
    report: Report = None,
    runs: RUNS = Path("runs"),
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """List labels that are likely wrong, by what the other rows make of them. Changes nothing.

    Confident learning (cleanlab) on TF-IDF and rows held out. A list to read, not to believe.
    """
    _refuse_run(source, runs)
    job = Job(source, (), report, dry_run=False, force=force, as_json=as_json)
    rows = read_any(source, task_name, mapping)
    examples = [example for _, example in rows.read_examples("skip")]
    found = find_label_errors(rows.task, examples)
    sheet = label_errors_sheet(found, rows.task, source, len(examples), show)
    job.finish(sheet, notes=rows.notes)


def _refuse_run(source: str, runs: Path) -> None:
    """Of a run its wrong answers are wanted, which another command lists."""
    if Path(source).is_file():
        return
    try:
        run = find_run(source, runs)
    except UserError:
        return
    raise UserError(
        f"{source} is a run, and these are labels of rows. Its wrong answers: "
        f"`evalkit errors {run.name}`."
    )


def relabel(
    corrections: Annotated[
        str,
        typer.Argument(help="A corrected CSV file, Label Studio's JSON export, Argilla's records."),
    ],
    source: Annotated[
        str | None,
        typer.Option("--rows", help="The rows to correct; by default those of the run."),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(help="The run to judge again; by default the one the file was made of."),
    ] = None,
    out: Out = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Write the corrected rows over the old ones.")
    ] = False,
    log: Annotated[
        Path | None, typer.Option(help="Where the changes are added, a line of JSON each.")
    ] = None,
    task_name: TaskName = None,
    mapping: Scheme = "auto",
    show: Show = 20,
    report: Report = None,
    runs: RUNS = Path("runs"),
    dry_run: DryRun = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Put corrected labels into rows, log who changed what, and say what it does to the figures.

    What `evalkit errors --csv | --label-studio | --argilla` wrote comes back so. Nothing is asked
    again: a run's stored answers are held against the corrected labels.
    """
    if in_place and out is not None:
        raise UserError("--out and --in-place contradict each other. Give one of them.")
    read = read_corrections(corrections)
    judged = _find_run(run or read.run, runs, is_named=run is not None)
    source = source or (judged.evaluation.record.data.source if judged else None)
    if source is None:
        raise UserError("Which rows are to be corrected? Name them with --rows FILE.")
    log = log or Path(f"{Path(source).stem}.changes.jsonl")
    rows_file = Path(source) if in_place else out or beside(source, "relabelled")
    job = Job(source, (rows_file,), report, dry_run, force, as_json, in_place=in_place)
    task = task_name or (judged.evaluation.task if judged else None)
    rows = open_task_rows(source, "relabel", task, mapping)
    relabelled = relabel_rows(rows, read.given)
    effect = effect_of(relabelled, judged) if judged else None

    def write(files: Sequence[BinaryIO]) -> None:
        write_header(files[0], rows)
        for line in rows.file.lines():
            files[0].write(relabelled.lines.get(line.row.number, line.raw) + b"\n")
        with log.open("a", encoding="utf-8") as file:
            file.writelines(_log_lines(relabelled, corrections, str(rows_file)))

    sheet = relabel_sheet(relabelled, rows.task, source, effect, show)
    job.finish(sheet, write if relabelled.changes else None, rows.notes)


def _find_run(name: str, runs: Path, *, is_named: bool) -> JudgedRun | None:
    """The run, if one is named and there; what a file names may be gone."""
    if not name:
        return None
    try:
        return read_judged(find_run(name, runs))
    except UserError:
        if is_named:
            raise
        return None


def _log_lines(relabelled: Relabelled, corrections: str, rows: str) -> Iterator[str]:
    of = {
        "corrections": corrections,
        "rows": rows,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return (f"{json.dumps(asdict(change) | of)}\n" for change in relabelled.changes)
