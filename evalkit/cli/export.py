"""`evalkit export`: an adapter merged into its base, as safetensors or as GGUF."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TextIO

import typer

from evalkit.cli.common import AnyName, AsJson, console, one_of, print_json, tell
from evalkit.cli.runs import run_pytest, show_parity
from evalkit.data import load_dataset
from evalkit.engines.building import EngineOptions
from evalkit.engines.llamacpp import check_installed
from evalkit.errors import UserError
from evalkit.exports.merged import export_merged
from evalkit.runs import read_record, run_folders
from evalkit.runs.runner import Runner
from evalkit.runs.same_system import changed_since
from evalkit.systems import load_system

if TYPE_CHECKING:
    from evalkit.run_record import RunRecord
    from evalkit.systems import System


def export(
    name: AnyName = None,
    to: Annotated[
        Path | None, typer.Option("--out", help="A new folder; exports/NAME or exports/NAME-TYPE.")
    ] = None,
    precision: Annotated[
        Literal["bf16", "fp32"],
        one_of("--precision", "bf16", "fp32", help="Of safetensors: bf16 or fp32."),
    ] = "bf16",
    gguf: Annotated[
        Literal["F16", "Q8_0", "Q4_K_M"] | None,
        one_of("--gguf", "F16", "Q8_0", "Q4_K_M", metavar="TYPE", help="Write GGUF of this type."),
    ] = None,
    judge: Annotated[
        bool, typer.Option("--judge", help="Judge the GGUF file itself, in llama.cpp.")
    ] = False,
    suites: Annotated[Path, typer.Option(help="With --judge: folder of suites.")] = Path("suites"),
    data: Annotated[str | None, typer.Option(help="With --judge: rows to judge on.")] = None,
    runs: Annotated[Path, typer.Option(help="With --judge: folder of all runs.")] = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Merge a system's adapter into its base, as a model of its own.

    `pytest suites/ --model FOLDER` judges what was exported; --judge does so at once, with the
    gate's exit codes, and says which answers the export changed.
    """
    if judge and gguf is None:
        raise UserError("--judge is for GGUF files; of a folder: pytest suites/ --model FOLDER.")
    system = load_system(name)
    folder = to or Path("exports") / (f"{system.name}-{gguf}" if gguf else system.name)
    done: dict[str, Any] = {"system": system.name, "folder": str(folder)}
    if gguf is None:
        export_merged(system, folder, precision)
        done["precision"] = precision
    else:
        if judge:
            _check_judging(system, suites, data)
        from evalkit.exports.gguf_folder import export_gguf

        done["file"] = export_gguf(system, folder, gguf).name
    if as_json:
        print_json(done)
    else:
        tell(f"{system.name}, merged, is in {folder}")
    if judge:
        _judge(system, folder, suites, data, runs, sys.stderr if as_json else sys.stdout)


def _check_judging(system: System, suites: Path, data: str | None) -> None:
    """What would end the gate before it asks anything should not wait for the export."""
    check_installed()
    if not suites.exists():
        raise UserError(f"There is no {suites}. --suites names the folder of the suites.")
    if data is not None:
        load_dataset(data, system.task)


def _judge(
    system: System, folder: Path, suites: Path, data: str | None, runs: Path, out: TextIO
) -> None:
    """Run the gate on an export, show what it changed, and exit as pytest does."""
    arguments = [str(suites), "-q", "--model", str(folder.absolute()), "--runs", str(runs)]
    with contextlib.redirect_stdout(out):
        code = run_pytest([*arguments, *(["--data", data] if data else [])])
        if code in (0, 1):  # it was judged
            _show_parity(system, folder, runs, out)
    sys.exit(code)


def _show_parity(system: System, folder: Path, runs: Path, out: TextIO) -> None:
    name = folder.absolute().name
    exported = _newest_run(runs, lambda record: record.system == name)
    assert exported is not None
    data = read_record(exported).data
    # The run that was judged stays the newest, if there is one.
    run = _newest_run(
        runs, lambda record: record.data.sha256 == data.sha256 and _is_of(record, system)
    )
    if run is None:
        runner = Runner(runs, EngineOptions(), console(sys.stderr))
        _, run = runner.evaluate(system, load_dataset(data.source, system.task))
    show_parity([run, exported], 5, "en", out)


def _newest_run(runs: Path, fits: Callable[[RunRecord], bool]) -> Path | None:
    """The newest run whose record fits; one that cannot be read does not."""
    for run in reversed(run_folders(runs)):
        with contextlib.suppress(UserError):
            if fits(read_record(run)):
                return run
    return None


def _is_of(record: RunRecord, system: System) -> bool:
    """Whether a system, as it is now, gave a run's answers in its own way of decoding."""
    return (
        record.system == system.name
        and record.engine.get("decoding") == system.config.decoding
        and not record.unanswered
        and not changed_since(system, record)
    )
