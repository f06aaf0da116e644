"""`evalkit show`, `diagnose`, `errors`, `runs`: what runs on disk say, in the terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.common import AsJson, BadRows, InLang, print_json, tell
from evalkit.cli.runs import RUNS, Run
from evalkit.data import load_dataset
from evalkit.data.nearest import nearest as find_nearest
from evalkit.errors import UserError
from evalkit.gates import criteria_in_force
from evalkit.reports.diagnosis import diagnose_run, diagnosis_blocks, diagnosis_to_json
from evalkit.reports.history import of_system, summaries_to_json, summarise
from evalkit.reports.judged import read_judged
from evalkit.reports.labelling import write_mistakes
from evalkit.reports.mistakes import check_field, find_mistakes, mistake_to_json
from evalkit.reports.render.terminal import to_terminal, write_shown
from evalkit.reports.run_view import errors_page, run_to_json, run_view
from evalkit.reports.sections.history import history_blocks
from evalkit.runs import find_run, read_run

if TYPE_CHECKING:
    from evalkit.data import Dataset
    from evalkit.data.loading import OnBadRow
    from evalkit.tasks import Task

Field = Annotated[str | None, typer.Option(help="One of the task's fields; all by default.")]


def show(
    run: Run,
    field: Field = None,
    runs: RUNS = Path("runs"),
    lang: InLang = "en",
    as_json: AsJson = False,
) -> None:
    """Show a run: verdict, gates, confusions, calibration, worst cases, cost, notes."""
    found = read_judged(find_run(run, runs), criteria_in_force(), keep=True)
    if field is not None:
        check_field(found.evaluation, field)
    if as_json:
        print_json(run_to_json(found, field))
        return
    write_shown(sys.stdout, run_view(found, field, lang))


def diagnose(
    run: Run,
    runs: RUNS = Path("runs"),
    lang: InLang = "en",
    as_json: AsJson = False,
) -> None:
    """Say what answers a run's failed gates: recipe keys and evidence."""
    found = diagnose_run(read_judged(find_run(run, runs)))
    if as_json:
        print_json(diagnosis_to_json(found))
        return
    write_shown(sys.stdout, to_terminal(diagnosis_blocks(found), lang))


def errors(
    run: Run,
    field: Field = None,
    said: Annotated[
        str | None,
        typer.Option(help="Only answers with this value (or unreadable, missing, out of enum)."),
    ] = None,
    right: Annotated[str | None, typer.Option(help="Only rows whose right value this is.")] = None,
    page: Annotated[int, typer.Option(min=1, help="Which page.")] = 1,
    per_page: Annotated[int, typer.Option("--limit", min=1, help="Rows on a page.")] = 20,
    data: Annotated[
        str | None,
        typer.Option(help="Training rows: shows those nearest to each error, with their labels."),
    ] = None,
    nearest: Annotated[int, typer.Option(min=1, help="How many of them for each error.")] = 2,
    mapping: Annotated[str, typer.Option(help="Label scheme of --data.")] = "auto",
    on_bad_row: BadRows = "stop",
    csv: Annotated[
        Path | None, typer.Option(help="Write them to a CSV file, with columns to correct.")
    ] = None,
    label_studio: Annotated[
        Path | None,
        typer.Option(help="Write them as Label Studio's tasks; .xml for its interface."),
    ] = None,
    argilla: Annotated[
        Path | None, typer.Option(help="Write them as records that Argilla reads.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    runs: RUNS = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Page through the rows a run got wrong, the most confident first.

    Or write them for those who label; `evalkit data relabel` brings their corrections back.
    """
    folder = find_run(run, runs)
    evaluation = read_run(folder)
    mistakes = find_mistakes(evaluation, field, said, right)
    if csv or label_studio or argilla:
        written = write_mistakes(
            mistakes,
            read_judged(folder),
            csv=csv,
            label_studio=label_studio,
            argilla=argilla,
            force=force,
        )
        if as_json:
            print_json({"wrong": len(mistakes), "written": [str(path) for path in written]})
        else:
            tell(f"Written: {', '.join(map(str, written))} ({len(mistakes):,} rows)")
        return
    pages = max(1, -(-len(mistakes) // per_page))
    if page > pages:
        raise UserError(f"--page {page}: {len(mistakes)} errors make {pages} pages.")
    known = _training_rows(data, evaluation.task, mapping, on_bad_row) if data else None
    is_read = not as_json and at_terminal()
    while True:
        shown = mistakes[(page - 1) * per_page : page * per_page]
        neighbours = []
        if known is not None:
            asked = [mistake.row.example for mistake in shown]
            neighbours = find_nearest(asked, known.examples, nearest)
        if as_json:
            entries = [mistake_to_json(mistake, evaluation) for mistake in shown]
            for entry, near in zip(entries, neighbours, strict=bool(neighbours)):
                entry["nearest"] = [
                    {
                        "id": n.example.id,
                        "similarity": n.similarity,
                        "inputs": dict(n.example.inputs),
                        "labels": dict(n.example.labels),
                    }
                    for n in near
                ]
            print_json(
                {
                    "run": folder.absolute().name,
                    "system": evaluation.system,
                    "field": field,
                    "rows": len(evaluation.rows),
                    "wrong": len(mistakes),
                    "page": page,
                    "pages": pages,
                    "per_page": per_page,
                    "errors": entries,
                }
            )
            return

        write_shown(
            sys.stdout, errors_page(evaluation, shown, len(mistakes), neighbours, field=field)
        )
        if pages > 1:
            tell(f"page {page} of {pages}" + ("" if is_read else "; --page N for others"))
        if not is_read or page == pages or not _goes_on():
            return
        page += 1


def runs(
    system: Annotated[str | None, typer.Option(help="Only runs of this system.")] = None,
    folder: RUNS = Path("runs"),
    lang: InLang = "en",
    as_json: AsJson = False,
) -> None:
    """List all runs, oldest first: verdict and headline numbers."""
    found = summarise(folder, criteria_in_force())
    if system is not None:
        found = of_system(found, system)
    if as_json:
        print_json(summaries_to_json(found))
        return
    if not found:
        tell(f"There are no runs in {folder}/. `pytest suites/ --model NAME` makes one.")
        return
    write_shown(sys.stdout, to_terminal(history_blocks(found), lang))


def _training_rows(source: str, task: Task, mapping: str, on_bad_row: OnBadRow) -> Dataset:
    dataset = load_dataset(
        source, task, on_bad_row=on_bad_row, mapping=mapping, prefer_split="train"
    )
    for note in dataset.notes:
        tell(note, err=True)
    return dataset


def at_terminal() -> bool:
    """Whether somebody is there to turn pages."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _goes_on() -> bool:
    try:
        return input("Enter for the next page, q to stop: ").strip().lower() not in ("q", "quit")
    except EOFError:
        return False
