"""`evalkit train`: make a system's adapter, or a baseline."""

from __future__ import annotations

import copy
import os
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalkit.atomic import only_one, write_text
from evalkit.cli.common import (
    AnyName,
    AsJson,
    BadRows,
    OnDevice,
    Scheme,
    console,
    print_json,
    tell,
)
from evalkit.data.sources import find_source
from evalkit.errors import UserError
from evalkit.reports.card.text import training_card
from evalkit.systems import FILE, load_system
from evalkit.toml_files import to_toml
from evalkit.training.reading import read_rows
from evalkit.training.recipe import BASELINES, Recipe, read_baseline_recipe, read_recipe
from evalkit.training.topics import load_topics

if TYPE_CHECKING:
    from rich.console import Console

    from evalkit.systems import System
    from evalkit.training.reading import RowsRead
    from evalkit.training.recipe import RowsRecipe
    from evalkit.training.run import Training

ReadRows = Callable[["RowsRecipe"], "RowsRead"]
"""A recipe -> the rows that it names."""


def train(
    name: AnyName = None,
    data: Annotated[
        str | None, typer.Option(help="Training rows, in place of the recipe's `data`.")
    ] = None,
    device: OnDevice = "auto",
    mapping: Scheme = "auto",
    on_bad_row: BadRows = "stop",
    change: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe: --set lora.r=8."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option(help="Measure one step and say what the training would be.")
    ] = False,
    resume: Annotated[
        bool | None,
        typer.Option(help="Go on with an interrupted training (the default), or start anew."),
    ] = None,
    restart: Annotated[
        bool, typer.Option(help="Forget an interrupted training; the same as --no-resume.")
    ] = False,
    out_folder: Annotated[
        Path | None,
        typer.Option("--out", help="A folder for the result, which becomes a system of its own."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a system's adapter, or a baseline, by its recipe.

    The interrupted training of an adapter goes on where it was.
    """
    system = load_system(name)
    if not system.trained_files:
        raise UserError(f"{system.name} has no adapter to train.")
    if not system.config.recipe:
        raise UserError(f"{system.folder / 'system.toml'} has no [recipe] to train by.")
    if resume and restart:
        raise UserError("--resume and --restart contradict each other.")
    recipe = changed_recipe(system, change or [])
    out = console(sys.stderr)

    def read(recipe: RowsRecipe) -> RowsRead:
        read = read_rows(
            recipe,
            system.task,
            system.folder,
            data=data,
            mapping=mapping,
            on_bad_row=on_bad_row,
        )
        for note in read.notes:
            out.print(note, markup=False)
        return read

    # Rows are found from where the recipe stands; what is trained goes elsewhere on demand.
    made = system if out_folder is None or dry_run else system_at(system, out_folder)
    if system.config.engine in BASELINES:
        if dry_run:
            raise UserError("--dry-run is for adapters; a baseline takes seconds.")
        with _alone(made):
            _train_baseline(made, recipe, read(recipe), out)
        _say_where(made, f"baseline {made.name}", as_json)
        return

    from evalkit.engines.loading import quiet_libraries

    assert isinstance(recipe, Recipe)
    quiet_libraries()
    out.print(f"{system.name}: loading torch and transformers", markup=False)
    from evalkit.training.run import plan, run_training

    training = replace(_describe(system, recipe, read), name=made.name, folder=made.folder)
    if dry_run:
        planned = plan(training, device=device, console=out)
        if as_json:
            print_json({"system": system.name, **asdict(planned)})
        else:
            tell(planned.describe())
        return
    anew = restart or resume is False
    with _alone(made):
        run_training(training, training_card, device=device, restart=anew, console=out)
    _say_where(made, f"adapter of {made.name}", as_json)


def system_at(system: System, folder: Path) -> System:
    """The same system in another folder, with a system.toml there, to be trained anew."""
    keys = system.config.model_dump(exclude={"recipe"}, exclude_defaults=True, mode="json")
    for key in ("task", "base"):
        beside = system.folder / str(keys.get(key) or "")
        if key in keys and beside.exists():
            keys[key] = str(beside.resolve())
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / FILE, to_toml({}, keys))
    return load_system(folder)


def _alone(system: System) -> AbstractContextManager[None]:
    """Keep others from training the same system; the processes of one torchrun are one."""
    if os.environ.get("RANK", "0") != "0":
        return nullcontext()
    lock = system.folder / "checkpoints" / ".training.lock"
    return only_one(lock, f"{system.name} is being trained")


def _say_where(system: System, what: str, as_json: bool) -> None:
    if as_json:
        print_json({"system": system.name, "folder": str(system.folder)})
    else:
        tell(f"The {what} is in {system.folder}")


def changed_recipe(system: System, changes: Sequence[str]) -> RowsRecipe:
    """A system's recipe with some keys set anew.

    Raises:
        UserError: it has a fault, which is that of the changes where the recipe alone has none.
    """
    engine, said = system.config.engine, system.config.recipe
    read = partial(read_baseline_recipe, engine) if engine in BASELINES else read_recipe
    table, where = changed(said, changes), str(system.folder / FILE)
    try:
        return read(table, where)
    except UserError:
        if changes:
            read(said, where)
            read(table, " ".join(f"--set {change}" for change in changes))
        raise


def changed(recipe: Mapping[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """A recipe table with some keys set anew.

    Args:
        recipe: the `[recipe]` table.
        changes: `key=value` each; a dot leads into a table, and the value is TOML (text that is
            not stands for itself).

    Raises:
        UserError: a change without `=`, or one that leads into what is not a table.
    """
    table = copy.deepcopy(dict(recipe))
    for change in changes:
        key, equals, text = change.partition("=")
        *path, last = key.strip().split(".")
        if not equals or not last:
            raise UserError(f"--set takes KEY=VALUE, such as lora.r=8, not '{change}'.")
        inner = table
        for name in path:
            inner = inner.setdefault(name, {})
            if not isinstance(inner, dict):
                raise UserError(f"--set {change}: '{name}' is not a table of the recipe.")
        try:
            inner[last] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            inner[last] = text.strip()
    return table


def _find_base(system: System) -> Path:
    assert system.source is not None
    base = system.source.locate()
    if base is None:
        raise UserError(system.source.absence(f"evalkit fetch {system.argument}"))
    return base


def _describe(system: System, recipe: Recipe, read: ReadRows) -> Training:
    from evalkit.training.keeping import read_general_rows
    from evalkit.training.run import Training
    from evalkit.weights import weights_fingerprint

    assert system.config.base is not None
    base = _find_base(system)
    rows = read(recipe)
    spaces, keep = recipe.labels, recipe.keep
    return Training(
        name=system.name,
        folder=system.folder,
        task=system.task,
        format=system.format,
        normalize=system.config.normalize,
        recipe=recipe,
        base_name=system.config.base,
        base_folder=base,
        weights_sha256=weights_fingerprint(base),
        dataset=rows.dataset,
        repeats=rows.repeats,
        dev=rows.dev,
        sources=rows.named,
        topics=load_topics(Path(find_source(spaces.topics, system.folder)))
        if spaces and spaces.topics
        else None,
        general=tuple(read_general_rows(find_source(keep.data, system.folder))) if keep else (),
    )


def _train_baseline(system: System, recipe: RowsRecipe, rows: RowsRead, out: Console) -> None:
    from evalkit.engines.embeddings import load_embeddings
    from evalkit.training.baselines import BaselineTraining, train_baseline

    embeddings = load_embeddings(_find_base(system)) if system.source else None
    training = BaselineTraining(
        name=system.name,
        file=system.trained_files[0],
        task=system.task,
        format=system.format,
        recipe=recipe,
        dataset=rows.dataset,
        repeats=rows.repeats,
        dev=rows.dev,
        base=system.config.base,
        embeddings=embeddings,
        sources=rows.named,
    )
    train_baseline(training, console=out)
