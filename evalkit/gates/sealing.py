"""Criteria sealed before a system is judged: a file beside them holds them and the date."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from evalkit.atomic import write_text
from evalkit.errors import UserError
from evalkit.gates.policy import TIERS, Policy, load_policies, policies_sha256
from evalkit.locale import Note, say
from evalkit.run_record import RunRecord

_MORE_IS_STRICTER = ("min_value", "min_difference", "min_relative_difference", "min_cases")


class Seal(NamedTuple):
    """What a file of criteria was when it was sealed."""

    sha256: str
    sealed: datetime
    criteria: Mapping[str, Mapping[str, Any]] | None
    """Name -> its keys; None in a seal of an evalkit that wrote none."""


def seal_of(gates: Path) -> Path:
    """Where the seal of a criteria's file lies: `gates.toml` -> `gates.seal.json`."""
    return gates.with_suffix(".seal.json")


def seal(gates: Path) -> Path:
    """Write the criteria, their hash and the time beside them; returns the file.

    Raises:
        UserError: there are no criteria, or they are not valid.
    """
    policies = load_policies(gates)
    content = {
        "criteria_sha256": policies_sha256(policies),
        "sealed": datetime.now(UTC).isoformat(timespec="seconds"),
        "criteria": {name: policy.model_dump(mode="json") for name, policy in policies.items()},
    }
    write_text(seal_of(gates), json.dumps(content, indent=2) + "\n")
    return seal_of(gates)


def read_seal(gates: Path) -> Seal | None:
    """The seal of a criteria's file; None where there is none.

    Raises:
        UserError: it is none that evalkit wrote.
    """
    path = seal_of(gates)
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        when, criteria = datetime.fromisoformat(content["sealed"]), content.get("criteria")
        if criteria is not None:
            criteria = {name: dict(keys) for name, keys in criteria.items()}
            sealed = {name: Policy.model_validate(keys) for name, keys in criteria.items()}
            if policies_sha256(sealed) != content["criteria_sha256"]:
                raise ValueError("its criteria are not those of its hash")
        return Seal(str(content["criteria_sha256"]), when, criteria)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not a seal: `evalkit gates seal` writes it anew.") from error


def breach(gates: Path, now: Mapping[str, Policy]) -> Note | None:
    """What is looser in criteria than when a file of them was sealed; None where nothing is.

    A seal that does not say what the criteria were holds for these very ones only.
    """
    found = read_seal(gates)
    if found is None or found.sha256 == policies_sha256(now):
        return None
    when = found.sealed.isoformat(timespec="seconds")
    if found.criteria is None:
        return say("fault.criteria_of_no_seal", when=when)
    names = loosened(found.criteria, now)
    return say("fault.criteria_loosened", names=", ".join(names), when=when) if names else None


def loosened(sealed: Mapping[str, Mapping[str, Any]], now: Mapping[str, Policy]) -> list[str]:
    """The criteria that are gone, or in which a key is not plainly as strict as when sealed."""
    return [
        name
        for name, before in sealed.items()
        if name not in now
        or not all(
            _is_as_strict(key, before.get(key, Policy.model_fields[key].default), value)
            for key, value in now[name].model_dump(mode="json").items()
        )
    ]


def _is_as_strict(key: str, before: Any, now: Any) -> bool:
    if before == now or key == "why":
        return True
    if key == "tier":
        return bool(TIERS.index(now) < TIERS.index(before))
    if before is None or now is None:
        return False  # another kind of bound
    return bool(now >= before if key in _MORE_IS_STRICTER else key == "max_value" and now <= before)


def sealed_before(gates: Path, record: RunRecord) -> tuple[str | None, Note | None]:
    """Whether the criteria in a file were sealed when a system began to answer.

    Answers that were known from before a run may be older than the seal, and count as if they were.

    Returns when, in ISO 8601, and what to say of it; None and None where there is no seal, None
    and a note where the criteria are not those of the seal, or it came too late. `breach` tells
    of looser ones.
    """
    found = read_seal(gates)
    if found is None:
        return None, None
    when = found.sealed.isoformat(timespec="seconds")
    now = load_policies(gates)
    if found.sha256 != policies_sha256(now):
        is_told = breach(gates, now) is not None
        return None, None if is_told else say("note.criteria_unsealed", when=when)
    if found.sealed > record.started_at:
        return None, say("note.criteria_sealed_late", when=when)
    if record.reused_rows:
        return None, say("note.criteria_sealed_reused", when=when, n=record.reused_rows)
    return when, say("note.criteria_sealed", when=when)
