"""Runs on disk, and the parts of a run."""

from __future__ import annotations

import glob
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from evalkit.atomic import making_folder, turn
from evalkit.data.loading import hash_examples
from evalkit.errors import EvidenceError, UserError, did_you_mean
from evalkit.evaluation import Evaluation
from evalkit.formats import get_format
from evalkit.locale import revived, say, sentences
from evalkit.records import Example
from evalkit.run_record import RunRecord
from evalkit.runs.rows import ChangedRowError, RowReader, row_to_json, to_line
from evalkit.tasks import Task
from evalkit.validation import explain

SCHEMA = 3
RECORD, PREDICTIONS = "record.json", "predictions.jsonl"
_HASH = "record_sha256"
_AGAIN = "Run it again."
BASELINES = "baselines"
"""Folder under `runs/`."""
_NAMED = 5
"""Runs that are named where several may be meant."""
ASKED = "asked"
"""Folder of a run that holds what else the system was asked."""


class Part(NamedTuple):
    """What a system was asked outside of its task."""

    record: RunRecord
    rows: list[dict[str, Any]]


def write_run(evaluation: Evaluation, runs: Path) -> Path:
    """Write an evaluation as a new folder under `runs` and return the folder.

    The folder is filled under another name and renamed last, so a run that is there is whole.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    with making_folder(runs) as making:
        _fill(making, _record_of(evaluation), map(row_to_json, evaluation.rows))
        for number in range(1, 1000):
            name = f"{stamp}-{evaluation.system}" + (f"-{number}" if number > 1 else "")
            try:
                return making.rename(runs / name)
            except OSError:
                if not (runs / name).exists():  # else the name is taken
                    raise
    raise RuntimeError(f"no free name for a run in {runs}")


def read_run(folder: Path, known: Mapping[str, Example] | None = None) -> Evaluation:
    """Read a run back, or the evaluation that is a part of one.

    Args:
        folder: the run's.
        known: examples that are in memory already, by id, to be shared where they are equal.

    Raises:
        EvidenceError: it was changed after it was written, or is not whole.
        UserError: the folder is not a run, or one that was written under another schema.
    """
    record = read_record(folder)
    try:
        task = record.asked_task
        reader = RowReader(task, get_format(record.format or "", task, record.thoughts), known)
    except ValueError as error:
        raise UserError(f"{folder / RECORD} names no task or no format. {_AGAIN}") from error
    try:
        rows = tuple(map(reader.row, _read_lines(folder, record)))
    except ChangedRowError as error:
        raise EvidenceError(f"{folder / PREDICTIONS}, {error} {_AGAIN}") from error
    return Evaluation(record.system, task, rows, record)


def read_for_judging(folder: Path) -> Evaluation:
    """Read a run back, or the evaluation that is a part of one; its rows are those of its record.

    Where some rows got no answer, only their number can be told.

    Raises:
        EvidenceError, UserError: as `read_run`.
    """
    evaluation = read_run(folder)
    record, rows = evaluation.record, evaluation.rows
    data = record.data
    is_whole = len(rows) + len(record.unanswered) == data.rows
    if is_whole and not record.unanswered:
        is_whole = data.sha256 == hash_examples(row.example for row in rows)
    if not is_whole:
        raise EvidenceError(
            f"{folder / PREDICTIONS} holds other inputs or labels than those that {RECORD} names. "
            f"{_AGAIN}"
        )
    return evaluation


def write_part(run: Path, name: str, record: RunRecord, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Add to a run what else the system was asked, whole or not at all, and return its folder.

    Names of parts are letters, digits and hyphens.
    """
    folder = run / ASKED / name
    with making_folder(run / ASKED) as making:
        _fill(making, record, rows)
        if folder.exists():
            shutil.rmtree(folder)
        making.rename(folder)
    return folder


def write_evaluation_part(run: Path, name: str, evaluation: Evaluation) -> Path:
    """Add an evaluation on other rows, or of a variant of the task, to a run."""
    return write_part(run, name, _record_of(evaluation), map(row_to_json, evaluation.rows))


def read_part(run: Path, name: str) -> Part:
    """The record and the rows of what a run was asked outside of its task.

    Raises:
        EvidenceError: it was changed after it was written, or is not whole.
        UserError: there is none of that name, or it was written under another schema.
    """
    folder = run / ASKED / name
    record = read_record(folder)
    return Part(record, list(_read_lines(folder, record)))


def read_parts_sha256(run: Path) -> dict[str, str]:
    """The hashes of the records of a run's parts, by name; "" where one cannot be read."""
    found = {}
    for path in sorted((run / ASKED).glob(f"*/{RECORD}")):
        try:
            found[path.parent.name] = str(read_json(path)["record_sha256"])
        except (ValueError, KeyError, TypeError):
            found[path.parent.name] = ""
    return found


def read_subject(folder: Path) -> tuple[str, Task, frozenset[str]]:
    """The system, the task and the system's capabilities, whatever became of the predictions.

    Raises:
        UserError: the folder is not a run.
    """
    try:
        found = read_json(folder / RECORD)
        record = RunRecord.model_validate(found)
        return record.system, record.asked_task, frozenset(record.abilities)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} is not a run: {error}") from error


def find_run(name: str, runs: Path, fits: Callable[[Path], bool] = lambda _: True) -> Path:
    """The folder of a run: a path, a baseline's name, the start of a run's, or a system's.

    Of a system's runs it is the newest that fits, or the newest of all where none does.

    Raises:
        UserError: there is none, or there are several.
    """
    baselines = runs / BASELINES
    there = baseline_folders(runs)  # and brings back what was lost halfway
    for folder in (Path(name), baselines / name, runs / name):
        if (folder / RECORD).is_file():
            return folder
    begun = sorted(path.parent for path in runs.glob(f"{glob.escape(name)}*/{RECORD}"))
    if len(begun) == 1:
        return begun[0]
    if begun:
        shown = [folder.name for folder in begun[: -_NAMED - 1 : -1]]
        older = [f"and {len(begun) - _NAMED} older"] if len(begun) > _NAMED else []
        raise UserError(
            "\n  ".join([f"{len(begun)} runs in {runs}/ begin with '{name}':", *shown, *older])
        )
    # Nobody types a time.
    systems = {folder: folder.name.partition("-")[2] for folder in run_folders(runs)}
    of_system = [
        folder
        for folder in reversed(systems)
        if systems[folder].startswith(name) and read_subject(folder)[0] == name
    ]
    if of_system:
        return next(filter(fits, of_system), of_system[0])
    names = [folder.name for folder in (*run_folders(runs), *there)]
    raise UserError(
        f"There is no run '{name}': no such folder, and none of that name in {runs}/ or "
        f"{baselines}/.{did_you_mean(name, [*names, *systems.values()])}"
    )


def run_folders(runs: Path) -> list[Path]:
    """The folders of all runs, oldest first, without the baselines."""
    return sorted(path.parent for path in runs.glob(f"[!.]*/{RECORD}"))


def home_of(folders: Sequence[Path], runs: Path) -> Path:
    """The folder of runs that some lie in: `runs` where one of them does, or else the first's."""
    homes = [
        (folder.parents[1] if folder.parent.name == BASELINES else folder.parent)
        for folder in folders
    ]
    is_there = not homes or any(home.resolve() == runs.resolve() for home in homes)
    return runs if is_there else homes[0]


def copy_run(folder: Path, to: Path) -> None:
    """Keep a run as a baseline, in the place of one that was there.

    Raises:
        EvidenceError, UserError: it is not a whole run; what was there stays.
    """
    with making_folder(to.parent) as making, turn(_lock(to)):
        copy = making / to.name
        shutil.copytree(folder, copy)
        read_run(copy)
        _put_back(to)
        if to.exists():
            to.rename(_old(to))
        copy.rename(to)
        shutil.rmtree(_old(to), ignore_errors=True)


def _put_back(baseline: Path) -> None:
    if _old(baseline).is_dir():
        if baseline.is_dir():
            shutil.rmtree(_old(baseline))
        else:
            _old(baseline).rename(baseline)


def _old(baseline: Path) -> Path:
    return baseline.with_name(f".{baseline.name}.old")


def _lock(baseline: Path) -> Path:
    return baseline.with_name(f".{baseline.name}.lock")


def baseline_folders(runs: Path) -> list[Path]:
    """The folders of all baselines, by name."""
    place = runs / BASELINES
    for old in place.glob(".*.old"):  # a process was killed before it had put another there
        baseline = place / old.name[1:].removesuffix(".old")
        with turn(_lock(baseline)):
            _put_back(baseline)
    return sorted(path.parent for path in place.glob(f"[!.]*/{RECORD}"))


def _record_of(evaluation: Evaluation) -> RunRecord:
    return evaluation.record.having(system=evaluation.system, task=evaluation.task)


def _fill(folder: Path, record: RunRecord, rows: Iterable[Mapping[str, Any]]) -> None:
    digest, count = hashlib.sha256(), 0
    with (folder / PREDICTIONS).open("wb") as file:
        for row in rows:
            line = to_line(row).encode()
            digest.update(line)
            file.write(line)
            count += 1
    said = record.to_json()
    content = {
        **said,
        "schema": SCHEMA,
        "rows": count,
        "predictions_sha256": digest.hexdigest(),
        "sentences": sentences(said),
    }
    content[_HASH] = hash_content(content, _HASH)
    (folder / RECORD).write_text(pretty(content), encoding="utf-8")


def read_record(folder: Path) -> RunRecord:
    """What identifies a run; the predictions are not looked at.

    Raises:
        EvidenceError: it was changed after the run.
        UserError: the folder is not a run, or one that was written under another schema.
    """
    try:
        record: dict[str, Any] = read_json(folder / RECORD)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} is not a run: {error}") from error
    if not isinstance(record, dict):
        raise UserError(f"{folder} is not a run: {RECORD} holds no object.")
    if record.get("schema") != SCHEMA:
        raise UserError(
            f"{folder} has schema {record.get('schema')}; evalkit reads {SCHEMA}. Run it again."
        )
    if record.get(_HASH) != hash_content(record, _HASH):
        raise EvidenceError(say("fault.changed", path=str(folder / RECORD)))
    try:
        return RunRecord.model_validate(revived(record, record.get("sentences") or {}))
    except ValidationError as error:
        raise UserError(f"{folder / RECORD}: {explain(error, RunRecord)}. {_AGAIN}") from error


def _read_lines(folder: Path, record: RunRecord) -> Iterator[dict[str, Any]]:
    """The rows, once their hash is known to be right."""
    path = folder / PREDICTIONS
    digest, count = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            for line in file:
                digest.update(line)
                count += bool(line.strip())
    except OSError as error:
        raise UserError(f"{folder} is not a run: {error}") from error
    if digest.hexdigest() != record.predictions_sha256:
        if count == record.rows:
            raise EvidenceError(say("fault.changed", path=str(path)))
        raise EvidenceError(say("fault.torn", path=str(path), there=count, rows=record.rows))
    with path.open("rb") as file:
        yield from (json.loads(line) for line in file if line.strip())


def read_json(path: Path) -> Any:
    """What a file holds.

    Raises:
        OSError, ValueError: it cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def hash_content(content: Mapping[str, Any], but: str) -> str:
    """Hash all that is said but for one key, the hash's own; hexadecimal."""
    said = {key: value for key, value in content.items() if key != but}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def pretty(content: Mapping[str, Any]) -> str:
    """JSON for people to read, too."""
    return json.dumps(content, indent=2) + "\n"
