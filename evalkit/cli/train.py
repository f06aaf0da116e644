"""`evalkit train`: make a system's adapter, or a baseline."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from evalkit.cli.common import Name, console
from evalkit.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from evalkit.data import Dataset
    from evalkit.systems import System

ReadRows = Callable[[str], "Dataset"]
"""A recipe's `data` -> the rows."""


def train(
    name: Name,
    data: Annotated[
        str | None, typer.Option(help="Training rows; the recipe's `data` by default.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps; for adapters.")] = "auto",
    mapping: Annotated[str, typer.Option(help="Label scheme of the data.")] = "auto",
    on_bad_row: Annotated[str, typer.Option(help="stop or skip.")] = "stop",
    restart: Annotated[bool, typer.Option(help="Forget an interrupted training.")] = False,
) -> None:
    """Make a system's adapter, or a baseline, by its recipe.

    The interrupted training of an adapter goes on where it was.
    """
    from evalkit.systems import load_system

    if device not in ("auto", "cpu", "cuda", "mps"):
        raise UserError(f"--device is auto, cpu, cuda or mps, not '{device}'.")
    system = load_system(name)
    if not system.trained_files:
        raise UserError(f"{system.name} has no adapter to train.")
    if not system.config.recipe:
        raise UserError(f"{system.folder / 'system.toml'} has no [recipe] to train by.")
    out = console(sys.stderr)

    def read_rows(source: str) -> Dataset:
        from evalkit.data import load_dataset

        dataset = load_dataset(
            data or source,
            system.task,
            on_bad_row=on_bad_row,  # type: ignore[arg-type]
            mapping=mapping,
            prefer_split="train",
        )
        for note in dataset.notes:
            out.print(note, markup=False)
        return dataset

    engine = system.config.engine
    if engine == "tfidf" or engine == "majority":
        _train_baseline(system, engine, read_rows, out)
        typer.echo(f"The baseline {system.name} is in {system.folder}")
    else:
        _train_adapter(system, read_rows, out, device, restart)
        typer.echo(f"The adapter of {system.name} is in {system.folder}")


def _train_adapter(
    system: System, read_rows: ReadRows, out: Console, device: str, restart: bool
) -> None:
    from evalkit.training.recipe import read_recipe
    from evalkit.weights import weights_fingerprint

    recipe = read_recipe(system.config.recipe, str(system.folder / "system.toml"))
    assert system.config.base is not None
    assert system.source is not None
    base = system.source.locate()
    if base is None:
        raise UserError(system.source.absence(f"evalkit fetch {system.argument}"))
    dataset = read_rows(recipe.data)

    from evalkit.engines.loading import quiet_libraries

    quiet_libraries()
    from evalkit.training.run import Training, run_training

    training = Training(
        name=system.name,
        folder=system.folder,
        task=system.task,
        format=system.format,
        recipe=recipe,
        base_name=system.config.base,
        base_folder=base,
        weights_sha256=weights_fingerprint(base),
        dataset=dataset,
    )
    run_training(training, device=device, restart=restart, console=out)  # type: ignore[arg-type]


def _train_baseline(
    system: System, engine: Literal["tfidf", "majority"], read_rows: ReadRows, out: Console
) -> None:
    from evalkit.training.baselines import BaselineTraining, train_baseline
    from evalkit.training.recipe import read_baseline_recipe

    recipe = read_baseline_recipe(engine, system.config.recipe, str(system.folder / "system.toml"))
    training = BaselineTraining(
        name=system.name,
        file=system.trained_files[0],
        task=system.task,
        recipe=recipe,
        dataset=read_rows(recipe.data),
    )
    train_baseline(training, console=out)
