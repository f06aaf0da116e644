"""`evalkit`: the shelf, its weights and its adapters from the command line.

Judging is pytest's: `pytest suites/ --model NAME`. Exit codes are pytest's too: 0 done,
2 interrupted, 3 internal error, 4 the user can mend it.
"""

from __future__ import annotations

import json
import sys
import traceback
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from evalkit.systems import BrokenSystem, System

app = typer.Typer(
    help="A release gate for small fine-tuned language models that classify text. "
    "The gate itself is `pytest suites/ --model NAME`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
Name = Annotated[str, typer.Argument(help="A system on the shelf, or a folder with system.toml.")]


@app.command()
def systems(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the shelf: every system, and whether its weights and adapter are here."""
    from evalkit.systems import BrokenSystem, list_systems

    found = list_systems()
    if as_json:
        typer.echo(json.dumps([_describe(system) for system in found], indent=2))
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("system", "task", "format", "base", "weights", "adapter"):
        table.add_column(heading, no_wrap=heading in ("system", "task"), overflow="fold")
    broken = []
    for system in found:
        if isinstance(system, BrokenSystem):
            broken.append(system)
            continue
        row = _describe(system)
        table.add_row(
            *(Text(str(row[key])) for key in ("name", "task", "format")),
            Text(_short_base(str(row["base"]))),
            _mark(row["weights"]),
            _mark(row["adapter"]),
        )
    console = _console(sys.stdout)
    console.print(table)
    for entry in broken:
        console.print(Text(f"{entry.name}: {entry.problem}", style="red"))


@app.command()
def fetch(name: Name) -> None:
    """Bring a system's base weights here."""
    from evalkit.systems import load_system
    from evalkit.weights import stderr_progress

    system = load_system(name)
    if system.source is None:
        typer.echo(f"{system.name} needs no weights.")
        return
    folder = system.source.locate()
    if folder is None:
        with stderr_progress() as progress:
            folder = system.source.fetch(progress)
    typer.echo(f"The weights of {system.name} are here: {folder}")


@app.command()
def train(
    name: Name,
    data: Annotated[
        str | None, typer.Option(help="Training rows; the recipe's `data` by default.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    mapping: Annotated[str, typer.Option(help="Label scheme of the data.")] = "auto",
    on_bad_row: Annotated[str, typer.Option(help="stop or skip.")] = "stop",
    restart: Annotated[bool, typer.Option(help="Forget an interrupted training.")] = False,
) -> None:
    """Make a system's adapter by its recipe. An interrupted training goes on where it was."""
    from evalkit.data import load_dataset
    from evalkit.systems import load_system
    from evalkit.training.recipe import read_recipe
    from evalkit.weights import weights_fingerprint

    if device not in ("auto", "cpu", "cuda", "mps"):
        raise UserError(f"--device is auto, cpu, cuda or mps, not '{device}'.")
    system = load_system(name)
    if not system.adapter_folder or not system.config.base or not system.source:
        raise UserError(f"{system.name} has no adapter to train.")
    if not system.config.recipe:
        raise UserError(f"{system.folder / 'system.toml'} has no [recipe] to train by.")
    recipe = read_recipe(system.config.recipe, str(system.folder / "system.toml"))
    base = system.source.locate()
    if base is None:
        raise UserError(system.source.absence(f"evalkit fetch {system.argument}"))
    dataset = load_dataset(
        data or recipe.data,
        system.task,
        on_bad_row=on_bad_row,  # type: ignore[arg-type]
        mapping=mapping,
        prefer_split="train",
    )
    console = _console(sys.stderr)
    for note in dataset.notes:
        console.print(note, markup=False)

    from evalkit.engines.loading import quiet_libraries

    quiet_libraries()
    from evalkit.training.run import Training, run_training

    training = Training(
        name=system.name,
        folder=system.adapter_folder,
        task=system.task,
        format=system.format,
        recipe=recipe,
        base_name=system.config.base,
        base_folder=base,
        weights_sha256=weights_fingerprint(base),
        dataset=dataset,
    )
    run_training(training, device=device, restart=restart, console=console)  # type: ignore[arg-type]
    typer.echo(f"The adapter of {system.name} is in {system.adapter_folder}")


def main() -> None:
    """Run the command line; a mistake of the user's gets one message and exit code 4."""
    code = 0
    try:
        app()
    except UserError as error:
        typer.echo(f"error: {error}", err=True)
        code = 4
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        code = 2
    except SystemExit as stop:
        # Typer ends with 2 on wrong arguments, and with 1 or 130 when interrupted.
        code = {"None": 0, "0": 0, "2": 4, "1": 2, "130": 2}.get(str(stop.code), 3)
    except Exception:
        traceback.print_exc()
        code = 3
    sys.exit(code)


def _console(stream: object) -> Console:
    from rich.console import Console

    return Console(file=stream, highlight=False)  # type: ignore[arg-type]


def _describe(system: System | BrokenSystem) -> dict[str, str | bool | None]:
    from evalkit.systems import BrokenSystem, shown_path

    if isinstance(system, BrokenSystem):
        return {"name": system.name, "problem": system.problem}
    return {
        "name": system.name,
        "task": system.task.name,
        "format": system.format.name,
        "base": (system.config.base or "-").partition("#")[0],
        "weights": system.source.locate() is not None if system.source else None,
        "adapter": system.has_adapter_files if system.adapter_folder else None,
        "summary": system.config.summary,
        "folder": shown_path(system.folder),
    }


def _short_base(base: str) -> str:
    """`hf:Qwen/Qwen3-0.6B` -> `Qwen3-0.6B`: the table has to fit 80 columns."""
    return base.rpartition("/")[2].removeprefix("pypi:").partition("==")[0].partition("@")[0]


def _mark(here: object) -> str:
    return "-" if here is None else "here" if here else "missing"
