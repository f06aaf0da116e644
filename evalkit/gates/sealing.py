"""Criteria sealed before a system is judged: their hash and the date, in a file beside them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evalkit.atomic import write_text
from evalkit.errors import UserError
from evalkit.gates.policy import load_policies, policies_sha256
from evalkit.locale import Note, say
from evalkit.run_record import RunRecord


def seal_of(gates: Path) -> Path:
    """Where the seal of a criteria's file lies: `gates.toml` -> `gates.seal.json`."""
    return gates.with_suffix(".seal.json")


def seal(gates: Path) -> Path:
    """Write the hash of the criteria and the time beside them; returns the file.

    Raises:
        UserError: there are no criteria, or they are not valid.
    """
    content = {
        "criteria_sha256": policies_sha256(load_policies(gates)),
        "sealed": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_text(seal_of(gates), json.dumps(content, indent=2) + "\n")
    return seal_of(gates)


def read_seal(gates: Path) -> tuple[str, datetime] | None:
    """The hash and the time of a seal; None where there is none.

    Raises:
        UserError: it is none that evalkit wrote.
    """
    path = seal_of(gates)
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return str(content["criteria_sha256"]), datetime.fromisoformat(content["sealed"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no seal: `evalkit gates seal` writes it anew.") from error


def sealed_before(gates: Path, record: RunRecord) -> tuple[str | None, Note | None]:
    """Whether the criteria in a file were sealed when a system began to answer.

    Answers that were known from before a run may be older than the seal, and count as if they were.

    Returns when, in ISO 8601, and what to say of it; None and None where there is no seal, None
    and a note where the criteria are not those of the seal, or it came too late.
    """
    found = read_seal(gates)
    if found is None:
        return None, None
    sha256, sealed = found
    when = sealed.isoformat(timespec="seconds")
    if sha256 != policies_sha256(load_policies(gates)):
        return None, say("note.criteria_unsealed", when=when)
    if sealed > record.started_at:
        return None, say("note.criteria_sealed_late", when=when)
    if record.reused_rows:
        return None, say("note.criteria_sealed_reused", when=when, n=record.reused_rows)
    return when, say("note.criteria_sealed", when=when)
