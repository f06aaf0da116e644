"""`evalkit gate`, `compare`, `parity`, `baseline`: runs on disk, without any model."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from evalkit.cli.common import AsJson, InLang, PytestCode, print_json, tell
from evalkit.errors import UserError
from evalkit.gates import criteria_in_force
from evalkit.reports.compare import (
    compare_answers,
    compare_runs,
    comparison_to_json,
    parity_to_json,
)
from evalkit.reports.judged import read_judged
from evalkit.reports.render.terminal import to_terminal, write_shown
from evalkit.reports.sections.comparison import comparison_blocks
from evalkit.reports.sections.parity import parity_blocks
from evalkit.runs import (
    BASELINES,
    VERDICTS,
    baseline_folders,
    copy_run,
    find_run,
    read_record,
    read_run,
    read_subject,
    read_verdicts,
)
from evalkit.systems import shown_path

if TYPE_CHECKING:
    from evalkit.locale import Lang

RUNS = Annotated[Path, typer.Option("--runs", help="Folder of all runs.")]
Run = Annotated[
    str, typer.Argument(help="A run's folder, (the start of) its name, or its system's.")
]

# evalkit is imported before pytest can rewrite its asserts, and has none to rewrite.
QUIET = ("-W", "ignore::pytest.PytestAssertRewriteWarning")

baseline = typer.Typer(
    help="Baselines: runs that later ones are compared with.", no_args_is_help=True
)


def gate(
    run: Run,
    suites: Annotated[Path, typer.Option(help="Folder of suites.")] = Path("suites"),
    gates: Annotated[Path | None, typer.Option(help="Release criteria.")] = None,
    gate_mode: Annotated[str, typer.Option(help="point or strict.")] = "point",
    against: Annotated[str | None, typer.Option(help="A baseline or a run.")] = None,
    data: Annotated[str | None, typer.Option(help="Rows the run has to be of.")] = None,
    runs: RUNS = Path("runs"),
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Every gate, and the rows behind it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Judge a stored run again, under the present criteria. Needs no model.

    The same as `pytest SUITES --run RUN`, with its exit codes. With --json, what pytest has to
    say goes to standard error, and the content of verdicts.json to standard output: null where
    the run was refused.
    """
    asked = {"run": run, "runs": runs, "gate-mode": gate_mode, "gates": gates}
    asked |= {"against": against, "data": data}
    arguments = [str(suites), "-v" if verbose else "-q"]
    for option, given in asked.items():
        arguments += [f"--{option}", str(given)] if given is not None else []
    if not as_json:
        sys.exit(run_pytest(arguments))
    path = find_run(run, runs) / VERDICTS
    before = path.stat().st_mtime_ns if path.exists() else None
    with contextlib.redirect_stdout(sys.stderr):
        code = run_pytest(arguments)
    # A run that was refused keeps the verdicts of another time.
    is_new = path.exists() and path.stat().st_mtime_ns != before
    print_json(read_verdicts(path.parent) if is_new else None)
    sys.exit(code)


def run_pytest(arguments: Sequence[str]) -> PytestCode:
    """Run suites in this process; the exit code is pytest's, even where it does not return it."""
    import pytest

    try:
        return PytestCode(pytest.main([*QUIET, *arguments]))
    except SystemExit as stop:  # interrupted while it was being loaded
        return PytestCode(stop.code or 0)


def compare(
    first: Run,
    second: Run,
    runs: RUNS = Path("runs"),
    show: Annotated[int, typer.Option("--limit", help="Flipped rows to show each way.")] = 5,
    gates: Annotated[
        Path | None,
        typer.Option(help="Release criteria; suites/gates.toml by default, where it is."),
    ] = None,
    lang: InLang = "en",
    as_json: AsJson = False,
) -> None:
    """Compare two runs metric by metric, by paired tests on the same rows."""
    criteria = criteria_in_force(gates)
    judged = [read_judged(find_run(name, runs), criteria) for name in (first, second)]
    found = compare_runs(judged)
    if as_json:
        print_json(comparison_to_json(found.pairings[0][1]))
        return
    write_shown(sys.stdout, to_terminal(comparison_blocks(found, show, brief=True), lang))


def parity(
    first: Run,
    second: Run,
    runs: RUNS = Path("runs"),
    show: Annotated[int, typer.Option("--limit", min=0, help="Differing rows to show.")] = 10,
    lang: InLang = "en",
    as_json: AsJson = False,
) -> None:
    """Show what changed between runs of one model: quantised, served, in bf16."""
    folders = [find_run(name, runs) for name in (first, second)]
    if as_json:
        print_json(parity_to_json(compare_answers(*map(read_run, folders))))
        return
    show_parity(folders, show, lang, sys.stdout)


def show_parity(folders: Sequence[Path], show: int, lang: Lang, stream: TextIO) -> None:
    """Print what changed between two runs, by their folders."""
    found = compare_answers(*map(read_run, folders))
    names = [
        f"{evaluation.system} ({shown_path(folder)})"
        for evaluation, folder in zip((found.first, found.other), folders, strict=True)
    ]
    write_shown(stream, to_terminal(parity_blocks(found, names, show), lang))


@baseline.command("set")
def baseline_set(
    run: Run,
    name: Annotated[str | None, typer.Option(help="Its name; the system's by default.")] = None,
    runs: RUNS = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Keep a run, so that `pytest suites/ --model NAME --against BASELINE` can find it."""
    folder = find_run(run, runs)
    name = name or read_run(folder).system
    if Path(name).name != name or name.startswith("."):
        raise UserError(f"--name {name}: a baseline's name is one folder's name.")
    kept = runs / BASELINES / name
    if kept.absolute() == folder.absolute():
        raise UserError(f"{shown_path(folder)} is that baseline already.")
    replaced = None
    if kept.exists():
        replaced = "what was not a run"
        with contextlib.suppress(UserError):
            before = read_record(kept)
            replaced = f"a run of {before.system}, {before.started}"
    copy_run(folder, kept)
    if as_json:
        print_json({"name": name, "run": str(folder), "folder": str(kept), "replaced": replaced})
        return
    tell(f"{shown_path(folder)} is kept in {shown_path(kept)}: --against {name}")
    if replaced:
        tell(f"It replaces the baseline that was there: {replaced}.")


@baseline.command("list")
def baseline_list(runs: RUNS = Path("runs"), as_json: AsJson = False) -> None:
    """List the baselines that are kept."""
    found = [
        {"name": folder.name, "system": read_subject(folder)[0]}
        for folder in baseline_folders(runs)
    ]
    if as_json:
        print_json(found)
        return
    for entry in found:
        tell(f"{entry['name']}  a run of {entry['system']}")
    if not found:
        tell("There are none. `evalkit baseline set RUN` keeps one.")
