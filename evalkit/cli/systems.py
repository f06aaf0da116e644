"""`evalkit systems`, `evalkit fetch`: the shelf and its weights."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.common import AnyName, AsJson, console, print_json, tell
from evalkit.errors import UserError
from evalkit.reports.render.terminal import to_terminal, to_text
from evalkit.reports.view import Column, table
from evalkit.systems import (
    BrokenSystem,
    System,
    adapter_notes,
    list_systems,
    load_system,
    shown_path,
)
from evalkit.weights.cache import cached_folders, damaged
from evalkit.weights.sources import Hub, damaged_in_hub

if TYPE_CHECKING:
    from collections.abc import Iterator


def systems(
    as_json: AsJson = False,
) -> None:
    """List all systems, and whether their weights and adapters are here."""
    found = list_systems()
    if as_json:
        print_json([_describe(system) for system in found])
        return
    from rich.text import Text

    rows, broken = [], []
    for system in found:
        if isinstance(system, BrokenSystem):
            broken.append(system)
            continue
        row = _describe(system)
        rows.append(
            [
                *(str(row[key]) for key in ("name", "task", "format")),
                _short_base(str(row["base"])),
                _mark(row["weights"]),
                _mark(row["adapter"]),
            ]
        )
    # On a narrow terminal the base is left out; no name is broken.
    heads = ["system", "task", "format", Column("base", is_text=True, drop=1), "weights", "adapter"]
    out = console(sys.stdout)
    shown = to_terminal(table(heads, rows, len(heads)))
    sys.stdout.write(to_text(shown, out.width, colour=out.is_terminal))
    for system in found:
        if not isinstance(system, BrokenSystem):
            for note in adapter_notes(system):
                out.print(Text(f"{system.name}: {note}", style="yellow"))
    for entry in broken:
        out.print(Text(f"{entry.name}: {entry.problem}", style="red"))


def fetch(
    name: AnyName = None,
    verify: Annotated[
        bool, typer.Option(help="Hash all weights that were fetched before, and fetch nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Download a system's base weights; with --verify, check all that are here."""
    from evalkit.weights import stderr_progress

    if verify:
        _verify(name, as_json)
        return
    system = load_system(name)
    folder = system.source.locate() if system.source else None
    if system.source and folder is None:
        with stderr_progress() as progress:
            folder = system.source.fetch(progress)
    if as_json:
        print_json({"system": system.name, "weights": str(folder) if folder else None})
    elif folder is None:
        tell(f"{system.name} needs no weights.")
    else:
        tell(f"The weights of {system.name} are here: {folder}")


def _verify(name: str | None, as_json: bool) -> None:
    """Hash every file that was fetched, and say which are not as they came."""
    if name is not None:
        raise UserError("--verify checks all that was fetched: leave the name out.")
    found = dict(_fetched())
    if as_json:
        print_json({str(folder): {"damaged": names} for folder, names in found.items()})
    for folder, names in found.items():
        tell(f"{folder}: {'CHANGED' if names else 'as it came'}", err=as_json)
    if broken := [str(folder / name) for folder, names in found.items() for name in names]:
        raise UserError(
            f"Changed since they were fetched: {', '.join(broken)}. Remove their folders and "
            "`evalkit fetch NAME` again."
        )


def _fetched() -> Iterator[tuple[Path, list[str]]]:
    """Every folder of weights that was fetched, and which of its files have changed."""
    for folder in cached_folders():
        yield folder, damaged(folder, anew=True)
    sources = {s.source for s in list_systems() if isinstance(s, System) and s.source}
    for source in sources:
        if isinstance(source, Hub) and (here := source.locate()):
            yield here, damaged_in_hub(here)


def _describe(system: System | BrokenSystem) -> dict[str, str | bool | None]:
    if isinstance(system, BrokenSystem):
        return {"name": system.name, "problem": system.problem}
    return {
        "name": system.name,
        "task": system.task.name,
        "format": system.format.name,
        "base": (system.config.base or "-").partition("#")[0],
        "weights": system.source.locate() is not None if system.source else None,
        "adapter": system.is_trained if system.trained_files else None,
        "summary": system.config.summary,
        "folder": shown_path(system.folder),
    }


def _short_base(base: str) -> str:
    """`hf:Qwen/Qwen3-0.6B` -> `Qwen3-0.6B`: without where it comes from."""
    return base.rpartition("/")[2].removeprefix("pypi:").partition("==")[0].partition("@")[0]


def _mark(here: object) -> str:
    return "-" if here is None else "here" if here else "missing"
