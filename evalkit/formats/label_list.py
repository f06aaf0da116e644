"""The `labels` format: the values of one multi-label field, comma-separated."""

from __future__ import annotations

from collections.abc import Mapping

from evalkit.errors import UserError
from evalkit.formats.base import build_prompt
from evalkit.records import Label, Prompt, Reading
from evalkit.tasks import FieldKind, Task


class LabelList:
    """`user_auth, payment`, in the task's order."""

    name = "labels"

    def check(self, task: Task) -> None:
        """Raise `UserError` unless the task has just one field, and that multi-label."""
        kinds = [field.kind for field in task.fields.values()]
        if kinds != [FieldKind.MULTI_LABEL]:
            raise UserError(
                f"Format 'labels' writes one multi-label field; task '{task.name}' has "
                f"{', '.join(f'{n} ({f.kind})' for n, f in task.fields.items())}. "
                "Use format 'json'."
            )

    def prompt(self, task: Task, inputs: Mapping[str, str]) -> Prompt:
        """Ask for a comma-separated list."""
        return build_prompt(task, inputs, "Respond with ONLY the names, separated by commas.")

    def render(self, task: Task, labels: Mapping[str, Label], inputs: Mapping[str, str]) -> str:
        """The names, separated by a comma and a space; `inputs` are not used."""
        (name,) = task.fields
        label = labels[name]
        assert isinstance(label, tuple)
        return ", ".join(label)

    def parse(self, task: Task, text: str) -> Reading:
        """Read one list."""
        raise NotImplementedError
