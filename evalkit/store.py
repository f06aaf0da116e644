"""Runs on disk: written whole or not at all, read back before they are judged.

A run is a folder `runs/<time>-<system>/` with `record.json` (what identifies it),
`predictions.jsonl` (one line per example) and, once judged, `verdicts.json`. The record carries
the hash of the predictions and of itself; the verdicts name the predictions and the criteria
they hold for. `runs/baselines/NAME/` keeps runs that later ones are held against. While a system is
still answering, its completions are kept in `runs/.journal/`, so that an interrupted evaluation
goes on where it stopped.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from evalkit.data import Kind, Match
from evalkit.errors import EvidenceError, UserError, did_you_mean
from evalkit.evaluation import EvaluatedRow, Evaluation
from evalkit.records import (
    Completion,
    Example,
    FailureReason,
    FinishReason,
    Label,
    Missing,
    OutOfEnum,
    ParseFailure,
    Prediction,
    Reading,
)
from evalkit.tasks import Task

SCHEMA = 2
RECORD, PREDICTIONS, VERDICTS = "record.json", "predictions.jsonl", "verdicts.json"
_AGAIN = "`evalkit gate` judges the run again."
BASELINES = "baselines"
"""Folder under `runs/`."""


def write_run(evaluation: Evaluation, runs: Path) -> Path:
    """Write an evaluation as a new folder under `runs` and return the folder.

    The folder is filled under another name and renamed last, so a run that is there is whole.
    """
    lines = "".join(_line(_row_to_json(row)) for row in evaluation.rows)
    record = {
        "schema": SCHEMA,
        "system": evaluation.system,
        "task": evaluation.task.model_dump(mode="json"),
        "rows": len(evaluation.rows),
        "predictions_sha256": hashlib.sha256(lines.encode()).hexdigest(),
        **evaluation.record,
    }
    record["record_sha256"] = _hash_record(record)
    runs.mkdir(parents=True, exist_ok=True)
    making = runs / f".making-{os.getpid()}"
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    (making / PREDICTIONS).write_bytes(lines.encode())
    (making / RECORD).write_text(_pretty(record), encoding="utf-8")
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    for number in range(1, 1000):
        name = f"{stamp}-{evaluation.system}" + (f"-{number}" if number > 1 else "")
        if not (runs / name).exists():
            return making.rename(runs / name)
    raise RuntimeError(f"no free name for a run in {runs}")


def read_run(folder: Path) -> Evaluation:
    """Read a run back.

    Raises:
        EvidenceError: it was changed after it was written, or is not whole.
        UserError: the folder is no run, or one that was written under another schema.
    """
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        lines = (folder / PREDICTIONS).read_bytes()
    except (OSError, ValueError) as error:
        raise UserError(f"{folder} is not a run: {error}") from error
    if record.get("schema") != SCHEMA:
        raise UserError(
            f"{folder} has schema {record.get('schema')}; evalkit reads {SCHEMA}. Run it again."
        )
    if record.get("record_sha256") != _hash_record(record):
        raise EvidenceError(f"{folder / RECORD} was changed after the run. Run it again.")
    if hashlib.sha256(lines).hexdigest() != record["predictions_sha256"]:
        found = lines.count(b"\n")
        what = (
            "was changed after the run"
            if found == record["rows"]
            else f"has {found} of the run's {record['rows']} rows"
        )
        raise EvidenceError(f"{folder / PREDICTIONS} {what}. Run it again.")
    try:
        task = Task.model_validate(record["task"])
    except ValidationError as error:
        raise UserError(f"{folder / RECORD} holds no valid task. Run it again.") from error
    rows = tuple(_row_from_json(json.loads(line), task) for line in lines.decode().splitlines())
    return Evaluation(record["system"], task, rows, record)


def read_subject(folder: Path) -> tuple[str, Task]:
    """The system and the task of a run, whatever became of its predictions.

    Raises:
        UserError: the folder is no run.
    """
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return str(record["system"]), Task.model_validate(record["task"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder} is not a run: {error}") from error


def find_run(name: str, runs: Path) -> Path:
    """The folder of a run: a path, the name of a baseline, or the start of a run's name.

    Raises:
        UserError: there is none, or there are several.
    """
    baselines = runs / BASELINES
    for folder in (Path(name), baselines / name, runs / name):
        if (folder / RECORD).is_file():
            return folder
    begun = sorted(path.parent for path in runs.glob(f"{glob.escape(name)}*/{RECORD}"))
    if len(begun) == 1:
        return begun[0]
    if begun:
        raise UserError(
            f"{len(begun)} runs in {runs}/ begin with '{name}': {', '.join(p.name for p in begun)}."
        )
    there = [path.parent.name for path in runs.glob(f"**/{RECORD}")]
    raise UserError(
        f"There is no run '{name}': no such folder, and none of that name in {runs}/ or "
        f"{baselines}/.{did_you_mean(name, there)}"
    )


def copy_run(folder: Path, to: Path) -> None:
    """Keep a run as a baseline, in the place of one that was there.

    Raises:
        EvidenceError, UserError: it is not a whole run; what was there stays.
    """
    read_run(folder)
    to.parent.mkdir(parents=True, exist_ok=True)
    making, old = (to.parent / f".{to.name}-{what}-{os.getpid()}" for what in ("making", "old"))
    shutil.rmtree(making, ignore_errors=True)
    shutil.copytree(folder, making)
    if to.exists():
        to.rename(old)
    making.rename(to)
    shutil.rmtree(old, ignore_errors=True)


def write_verdicts(folder: Path, verdicts: Mapping[str, Any]) -> None:
    """Put the verdicts beside the run they judge, atomically."""
    making = folder / f".{VERDICTS}.{os.getpid()}"
    making.write_text(_pretty(verdicts), encoding="utf-8")
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
    if criteria_sha256 not in (None, content.get("criteria_sha256")):
        raise EvidenceError(f"{folder / VERDICTS} was judged under other criteria. {_AGAIN}")
    verdicts: dict[str, Any] = content
    return verdicts


class Journal:
    """Completions of one evaluation, on disk as they come.

    The file is named by a hash of everything that decides the answers (weights, adapter, data,
    prompt, engine settings), so what is found there belongs to this evaluation and no other.
    """

    def __init__(self, runs: Path, identity: Mapping[str, Any]) -> None:
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        self.path = runs / ".journal" / f"{digest[:32]}.jsonl"

    def read(self) -> dict[str, Completion]:
        """What an interrupted run had answered; a half-written last line is left out."""
        found: dict[str, Completion] = {}
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return {}
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                found[entry["id"]] = _completion_from_json(entry)
            except (ValueError, KeyError, TypeError):
                break
        return found

    @contextmanager
    def writing(self, found: Mapping[str, Completion]) -> Iterator[_Writer]:
        """Append completions to what was found."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        making = self.path.with_suffix(f".{os.getpid()}")
        lines = [_line({"id": name, **_completion_to_json(c)}) for name, c in found.items()]
        # Rewritten first, so that new lines do not follow a broken one.
        making.write_text("".join(lines), encoding="utf-8")
        making.replace(self.path)
        with self.path.open("a", encoding="utf-8") as file:
            yield _Writer(file)

    def discard(self) -> None:
        """The evaluation is whole and stored; its journal has done its work."""
        self.path.unlink(missing_ok=True)


class _Writer:
    def __init__(self, file: Any) -> None:
        self._file = file

    def keep(self, name: str, completion: Completion) -> None:
        """Append one completion and hand it to the operating system."""
        self._file.write(_line({"id": name, **_completion_to_json(completion)}))
        self._file.flush()


def _row_to_json(row: EvaluatedRow) -> dict[str, Any]:
    return {
        "id": row.example.id,
        "inputs": dict(row.example.inputs),
        "labels": dict(row.example.labels),
        **_completion_to_json(row.completion),
        "strict": _reading_to_json(row.reading.strict),
        "lenient": _reading_to_json(row.reading.lenient),
        "seen": asdict(row.seen) if row.seen else None,
        "group": row.group,
    }


def _row_from_json(content: dict[str, Any], task: Task) -> EvaluatedRow:
    labels = {name: _label(content["labels"][name]) for name in task.fields}
    return EvaluatedRow(
        Example(content["id"], content["inputs"], labels),
        _completion_from_json(content),
        Reading(_reading_from_json(content["strict"]), _reading_from_json(content["lenient"])),
        Match(**content["seen"] | {"kind": Kind(content["seen"]["kind"])})
        if content["seen"]
        else None,
        content["group"],
    )


def _completion_to_json(completion: Completion) -> dict[str, Any]:
    content: dict[str, Any] = {
        "text": completion.text,
        "finish_reason": completion.finish_reason.value,
        "token_ids": list(completion.token_ids),
        "prompt_tokens": completion.prompt_tokens,
        "seconds": round(completion.seconds, 6),
    }
    if completion.confidences:
        content["confidences"] = dict(completion.confidences)
    if completion.margin is not None:
        content["margin"] = completion.margin
    return content


def _completion_from_json(content: dict[str, Any]) -> Completion:
    return Completion(
        text=content["text"],
        finish_reason=FinishReason(content["finish_reason"]),
        token_ids=tuple(content["token_ids"]),
        prompt_tokens=content["prompt_tokens"],
        seconds=content["seconds"],
        confidences=content.get("confidences", {}),
        margin=content.get("margin"),
    )


def _reading_to_json(reading: Prediction | ParseFailure) -> dict[str, Any]:
    if isinstance(reading, ParseFailure):
        return {"failure": reading.reason.value, "detail": reading.detail}
    content: dict[str, Any] = {
        "fields": {name: _said_to_json(said) for name, said in reading.fields.items()}
    }
    if reading.copied:
        content["copied"] = dict(reading.copied)
    return content


def _reading_from_json(content: dict[str, Any]) -> Prediction | ParseFailure:
    if "failure" in content:
        return ParseFailure(FailureReason(content["failure"]), content["detail"])
    fields = {name: _said_from_json(said) for name, said in content["fields"].items()}
    return Prediction(fields, content.get("copied", {}))


def _said_to_json(said: Label | Missing | OutOfEnum) -> Any:
    if isinstance(said, Missing):
        return {"missing": True}
    return {"out_of_enum": said.text} if isinstance(said, OutOfEnum) else said


def _said_from_json(content: Any) -> Label | Missing | OutOfEnum:
    if isinstance(content, dict):
        return Missing() if "missing" in content else OutOfEnum(content["out_of_enum"])
    return _label(content)


def _label(content: Any) -> Label:
    label: Label = tuple(content) if isinstance(content, list) else content
    return label


def _hash_record(record: Mapping[str, Any]) -> str:
    """Of all that a record says, but for this hash."""
    said = {key: value for key, value in record.items() if key != "record_sha256"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _line(content: Mapping[str, Any]) -> str:
    # ASCII escapes: a lone surrogate or an exotic line break in a model's text stays one line
    # of valid UTF-8.
    return json.dumps(content) + "\n"


def _pretty(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2) + "\n"
