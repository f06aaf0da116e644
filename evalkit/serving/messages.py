"""The inputs of a task in the messages of a chat, as engine `endpoint` sends them or people do."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from evalkit.classifier import read_inputs
from evalkit.engines.chat import instructions_of
from evalkit.errors import UserError
from evalkit.formats.base import empty_prompt
from evalkit.systems import System

_FIXED = {"temperature": (0, None), "n": (1, None), "stream": (False, None)}
"""What a request may set and only to these: the answer is the judged one."""


def inputs_of(body: Any, system: System) -> dict[str, str]:
    """Read a chat completion's request.

    The user's turn is a text, where the task has one input, or the inputs as the prompt has them
    (`App: ...`, a line each). A system's turn has to be the judged instructions.

    Raises:
        UserError: it asks for something else than the judged answer to an input of the task.
    """
    if not isinstance(body, Mapping) or not isinstance(body.get("messages"), list):
        raise UserError("A chat completion has a list of messages.")
    for key, allowed in _FIXED.items():
        if body.get(key) not in allowed:
            raise UserError(f"{key} = {body[key]!r} is not served: answers are the judged ones.")
    turns = [(_field(turn, "role"), _field(turn, "content")) for turn in body["messages"]]
    instructions = instructions_of(empty_prompt(system.task, system.format))
    if turns and turns[0][0] in ("system", "developer"):
        if turns[0][1].strip() != instructions.strip():
            raise UserError(
                f"{system.name} is served with the instructions it was judged with. Leave out the "
                "system's message."
            )
        turns = turns[1:]
    if [role for role, _ in turns] != ["user"]:
        raise UserError("One message of the user's is answered, with no turns before it.")
    text = turns[0][1].removeprefix(f"{instructions}\n\n")
    return read_inputs(system.task, _taken_apart(text, system) or text)


def _field(turn: Any, key: str) -> str:
    said = turn.get(key) if isinstance(turn, Mapping) else None
    if isinstance(said, list):  # content in parts
        said = "".join(part["text"] for part in said if _is_text(part))
    if not isinstance(said, str):
        raise UserError(f"A message has a {key} that is a text.")
    return said


def _is_text(part: Any) -> bool:
    if isinstance(part, Mapping) and isinstance(part.get("text"), str):
        return True
    raise UserError("A message has parts that are texts, and no others.")


def _taken_apart(text: str, system: System) -> dict[str, str]:
    """The inputs in a user's turn that is laid out as in the prompt; none where it is not."""
    found: dict[str, str] = {}
    leads = [(name, f"{spec.title}: ") for name, spec in system.task.inputs.items()]
    if not text.startswith(leads[0][1]):
        return {}
    left = text.removeprefix(leads[0][1])
    for (name, _), (_, lead) in pairwise(leads):
        found[name], mark, left = left.partition(f"\n{lead}")
        if not mark:
            return {}
    return {**found, leads[-1][0]: left}
