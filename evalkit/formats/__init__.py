"""Formats: how a label is written as text, asked for in a prompt, and read back."""

from collections.abc import Iterable
from typing import Any

from evalkit.formats.base import Format
from evalkit.formats.normalised import NfkcInputs, Normalisation
from evalkit.registry import Registry
from evalkit.tasks import Task
from evalkit.thoughts import Thoughts

__all__ = ["FORMATS", "Format", "Normalisation", "get_format"]


def _read(name: str, loaded: Any) -> Format | None:
    if not isinstance(loaded, type) or not issubclass(loaded, Format):
        return None
    if loaded.name != name:
        raise ValueError(f"its `name` is '{loaded.name}'")
    return loaded()


FORMATS = Registry[Format](
    "formats",
    {
        "json": "evalkit.formats.json_object:JsonObject",
        "call": "evalkit.formats.call:Call",
        "labels": "evalkit.formats.label_list:LabelList",
    },
    _read,
)
"""A package adds a subclass of `Format`."""


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
    found = FORMATS.find(name)
    found.check(task)
    if added := tuple((opening, closing) for opening, closing in thoughts):
        found = type(found)(Thoughts(added))
    return NfkcInputs(found) if normalize == "nfkc" else found
