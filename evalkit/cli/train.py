"""`evalkit train`: make a system's adapter."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from evalkit.cli.common import Name, console
from evalkit.errors import UserError


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
    out = console(sys.stderr)
    for note in dataset.notes:
        out.print(note, markup=False)

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
    run_training(training, device=device, restart=restart, console=out)  # type: ignore[arg-type]
    typer.echo(f"The adapter of {system.name} is in {system.adapter_folder}")
