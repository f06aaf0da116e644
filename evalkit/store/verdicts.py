"""What the gates said of a run, beside the run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evalkit.errors import EvidenceError
from evalkit.store.runs import RECORD, pretty, read_parts_sha256

VERDICTS = "verdicts.json"
_AGAIN = "`evalkit gate` judges the run again."


def write_verdicts(folder: Path, verdicts: Mapping[str, Any]) -> None:
    """Put the verdicts beside the run they judge, atomically."""
    making = folder / f".{VERDICTS}.{os.getpid()}"
    content = {**verdicts, "asked_sha256": read_parts_sha256(folder)}
    making.write_text(pretty(content), encoding="utf-8")
    making.replace(folder / VERDICTS)


def read_verdicts(folder: Path, criteria_sha256: str | None = None) -> dict[str, Any] | None:
    """What gates last said of a run; None where it was not judged.

    Args:
        folder: the run's.
        criteria_sha256: of the criteria that hold now (`policies_sha256`), if they matter.

    Raises:
        EvidenceError: they are verdicts on other predictions than those that are there, or
            under other criteria.
    """
    try:
        content = json.loads((folder / VERDICTS).read_text(encoding="utf-8"))
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise EvidenceError(f"{folder / VERDICTS} cannot be read: {error}") from error
    if content.get("predictions_sha256") != record.get("predictions_sha256"):
        raise EvidenceError(f"{folder / VERDICTS} is of other predictions. {_AGAIN}")
    if content.get("asked_sha256") != read_parts_sha256(folder):
        raise EvidenceError(f"{folder / VERDICTS} is of other answers to {folder}/asked. {_AGAIN}")
    if criteria_sha256 not in (None, content.get("criteria_sha256")):
        raise EvidenceError(f"{folder / VERDICTS} was judged under other criteria. {_AGAIN}")
    verdicts: dict[str, Any] = content
    return verdicts
