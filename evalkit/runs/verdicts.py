"""What the gates said of a run, beside the run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evalkit.atomic import write_text
from evalkit.errors import EvidenceError
from evalkit.locale import revived, say, sentences
from evalkit.runs.disk import RECORD, hash_content, pretty, read_json, read_parts_sha256

VERDICTS = "verdicts.json"
_HASH = "verdicts_sha256"


def write_verdicts(folder: Path, verdicts: Mapping[str, Any]) -> None:
    """Put the verdicts beside the run they judge, atomically."""
    content = {
        **verdicts,
        "record_sha256": _record(folder).get("record_sha256"),
        "asked_sha256": read_parts_sha256(folder),
        "sentences": sentences(verdicts),
    }
    content[_HASH] = hash_content(content, _HASH)
    write_text(folder / VERDICTS, pretty(content))


def read_verdicts(folder: Path, criteria_sha256: str | None = None) -> dict[str, Any] | None:
    """What gates last said of a run; None where it was not judged.

    Args:
        folder: the run's.
        criteria_sha256: of the criteria that hold now (`policies_sha256`), if they matter.

    Raises:
        EvidenceError: they were changed, or are verdicts on other evidence than what is there,
            or under other criteria.
    """
    try:
        content = read_json(folder / VERDICTS)
        record = _record(folder)
        written = content.get(_HASH)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError) as error:
        why = say("fault.verdicts_unreadable", path=str(folder / VERDICTS), error=str(error))
        raise EvidenceError(why) from error
    path = str(folder / VERDICTS)
    if written is None:
        raise EvidenceError(say("fault.verdicts_without_hash", path=path))
    if written != hash_content(content, _HASH):
        raise EvidenceError(say("fault.verdicts_changed", path=path))
    if content.get("predictions_sha256") != record.get("predictions_sha256"):
        raise EvidenceError(say("fault.verdicts_of_others", path=path))
    if content.get("record_sha256") != record.get("record_sha256"):
        raise EvidenceError(say("fault.verdicts_of_other_record", path=path))
    if content.get("asked_sha256") != read_parts_sha256(folder):
        raise EvidenceError(say("fault.verdicts_of_other_parts", path=path, folder=str(folder)))
    if criteria_sha256 not in (None, content.get("criteria_sha256")):
        raise EvidenceError(say("fault.verdicts_of_other_criteria", path=path))
    verdicts: dict[str, Any] = revived(content, content.get("sentences") or {})
    return verdicts


def _record(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = read_json(folder / RECORD)
    return record
