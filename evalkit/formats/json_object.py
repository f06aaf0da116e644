"""The `json` format: one JSON object with a key for each field."""

from __future__ import annotations

import json
from collections.abc import Mapping

from evalkit.formats.base import build_prompt
from evalkit.records import Label, Prompt, Reading
from evalkit.tasks import Field, FieldKind, Task


class JsonObject:
    """`{"folder": "Work", "priority": 3}`."""

    name = "json"

    def check(self, task: Task) -> None:
        """Every task can be written as JSON."""

    def prompt(self, task: Task, inputs: Mapping[str, str]) -> Prompt:
        """Ask for one JSON object, showing its shape."""
        shape = ", ".join(f'"{name}": {_shape(name, f)}' for name, f in task.fields.items())
        return build_prompt(task, inputs, f"Respond with ONLY a JSON object: {{{shape}}}")

    def render(self, task: Task, labels: Mapping[str, Label], inputs: Mapping[str, str]) -> str:
        """The object on one line, fields in the task's order; `inputs` are not used."""
        return json.dumps({name: labels[name] for name in task.fields}, ensure_ascii=False)

    def parse(self, task: Task, text: str) -> Reading:
        """Read one JSON object."""
        raise NotImplementedError


def _shape(name: str, field: Field) -> str:
    if field.kind is FieldKind.ORDINAL:
        return f"<{field.labels[0]}-{field.labels[-1]}>"
    return f'["<{name}>", ...]' if field.kind is FieldKind.MULTI_LABEL else f'"<{name}>"'
