"""Formats: how a label is written as text, asked for in a prompt, and read back."""

from evalkit.errors import UserError, did_you_mean
from evalkit.formats.base import Format
from evalkit.formats.call import Call
from evalkit.formats.json_object import JsonObject
from evalkit.formats.label_list import LabelList
from evalkit.tasks import Task

FORMATS: dict[str, Format] = {f.name: f for f in (JsonObject(), Call(), LabelList())}

__all__ = ["FORMATS", "Format", "get_format"]


def get_format(name: str, task: Task) -> Format:
    """Return the format of that name; raise `UserError` if it does not fit the task."""
    if name not in FORMATS:
        raise UserError(
            f"There is no format '{name}'.{did_you_mean(name, FORMATS)}"
            f" Formats: {', '.join(FORMATS)}."
        )
    FORMATS[name].check(task)
    return FORMATS[name]
