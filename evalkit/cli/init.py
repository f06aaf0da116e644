"""`evalkit init`: the skeleton of a task of one's own."""

from __future__ import annotations

import shutil
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer

from evalkit.atomic import write_text
from evalkit.cli.common import tell
from evalkit.errors import UserError
from evalkit.schemas import SCHEMAS, schema_text

IGNORED = """\
# The private key of `evalkit attest`: whoever has it signs in your name.
*.key
runs/*
!runs/baselines/
adapters/*/checkpoints/
__pycache__/
"""
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")]


def init(folder: Folder) -> None:
    """Write a task of your own to start from: rows, two systems, suites and criteria."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file. Name a new folder.")
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty. Name a new folder, so that nothing is lost.")
    ignored = shutil.ignore_patterns("__pycache__", ".*")
    try:
        with as_file(files("evalkit") / "skeleton") as skeleton:
            # Not the files' modes: an installed package may be read-only.
            shutil.copytree(
                skeleton,
                folder,
                ignore=ignored,
                copy_function=shutil.copyfile,
                dirs_exist_ok=True,
            )
        _write_schemas(folder / "schemas")
        write_text(folder / ".gitignore", IGNORED)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror or error}.") from error
    tell(f"{folder}/ is ready. Next, as its README.md says:")
    for line in (
        f"cd {folder}",
        "evalkit fetch demo",
        "evalkit train tfidf-demo",
        "evalkit train demo",
        "pytest suites/ --model demo",
    ):
        tell(f"  {line}")


def _write_schemas(folder: Path) -> None:
    """What an editor knows the TOML files by: each begins with a line that names its schema."""
    folder.mkdir()
    for kind in SCHEMAS:
        (folder / f"{kind}.json").write_text(schema_text(kind), encoding="utf-8")
