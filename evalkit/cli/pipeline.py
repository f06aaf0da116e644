"""`evalkit data stats | clean | remap | split | augment`: rows as found -> rows to train on."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from evalkit.cli.common import AsJson, BadRows, Scheme, print_json, tell
from evalkit.data.cleaning import clean as clean_rows
from evalkit.data.combining import combine, synthetic_links
from evalkit.data.describing import survey
from evalkit.data.overlap import check_threshold
from evalkit.data.quality import Limits
from evalkit.data.remapping import count_changes, declared_changes, read_changes
from evalkit.data.remapping import remap as remap_row
from evalkit.data.row_files import open_task_rows
from evalkit.data.rows import RowFault
from evalkit.data.splitting import read_shares, split_into_parts
from evalkit.data.writing import check_outputs, written_whole
from evalkit.errors import UserError
from evalkit.reports.data_report import (
    augment_sheet,
    clean_sheet,
    remap_sheet,
    split_sheet,
    stats_sheet,
)
from evalkit.reports.render.markdown import to_markdown
from evalkit.reports.render.terminal import to_terminal, write_shown
from evalkit.reports.sheets import draw
from evalkit.reports.view import Block, Picture, bullets

if TYPE_CHECKING:
    from evalkit.data.row_files import RowFile, TaskRows
    from evalkit.reports.sheets import Sheet

Source = Annotated[str, typer.Argument(help="A .jsonl, .ndjson or .csv file of labelled rows.")]
TaskName = Annotated[
    str | None,
    typer.Option("--task", help="The rows' task: a name or a .toml file; found by trying."),
]
Threshold = Annotated[float, typer.Option(help="Least similarity of near duplicates.")]
Seed = Annotated[int, typer.Option(help="Decides what is drawn.")]
Out = Annotated[Path | None, typer.Option(help="File to write; in the working folder, by default.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")]
Report = Annotated[
    Path | None, typer.Option(help="Write the report as Markdown too, with plots beside it.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace files that are there already.")]
Show = Annotated[int, typer.Option("--limit", min=0, help="How many rows of each kind to show.")]


@dataclass(frozen=True)
class Job:
    """Where a command's results go, as the user said."""

    source: str
    outputs: tuple[Path, ...]
    """Files of rows; none for a command that only looks."""
    report: Path | None
    dry_run: bool
    force: bool
    as_json: bool
    in_place: bool = False
    """Whether the source itself is to be written anew."""

    def __post_init__(self) -> None:
        if self.report and self.report.suffix.lower() != ".md":
            raise UserError(f"--report {self.report}: a report is Markdown; end its name in .md.")
        self.check([*self.outputs, *([self.report] if self.report else [])])

    def check(self, files: Sequence[Path]) -> None:
        """Refuse files that may not be written, before anything is done."""
        others = [path for path in files if not (self.in_place and path == Path(self.source))]
        if not self.source.startswith("hf:"):
            check_outputs(others, Path(self.source), replace=self.force or self.dry_run)

    def finish(
        self,
        sheet: Sheet,
        write: Callable[[Sequence[BinaryIO]], None] | None = None,
        notes: Iterable[str] = (),
    ) -> None:
        """Write rows (by `write`, into files opened for `outputs`) and report, whole or not at all.

        Then show what was done, and the choices made for the user.
        """
        texts = self._report_files(sheet) if self.report and not self.dry_run else {}
        files = [*(self.outputs if write and not self.dry_run else ()), *texts]
        self.check(files)
        with written_whole(files) as making, ExitStack() as stack:
            opened = [stack.enter_context(path.open("xb")) for path in making]
            for file, text in zip(opened[len(files) - len(texts) :], texts.values(), strict=True):
                file.write(text)
            if write and not self.dry_run:
                write(opened[: len(self.outputs)])
        for note in notes:
            tell(note, err=True)
        if self.as_json:
            ends = {"dry_run": self.dry_run, "written": list(map(str, files))}
            print_json(sheet.content | ends)
        else:
            self._show(sheet, files)

    def _show(self, sheet: Sheet, files: Sequence[Path]) -> None:
        write_shown(sys.stdout, to_terminal(sheet.blocks))
        if self.dry_run:
            tell("Dry run: nothing was written.")
        elif files:
            tell(f"Written: {', '.join(map(str, files))}")

    def _report_files(self, sheet: Sheet) -> dict[Path, bytes]:
        """The report's Markdown and its pictures."""
        assert self.report is not None
        blocks: list[Block] = list(sheet.blocks)
        files: dict[Path, bytes] = {}
        for chart in sheet.charts:
            drawn = draw(chart)
            if drawn is None:
                blocks += bullets(
                    [
                        "Plots are left out, as matplotlib is missing: "
                        "pip install pytest-evalkit[plots]."
                    ]
                )
                break
            plain = re.sub(r"[^\w-]+", "-", chart.name)
            name = f"{self.report.stem}-{plain}.png"
            blocks.append(Picture(chart.title, name))
            files[self.report.with_name(name)] = drawn
        text = to_markdown(blocks)
        return {self.report: text.encode("utf-8", "backslashreplace"), **files}


def clean(
    source: Source,
    out: Out = None,
    task_name: TaskName = None,
    mapping: Scheme = "auto",
    keep: Annotated[
        list[str] | None,
        typer.Option(metavar="RULE", help="A rule that is to remove nothing; may be repeated."),
    ] = None,
    min_chars: Annotated[int, typer.Option(help="Least characters of a text.")] = 2,
    max_chars: Annotated[int, typer.Option(help="Most characters of a text.")] = 2000,
    threshold: Threshold = 0.8,
    show: Show = 2,
    report: Report = None,
    dry_run: DryRun = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Remove duplicates, label conflicts and rows of low quality.

    Of duplicates the first is kept. Rows that are kept are written as they are.
    """
    check_threshold(threshold)
    job = Job(source, (out or beside(source, "clean"),), report, dry_run, force, as_json)
    rows = open_task_rows(source, "clean", task_name, mapping)
    limits = Limits(min_chars, max_chars)
    cleaned = clean_rows(rows, limits=limits, threshold=threshold, keep=keep or ())

    def write(files: Sequence[BinaryIO]) -> None:
        _write(files[0], rows, cleaned.kept.__contains__)

    job.finish(clean_sheet(cleaned, rows.task, source, limits, show), write, rows.notes)


def remap(
    source: Source,
    out: Out = None,
    task_name: Annotated[
        str | None, typer.Option("--task", help="The task that the new labels are of.")
    ] = None,
    mapping: Annotated[
        str, typer.Option(help="The labels' scheme, as the task declares it, or auto.")
    ] = "auto",
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="FIELD.OLD=NEW", help="Write NEW for OLD instead; may be repeated."
        ),
    ] = None,
    on_bad_row: BadRows = "stop",
    report: Report = None,
    dry_run: DryRun = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write labels of one scheme as those of another.

    By a mapping that the task declares (five levels to three), or value by value with --map.
    """
    if task_name is None:
        raise UserError("Name the task that the new labels are of with --task.")
    if changes and mapping != "auto":
        raise UserError("--map and --mapping contradict each other. Give one of them.")
    job = Job(source, (out or beside(source, "remapped"),), report, dry_run, force, as_json)
    rows = open_task_rows(source, "remap", task_name, "none" if changes else mapping)
    table = (
        read_changes(rows.task, changes) if changes else declared_changes(rows.task, rows.schemes)
    )
    if not table:
        why = " ".join(rows.notes) or f"Task '{rows.task.name}' declares no mapping."
        raise UserError(f"There is nothing to map. {why} Map values with --map FIELD.OLD=NEW.")
    transitions: dict[str, Any] = {}
    counts = {"rows": 0, "changed": 0, "left out": 0}

    def go(file: BinaryIO | None) -> None:
        transitions.clear()
        counts.update(dict.fromkeys(counts, 0))
        for line in rows.file.lines():
            try:
                found = remap_row(line, rows, table)
            except RowFault as fault:
                if on_bad_row == "stop":
                    raise UserError(
                        f"{line.row.where}: {fault} Mend the row, or pass --on-bad-row skip to "
                        "leave out rows like it."
                    ) from None
                counts["left out"] += 1
                continue
            counts["rows"] += 1
            counts["changed"] += found.raw != line.raw
            for name, its in count_changes([found]).items():
                transitions.setdefault(name, its.__class__()).update(its)
            if file:
                file.write(found.raw + b"\n")

    go(None)
    notes = [*rows.notes] if not changes else []
    if counts["left out"]:
        notes.append(f"{counts['left out']:,} rows are left out as bad")
    for name, its in table.items():
        was = {part for old, _ in transitions.get(name, ()) for part in (old, *old.split(", "))}
        notes += [f"{name}: no row has {old}" for old in its if old not in was]

    def write(files: Sequence[BinaryIO]) -> None:
        write_header(files[0], rows)
        go(files[0])

    n, changed = counts["rows"], counts["changed"]
    sheet = remap_sheet(transitions, rows.task, source, n, changed, counts["left out"])
    job.finish(sheet, write, notes)


def split(
    source: Source,
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[PART=SHARE]...", help="Parts, as --parts.")
    ] = None,
    parts: Annotated[
        list[str] | None,
        typer.Option(help="Parts and their shares: --parts train=0.8 dev=0.1 test=0.1"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write the parts to; SOURCE-parts by default.")
    ] = None,
    task_name: TaskName = None,
    mapping: Scheme = "auto",
    on_bad_row: BadRows = "stop",
    threshold: Threshold = 0.8,
    seed: Seed = 0,
    report: Report = None,
    dry_run: DryRun = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Split rows into parts that are alike in their labels and share no text.

    Near duplicates, and synthetic rows with those they are made of, stay together.
    """
    check_threshold(threshold)
    shares = read_shares([*(parts or ()), *(more or ())] or ["train=0.8", "dev=0.1", "test=0.1"])
    folder = out or Path(f"{Path(source).stem}-parts")
    files = tuple(folder / f"{name}{Path(source).suffix}" for name in shares)
    job = Job(source, files, report, dry_run, force, as_json)
    rows = open_task_rows(source, "split", task_name, mapping)
    read = [(line.row, example) for line, example in rows.read_examples(on_bad_row)]
    links = synthetic_links(read)
    examples = [example for _, example in read]
    if not examples:
        raise UserError(f"{source} holds no row that is an example of task '{rows.task.name}'.")
    found = split_into_parts(examples, shares, seed, threshold=threshold, linked=links)
    part_of = {row.number: found.of_row[i] for i, (row, _) in enumerate(read)}

    def write(opened: Sequence[BinaryIO]) -> None:
        for file in opened:
            write_header(file, rows)
        for line in rows.file.lines():
            if line.row.number in part_of:
                opened[part_of[line.row.number]].write(line.raw + b"\n")

    job.finish(split_sheet(found, shares, examples, rows.task, source), write, rows.notes)


def augment(
    source: Source,
    out: Out = None,
    share: Annotated[float, typer.Option(help="Wanted of rows with several values.")] = 0.3,
    most: Annotated[int, typer.Option(help="How many rows are combined at most.")] = 2,
    field: Annotated[str | None, typer.Option(help="The field, where there are several.")] = None,
    connective: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="What joins texts, as it is; may be repeated."),
    ] = None,
    task_name: TaskName = None,
    on_bad_row: BadRows = "stop",
    seed: Seed = 0,
    show: Show = 4,
    report: Report = None,
    dry_run: DryRun = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Make rows with several labels out of rows with one, to a share of all.

    All rows are written as they are, and the made ones after them, marked "synthetic". For
    tasks with a field that takes several values; split before, so that no made row tells of
    the test rows.
    """
    job = Job(source, (out or beside(source, "augmented"),), report, dry_run, force, as_json)
    rows = open_task_rows(source, "augment", task_name)
    augmented = combine(
        rows,
        share=share,
        seed=seed,
        most=most,
        field=field,
        connectives=connective or (),
        on_bad_row=on_bad_row,
    )

    def write(files: Sequence[BinaryIO]) -> None:
        for line in rows.file.lines():
            files[0].write(line.raw + b"\n")
        for made in augmented.made:
            files[0].write(made.raw + b"\n")

    job.finish(augment_sheet(augmented, rows.task, source, show), write, rows.notes)


def stats(
    source: Annotated[str, typer.Argument(help="Rows: a file, or hf:OWNER/NAME[:SPLIT].")],
    task_name: TaskName = None,
    mapping: Scheme = "auto",
    threshold: Threshold = 0.8,
    report: Report = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Say what rows are like: labels, lengths, scripts, duplicates. Changes nothing."""
    job = Job(source, (), report, dry_run=False, force=force, as_json=as_json)
    found = survey(source, task_name, mapping, threshold)
    job.finish(stats_sheet(found, source), notes=found.notes)


def beside(source: str, what: str) -> Path:
    """`rows.jsonl` -> `rows.clean.jsonl`, in the working folder: data may lie where none writes."""
    path = Path(source)
    return Path(f"{path.stem}.{what}{path.suffix}")


def write_header(file: BinaryIO, rows: TaskRows[RowFile]) -> None:
    """Write a CSV file's header."""
    if rows.file.is_csv:
        file.write(rows.file.header + b"\n")


def _write(file: BinaryIO, rows: TaskRows[RowFile], is_kept: Callable[[int], bool]) -> None:
    write_header(file, rows)
    for place, line in enumerate(rows.file.lines()):
        if is_kept(place):
            file.write(line.raw + b"\n")
