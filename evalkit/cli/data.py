"""`evalkit data`: rows made ready (`cli/pipeline.py`), and rows that repeat each other."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from evalkit.cli.common import AsJson, BadRows, Name, Scheme, print_json, tell
from evalkit.cli.labels import errors, relabel
from evalkit.cli.pipeline import (
    DryRun,
    Force,
    Job,
    Out,
    Show,
    TaskName,
    Threshold,
    augment,
    beside,
    clean,
    remap,
    split,
    stats,
    write_header,
)
from evalkit.data import Fingerprints, find_overlap, load_dataset
from evalkit.data.any_task import load_both_by_any_task, load_by_any_task
from evalkit.data.fingerprints import FILE
from evalkit.data.overlap import check_threshold
from evalkit.data.row_files import open_task_rows
from evalkit.data.writing import check_outputs
from evalkit.errors import UserError
from evalkit.reports.overlap import (
    OverlapReport,
    overlap_report,
    overlap_to_json,
    without_sheet,
)
from evalkit.reports.render.terminal import write_shown
from evalkit.run_record import Provenance
from evalkit.systems import load_system, shown_path
from evalkit.tasks import load_task
from evalkit.training.reading import read_rows
from evalkit.training.recipe import RowsRecipe
from evalkit.training.rows import prepare_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalkit.data import Dataset
    from evalkit.records import Example
    from evalkit.tasks import Task
    from evalkit.training.reading import RowsRead

data = typer.Typer(
    help="Clean, remap, split and augment rows; find duplicates, overlap, fingerprints.",
    no_args_is_help=True,
)
for command in (stats, errors, clean, remap, relabel, split, augment):
    data.command()(command)


@data.command()
def overlap(
    train: Annotated[str, typer.Argument(help="Rows, such as those a system was trained on.")],
    test: Annotated[str | None, typer.Argument(help="Rows to look for among them.")] = None,
    task_name: Annotated[
        str | None, typer.Option("--task", help="The rows' task; found by trying, by default.")
    ] = None,
    mapping: Scheme = "auto",
    on_bad_row: BadRows = "stop",
    threshold: Annotated[float, typer.Option(help="Least similarity of near duplicates.")] = 0.8,
    show: Annotated[
        int, typer.Option("--limit", help="How many duplicates of each kind to show.")
    ] = 2,
    as_json: AsJson = False,
) -> None:
    """Count rows that repeat each other: in one set, or in TEST and TRAIN.

    They repeat exactly, after normalisation (case, digits, punctuation, white space, look-alike
    letters), or nearly (most of their three-character pieces are the same; or all but a word or an
    input, in TEST and TRAIN). --json names the twin of every row.
    """
    check_threshold(threshold)
    task, known, asked = _load(train, test, task_name, mapping, on_bad_row)
    for note in (*known.notes, *(asked.notes if asked else ())):
        tell(note, err=True)
    found = find_overlap(known.examples, asked.examples if asked else (), threshold=threshold)
    report = OverlapReport(task, threshold, known, asked, found)
    if as_json:
        print_json(overlap_to_json(report))
        return
    write_shown(sys.stdout, overlap_report(report, show))


@data.command()
def without(
    train: Annotated[str, typer.Argument(help="A file of rows, from which twins are taken out.")],
    test: Annotated[str, typer.Argument(help="Rows whose twins they are: a file, or hf:...")],
    out: Out = None,
    task_name: TaskName = None,
    mapping: Scheme = "auto",
    on_bad_row: BadRows = "stop",
    threshold: Threshold = 0.8,
    show: Show = 2,
    dry_run: DryRun = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Take out of TRAIN the rows that repeat one of TEST, as `overlap` finds them.

    Rows that are kept are written as they are. The other way round, TEST is rid of what was
    trained on.
    """
    check_threshold(threshold)
    job = Job(train, (out or beside(train, "without"),), None, dry_run, force, as_json)
    if not test.startswith("hf:"):
        check_outputs(job.outputs, Path(test), replace=force or dry_run)
    rows = open_task_rows(train, "without", task_name, mapping)
    read = list(rows.read_examples(on_bad_row))
    asked = load_dataset(test, rows.task, on_bad_row=on_bad_row, mapping=mapping)
    examples = [example for _, example in read]
    matches = find_overlap(asked.examples, examples, threshold=threshold).matches
    twins = [
        (example, asked.examples[match.position], match)
        for example, match in zip(examples, matches, strict=True)
        if match and match.position is not None
    ]
    kept = {
        line.row.number for (line, _), match in zip(read, matches, strict=True) if match is None
    }

    def write(files: Sequence[BinaryIO]) -> None:
        write_header(files[0], rows)
        for line in rows.file.lines():
            if line.row.number in kept:
                files[0].write(line.raw + b"\n")

    job.finish(without_sheet(twins, len(examples), train, test, show), write, rows.notes)


@data.command()
def fingerprint(
    name: Name,
    source: Annotated[
        str | None,
        typer.Option("--data", help="The rows it was trained on; the recipe's by default."),
    ] = None,
    mapping: Scheme = "auto",
    on_bad_row: BadRows = "stop",
    as_json: AsJson = False,
) -> None:
    """Write the fingerprints of a trained system's training rows beside it.

    Training does so itself; this is for what was trained before, or elsewhere. A provenance.json
    says which rows it has to be; without one, all rows of --data are taken at your word.
    """
    system = load_system(name)
    path = system.folder / "provenance.json"
    known = _read_provenance(path, system.name) if path.is_file() or source is None else None
    # Without a provenance there is a source.
    recipe = known[1] if known else RowsRecipe(data=source)
    read = read_rows(
        recipe, system.task, system.folder, data=source, mapping=mapping, on_bad_row=on_bad_row
    )
    dataset = read.dataset
    rows: Sequence[Example] = dataset.examples
    if known is not None:
        rows = _trained_rows(system.name, read, *known, shown_path(path))
    file = system.folder / FILE
    Fingerprints.of(rows, data_sha256=dataset.sha256).save(file)
    size = file.stat().st_size
    if as_json:
        content = {"system": system.name, "file": str(file), "rows": len(rows), "bytes": size}
        print_json(content | {"at_your_word": known is None})
        return
    said = "" if known else f"; that {system.name} was trained on them is taken at your word"
    tell(f"{shown_path(file)}: {len(rows):,} rows, {size / 1e6:.1f} MB{said}")


def _trained_rows(
    system: str, read: RowsRead, provenance: Provenance, recipe: RowsRecipe, path: str
) -> Sequence[Example]:
    """The rows that a provenance.json speaks of.

    Raises:
        UserError: the data set holds others.
    """
    dataset = read.dataset
    if dataset.sha256 != provenance.data_sha256:
        raise UserError(
            f"{dataset.source} is not what {system} was trained on: the SHA-256 of its rows "
            f"is {dataset.sha256}, and {path} says {provenance.data_sha256}. Give "
            "that data, with the --mapping and --on-bad-row of the training."
        )
    rows = prepare_rows(dataset, recipe, dev=read.dev)
    counts = rows.counts()
    if any(counts[key] != provenance.rows.get(key) for key in ("trained_on", "dev_sha256")):
        raise UserError(
            f"{system} was trained on other rows of {dataset.source} than this version of "
            "evalkit would choose. Train it again, or use the version that trained it."
        )
    return rows.train


def _read_provenance(path: Path, system: str) -> tuple[Provenance, RowsRecipe]:
    if not path.is_file():
        raise UserError(
            f"{system} has no {path.name}, so what it was trained on is not known. "
            f"`evalkit train {system}` writes one; or name the rows: --data PATH."
        )
    provenance = Provenance.read(path.parent)
    recipe = None
    if provenance is not None and provenance.data_sha256:
        keys = {*RowsRecipe.model_fields} & {*provenance.recipe}
        with contextlib.suppress(ValueError):
            recipe = RowsRecipe.model_validate({key: provenance.recipe[key] for key in keys})
    if provenance is None or recipe is None:
        raise UserError(
            f"{shown_path(path)} does not say what was trained on. `evalkit train {system}` "
            "writes it anew."
        )
    return provenance, recipe


def _load(
    train: str, test: str | None, task_name: str | None, mapping: str, on_bad_row: str
) -> tuple[Task, Dataset, Dataset | None]:
    """Read one source, or two on one scale."""
    options: dict[str, Any] = {"mapping": mapping, "on_bad_row": on_bad_row}
    if task_name is None:
        if test:
            return load_both_by_any_task(train, test, **options)
        return (*load_by_any_task(train, **options, prefer_split="train"), None)
    task = load_task(task_name)
    known = load_dataset(train, task, **options, prefer_split="train")
    return task, known, load_dataset(test, task, **options) if test else None
