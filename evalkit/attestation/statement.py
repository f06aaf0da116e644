"""What is attested of a system and a judged run: an in-toto statement of its test result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit import __version__
from evalkit.attestation.envelope import UntrustedError
from evalkit.errors import UserError
from evalkit.run_record import RunRecord
from evalkit.runs import RECORD, VERDICTS, read_run, read_verdicts
from evalkit.runs.same_system import changed_since
from evalkit.systems import System, missing_parts, shown_path
from evalkit.weights import weights_fingerprint
from evalkit.weights.cache import hash_file

STATEMENT = "https://in-toto.io/Statement/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
FILE = "attestation.json"
BASE = "base weights"
"""Name of the subject that stands for weights outside of the system's folder."""
CRITERIA = "criteria"
_NO_PART = (".md", ".png", ".html")
"""Files beside a system that decide no answer: cards, plots, reports."""


def is_judged(run: Path) -> bool:
    """Whether a whole session judged a run, as far as its verdicts can be read."""
    try:
        verdicts = read_verdicts(run)
    except UserError:
        return False
    return verdicts is not None and not verdicts["partial"]


def build_statement(
    system: System, run: Path, criteria_sha256: str | None = None
) -> dict[str, Any]:
    """State what the gate said of a run, and of which files.

    Args:
        system: whose run it is; its files have to be those that answered.
        run: the run's folder.
        criteria_sha256: of the criteria that hold now, which have to be those it was judged by.

    Raises:
        UserError: the run was not judged, or as a part only, or the system has changed since.
        EvidenceError: run or verdicts are not as they were written, or of other criteria.
    """
    shown = shown_path(run)
    again = f"`evalkit gate {shown}` judges it."
    evaluation, verdicts = read_run(run), read_verdicts(run, criteria_sha256)
    if verdicts is None:
        raise UserError(f"{shown} was not judged. {again}")
    if verdicts["partial"]:
        raise UserError(f"{shown} was judged by chosen tests only. {again}")
    if missing := missing_parts(system):
        raise UserError(" ".join(missing))
    if changed := changed_since(system, evaluation.record):
        raise UserError(
            f"{system.name} is not what {shown} is a run of: {', '.join(changed)} changed since."
        )
    return {
        "_type": STATEMENT,
        "subject": [
            {"name": name, "digest": {"sha256": digest}}
            for name, digest in subjects(system).items()
        ],
        "predicateType": TEST_RESULT,
        "predicate": _predicate(run, evaluation.record, verdicts),
    }


def subjects(system: System) -> dict[str, str]:
    """The files that decide a system's answers, and their hashes.

    All of its folder but cards and the like: a file that comes to lie there (a tokenizer, a chat
    template) may change answers, too. What system.toml names is a part whatever it is called.
    """
    folder, task = system.folder, system.config.task
    files = {path.relative_to(folder).as_posix(): path for path in _parts(folder)}
    if task.endswith(".toml"):
        files[task] = folder / task
    if answers := system.config.answers:
        files[answers] = folder / answers
    found = {name: hash_file(path) for name, path in sorted(files.items()) if path.is_file()}
    if task not in files:
        found[f"task {task}"] = system.task.fingerprint  # it comes with evalkit, in every version
    base = system.source.locate() if system.source else None
    if base is not None:
        found[BASE] = weights_fingerprint(base)
    return found


def _parts(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.rglob("*")
        if path.is_file()
        and path.suffix not in _NO_PART
        and path.name != FILE
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def _predicate(run: Path, record: RunRecord, verdicts: Mapping[str, Any]) -> dict[str, Any]:
    """The test-result predicate, version 0.1, with evalkit's own hashes beside it."""
    outcomes: dict[str, list[str]] = {"pass": [], "fail": [], "inconclusive": []}
    for gate in verdicts["gates"]:
        label = f"{gate['gate']}[{gate['slice']}]" if gate["slice"] else gate["gate"]
        outcomes[gate["outcome"]].append(label)
    unjudged = [str(name) for name in verdicts["not_judged"]]
    return {
        "result": "PASSED" if verdicts["may_ship"] else "FAILED",
        "configuration": [
            _resource(CRITERIA, verdicts["criteria_sha256"]),
            _resource("data", record.data.sha256, rows=record.data.rows),
            _resource(RECORD, hash_file(run / RECORD)),
            _resource(VERDICTS, hash_file(run / VERDICTS)),
            _resource("predictions", record.predictions_sha256),
        ],
        "passedTests": outcomes["pass"],
        "warnedTests": [*outcomes["inconclusive"], *unjudged],
        "failedTests": outcomes["fail"],
        "evalkit": {
            "version": __version__,
            "system": record.system,
            "run": run.absolute().name,
            "started": record.started,
            "criteria_sealed": verdicts.get("criteria_sealed"),
        },
    }


def _resource(name: str, sha256: str | None, **annotations: object) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "digest": {"sha256": sha256}}
    return found | ({"annotations": annotations} if annotations else {})


@dataclass(frozen=True, slots=True)
class Attested:
    """What a statement says."""

    files: Mapping[str, str | None]
    """Name -> SHA-256."""
    passed: bool
    open_gates: tuple[str, ...]
    """Those that failed, were inconclusive or were not judged."""
    criteria: str | None
    """SHA-256 of the criteria."""
    sealed: str | None
    """Since when these were sealed, in ISO 8601; None where they were not."""


def read_statement(statement: Any) -> Attested:
    """Read a statement, whatever it is.

    Raises:
        UntrustedError: it is none of a test's result as `build_statement` makes it.
    """
    try:
        if (statement["_type"], statement["predicateType"]) != (STATEMENT, TEST_RESULT):
            raise ValueError("of another type")
        predicate = statement["predicate"]
        (criteria,) = (one for one in predicate["configuration"] if one["name"] == CRITERIA)
        return Attested(
            {one["name"]: one["digest"].get("sha256") for one in statement["subject"]},
            predicate["result"] == "PASSED",
            tuple(map(str, [*predicate["failedTests"], *predicate["warnedTests"]])),
            criteria["digest"]["sha256"],
            predicate.get("evalkit", {}).get("criteria_sealed"),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UntrustedError("the statement is none of a test's result") from error


def objection(attested: Attested, system: System, criteria_sha256: str | None) -> str | None:
    """Say in one line why a statement does not let a system ship; None where it does.

    Args:
        attested: what a statement says whose signature was verified.
        system: as it lies there now.
        criteria_sha256: of the criteria that it has to have passed; None for those attested.
    """
    files, here = attested.files, subjects(system)
    if BASE in files and BASE not in here and system.source:
        return system.source.absence(f"evalkit fetch {system.argument}")
    for name in sorted({*files, *here}):
        if name not in here:
            return f"{name} is missing"
        if name not in files:
            return f"{name} is not among the files that were judged"
        if files[name] != here[name]:
            return f"{name} differs from the one that was judged"
    if not attested.passed:
        gates = attested.open_gates
        named = f": {', '.join(gates[:5])}{' ...' if gates[5:] else ''}" if gates else ""
        return f"it did not pass{named or ', for a reason besides its gates'}"
    if criteria_sha256 not in (None, attested.criteria):
        return "it passed other criteria than these"
    return None
