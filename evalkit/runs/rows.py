"""Rows of a run as JSON, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from evalkit.data import Kind, Match
from evalkit.evaluation import EvaluatedRow
from evalkit.formats import Format
from evalkit.records import (
    Completion,
    Example,
    FinishReason,
    Label,
    Missing,
    OutOfEnum,
    ParsedAnswer,
    ParseFailure,
    Prediction,
)
from evalkit.tasks import Task

MOST_READINGS = 4096
"""Readings held for sharing; answers that copy their input differ in every row."""


class ChangedRowError(ValueError):
    """A row that is not as it was written."""


def row_to_json(row: EvaluatedRow) -> dict[str, Any]:
    """An example, what was answered, and how it was read."""
    return {
        "id": row.example.id,
        "inputs": dict(row.example.inputs),
        "labels": dict(row.example.labels),
        **completion_to_json(row.completion),
        "strict": _reading_to_json(row.parsed.strict),
        "lenient": _reading_to_json(row.parsed.lenient),
        "seen": asdict(row.contaminated_by) if row.contaminated_by else None,
        "group": row.group,
    }


class RowReader:
    """Rows that `row_to_json` wrote. What is equal in many of them is held once."""

    def __init__(self, task: Task, fmt: Format, known: Mapping[str, Example] | None = None) -> None:
        """Take the run's task and format, and examples that are held already, by their ids."""
        self.task = task
        self.format = fmt
        self.known = known or {}
        self._readings: dict[str, ParsedAnswer] = {}

    def row(self, content: Mapping[str, Any]) -> EvaluatedRow:
        """The row of one line, its text parsed anew.

        Raises:
            ChangedRowError: the text is not read as the row says that it was.
        """
        labels = {name: _label(content["labels"][name]) for name in self.task.fields}
        example = Example(content["id"], content["inputs"], labels)
        if self.known.get(example.id) == example:
            example = self.known[example.id]
        return EvaluatedRow(
            example,
            completion_from_json(content),
            self._reading(content),
            Match(**content["seen"] | {"kind": Kind(content["seen"]["kind"])})
            if content["seen"]
            else None,
            content["group"],
        )

    def _reading(self, content: Mapping[str, Any]) -> ParsedAnswer:
        text = content["text"]
        reading = self._readings.get(text)
        if reading is None:
            reading = self.format.parse(self.task, text)
            if len(self._readings) < MOST_READINGS:
                self._readings[text] = reading
        written = (content["strict"], content["lenient"])
        if written != tuple(map(_reading_to_json, (reading.strict, reading.lenient))):
            raise ChangedRowError(
                f"row {content['id']!r}: its text is not read as the row says that it was. Either "
                "was edited, or the run was written by an evalkit that read answers by other rules."
            )
        return reading


def completion_to_json(completion: Completion) -> dict[str, Any]:
    """What was written, with its token ids and times; what an engine does not give is left out."""
    content: dict[str, Any] = {
        "text": completion.text,
        "finish_reason": completion.finish_reason.value,
        "token_ids": list(completion.token_ids),
        "prompt_tokens": completion.prompt_tokens,
        "seconds": round(completion.seconds, 6),
    }
    if completion.counted_tokens:
        content["counted_tokens"] = completion.counted_tokens
    if completion.confidences:
        content["confidences"] = dict(completion.confidences)
    if completion.margin is not None:
        content["margin"] = completion.margin
    if not completion.saw_whole_prompt:
        content["saw_whole_prompt"] = False
    return content


def completion_from_json(content: Mapping[str, Any]) -> Completion:
    """The completion that `completion_to_json` wrote."""
    given = {"confidences": content["confidences"]} if "confidences" in content else {}
    return Completion(
        text=content["text"],
        finish_reason=FinishReason(content["finish_reason"]),
        token_ids=tuple(content["token_ids"]),
        counted_tokens=content.get("counted_tokens", 0),
        prompt_tokens=content["prompt_tokens"],
        seconds=content["seconds"],
        margin=content.get("margin"),
        saw_whole_prompt=content.get("saw_whole_prompt", True),
        **given,
    )


def to_line(content: Mapping[str, Any]) -> str:
    """One line of JSON.

    ASCII escapes: a lone surrogate or an exotic line break in a model's text stays one line of
    valid UTF-8.
    """
    return json.dumps(content) + "\n"


def _reading_to_json(reading: Prediction | ParseFailure) -> dict[str, Any]:
    if isinstance(reading, ParseFailure):
        return {"failure": reading.reason.value, "detail": reading.detail}
    content: dict[str, Any] = {
        "fields": {name: _said_to_json(said) for name, said in reading.fields.items()}
    }
    if reading.copied:
        content["copied"] = dict(reading.copied)
    return content


def _said_to_json(said: Label | Missing | OutOfEnum) -> Any:
    if isinstance(said, Missing):
        return {"missing": True}
    if isinstance(said, OutOfEnum):
        return {"out_of_enum": said.text}
    return list(said) if isinstance(said, tuple) else said


def _label(content: Any) -> Label:
    label: Label = tuple(content) if isinstance(content, list) else content
    return label
