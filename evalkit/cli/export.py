"""`evalkit export`: an adapter merged into its base."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.common import AsJson, Name, print_json, tell
from evalkit.errors import UserError


def export(
    name: Name,
    to: Annotated[Path, typer.Option(help="A new folder for the merged model.")],
    precision: Annotated[str, typer.Option(help="bf16 or fp32.")] = "bf16",
    as_json: AsJson = False,
) -> None:
    """Merge a system's adapter into its base, as a model of its own.

    `pytest suites/ --model FOLDER` judges what was exported.
    """
    from evalkit.systems import load_system

    if precision not in ("bf16", "fp32"):
        raise UserError(f"--precision is bf16 or fp32, not '{precision}'.")
    system = load_system(name)

    from evalkit.training.exporting import export_merged

    export_merged(system, to, precision)  # type: ignore[arg-type]
    if as_json:
        print_json({"system": system.name, "folder": str(to), "precision": precision})
        return
    tell(f"{system.name}, merged, is in {to}")
