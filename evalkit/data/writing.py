"""Files of rows written whole or not at all, and never over the file they were made of."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from evalkit.errors import ELSEWHERE, UserError


def check_outputs(outputs: Sequence[Path], source: Path, *, replace: bool = False) -> None:
    """Refuse to write over the source, by whatever name, or over what is there already.

    Raises:
        UserError: an output is the source, exists already, or is named twice.
    """
    for output in outputs:
        if output.resolve() == source.resolve() or (output.exists() and output.samefile(source)):
            raise UserError(
                f"{output} is the source ({source}), which is never overwritten. Name another file."
            )
        if output.is_dir():
            raise UserError(f"{output} is a folder. Give the name of a file.")
        if os.path.lexists(output) and not replace:
            raise UserError(f"{output} is there already. Name another file, or pass --force.")
    if len({output.resolve() for output in outputs}) < len(outputs):
        raise UserError("Two of the files to be written have the same name. Give each its own.")


@contextmanager
def written_whole(outputs: Sequence[Path]) -> Iterator[list[Path]]:
    """Give a path to write to for each output, and move all into place at the end.

    What breaks off in between leaves none of them behind, and what stood there before as it was.

    Raises `UserError` where a file cannot be written.
    """
    making = [path.with_name(f".{path.name}.{os.getpid()}") for path in outputs]
    try:
        for path in outputs:
            path.parent.mkdir(parents=True, exist_ok=True)
        yield making
        for made, path in zip(making, outputs, strict=True):
            made.replace(path)
    except OSError as error:
        shown = dict(zip(map(str, making), outputs, strict=True))
        place = shown.get(str(error.filename), error.filename or ", ".join(map(str, outputs)))
        raise UserError(
            f"Nothing was written: {place}: {error.strerror or error}. {ELSEWHERE}."
        ) from error
    finally:
        for made in making:
            with suppress(OSError):
                made.unlink()
