"""`evalkit report`: what people read of a run, of several, and of all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.common import AsJson, InLang, one_of, print_json, tell
from evalkit.cli.runs import RUNS
from evalkit.errors import UserError
from evalkit.gates import criteria_in_force
from evalkit.reports import writing
from evalkit.reports.compare import compare_runs
from evalkit.reports.judged import read_judged
from evalkit.runs import find_run, home_of
from evalkit.systems import shown_path

if TYPE_CHECKING:
    from evalkit.locale import Lang
    from evalkit.reports.judged import JudgedRun

    Written = tuple[str, Path]
    """What it is (`run`, `comparison`, `index`) and where it lies."""


def report(
    named: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN",
            help="Runs: folders, or (the start of) their names. The first is held against the "
            "others. None: only the index of all runs.",
        ),
    ] = None,
    runs: RUNS = Path("runs"),
    form: Annotated[writing.Form, one_of("--format", "html", "md")] = "html",
    lang: InLang = "en",
    to: Annotated[
        Path | None,
        typer.Option("--out", help="File for the report on one run, or the comparison of several."),
    ] = None,
    gates: Annotated[
        Path | None,
        typer.Option(help="Release criteria; suites/gates.toml by default, where it is."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a run's report, a comparison of several runs, and the index of all runs."""
    _check_place(to, named or [])
    criteria = criteria_in_force(gates)
    found = [read_judged(find_run(name, runs), criteria) for name in named or []]
    home = home_of([run.folder for run in found], runs)
    written = _write(found, home, form, lang, to, criteria)
    if as_json:
        content = {
            "runs": [
                {"run": run.name, "system": run.system, "verdict": run.verdict} for run in found
            ],
            "written": [{"what": what, "path": str(path)} for what, path in written],
        }
        print_json(content)
        return
    for what, path in written:
        tell(f"{what}: {shown_path(path)}")


def _check_place(to: Path | None, named: Sequence[str]) -> None:
    if to is not None and not named:
        raise UserError(
            "--out names the file for the report on one run, or for the comparison of several. "
            "The index always lies in the folder of all runs."
        )
    if to is not None and to.is_dir():
        raise UserError(f"--out {to} is a folder. Name a file in it.")


def _write(
    found: Sequence[JudgedRun],
    runs: Path,
    form: writing.Form,
    lang: Lang,
    to: Path | None,
    criteria: str | None,
) -> list[Written]:
    """Write what is asked for, and the index last, as it links to the rest."""
    several = len(found) > 1
    if several:
        compare_runs(found)  # before anything is written
    if not found and not runs.is_dir():
        raise UserError(
            f"There is no folder {runs}. `pytest suites/ --model NAME` makes runs; --runs names "
            "another folder of them."
        )
    alone = None if several else to
    written = [("run", writing.write_report(run, alone, lang, form, runs)) for run in found]
    if several:
        path = writing.write_comparison(found, runs, to, lang, form)
        written.append(("comparison", path))
    if runs.is_dir():
        written.append(("index", writing.write_index(runs, lang, criteria)))
    return written
