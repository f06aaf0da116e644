"""`evalkit systems`, `evalkit fetch`: the shelf and its weights."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from evalkit.cli.common import AsJson, Name, console, print_json

if TYPE_CHECKING:
    from evalkit.systems import BrokenSystem, System


def systems(
    as_json: AsJson = False,
) -> None:
    """List the shelf: every system, and whether its weights and adapter are here."""
    from evalkit.systems import BrokenSystem, adapter_notes, list_systems

    found = list_systems()
    if as_json:
        print_json([_describe(system) for system in found])
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in ("system", "task", "format", "base", "weights", "adapter"):
        # On a narrow terminal only the base's name is cut to pieces.
        table.add_column(heading, no_wrap=heading != "base", overflow="fold")
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
    out = console(sys.stdout)
    out.print(table)
    for system in found:
        if not isinstance(system, BrokenSystem):
            for note in adapter_notes(system):
                out.print(Text(f"{system.name}: {note}", style="yellow"))
    for entry in broken:
        out.print(Text(f"{entry.name}: {entry.problem}", style="red"))


def fetch(name: Name, as_json: AsJson = False) -> None:
    """Bring a system's base weights here."""
    from evalkit.systems import load_system
    from evalkit.weights import stderr_progress

    system = load_system(name)
    folder = system.source.locate() if system.source else None
    if system.source and folder is None:
        with stderr_progress() as progress:
            folder = system.source.fetch(progress)
    if as_json:
        print_json({"system": system.name, "weights": str(folder) if folder else None})
    elif folder is None:
        typer.echo(f"{system.name} needs no weights.")
    else:
        typer.echo(f"The weights of {system.name} are here: {folder}")


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
        "adapter": system.is_trained if system.trained_files else None,
        "summary": system.config.summary,
        "folder": shown_path(system.folder),
    }


def _short_base(base: str) -> str:
    """`hf:Qwen/Qwen3-0.6B` -> `Qwen3-0.6B`: the table has to fit 80 columns."""
    return base.rpartition("/")[2].removeprefix("pypi:").partition("==")[0].partition("@")[0]


def _mark(here: object) -> str:
    return "-" if here is None else "here" if here else "missing"
