"""Formats: how a label is written as text, asked for in a prompt, and read back."""

from collections.abc import Iterable
from dataclasses import replace

from evalkit.errors import UserError, did_you_mean
from evalkit.formats.base import Format
from evalkit.formats.call import Call
from evalkit.formats.json_object import JsonObject
from evalkit.formats.label_list import LabelList
from evalkit.formats.normalised import NfkcInputs, Normalisation
from evalkit.tasks import Task
from evalkit.thoughts import Thoughts

FORMATS: dict[str, JsonObject | Call | LabelList] = {
    f.name: f for f in (JsonObject(), Call(), LabelList())
}

__all__ = ["FORMATS", "Format", "Normalisation", "get_format"]


def get_format(
    name: str,
    task: Task,
    thoughts: Iterable[Iterable[str]] = (),
    normalize: Normalisation = "none",
) -> Format:
    """Return the format of that name; raise `UserError` if it does not fit the task.

    Args:
        name: what `format =` in a system.toml says.
        task: what is asked.
        thoughts: pairs of marks that enclose no answer, besides those of `evalkit.thoughts`.
        normalize: what is done to a task's inputs before they are written into a prompt.
    """
    if name not in FORMATS:
        raise UserError(
            f"There is no format '{name}'.{did_you_mean(name, FORMATS)}"
            f" Formats: {', '.join(FORMATS)}."
        )
    FORMATS[name].check(task)
    added = tuple((opening, closing) for opening, closing in thoughts)
    found = replace(FORMATS[name], thoughts=Thoughts(added)) if added else FORMATS[name]
    return NfkcInputs(found) if normalize == "nfkc" else found
