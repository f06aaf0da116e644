"""A task's answers as a grammar, for servers that keep a model to one.

GBNF is llama.cpp's notation (grammars/README.md of its sources); vLLM reads it too, through
xgrammar. What a grammar here accepts is what `Format.render` writes: the canonical
answer and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from evalkit.errors import UserError
from evalkit.formats import FORMATS
from evalkit.tasks import Field, FieldKind, Task

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def gbnf(task: Task, format_name: str) -> str:
    """The canonical answers of a task in a format, as GBNF whose root is `root`."""
    rules = FORMATS.find(format_name).grammar(task)
    return "".join(f"{name} ::= {body}\n" for name, body in rules.items())


def json_schema(task: Task, format_name: str) -> dict[str, Any]:
    """The answers of a task in the `json` format, as JSON Schema (draft 2020-12).

    A schema cannot say in which order keys stand or how the text is spaced: what it accepts is
    read as the answer it is, and only the canonical text among it breaks no format.

    Raises:
        UserError: answers in this format are not JSON.
    """
    if format_name != "json":
        raise UserError(
            f"Answers in format '{format_name}' are not JSON, so that no JSON Schema describes "
            "them: a server would put quotes around them. Take --as gbnf, which llama.cpp reads as "
            "`grammar` and vLLM as `structured_outputs.grammar`."
        )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": task.summary,
        "type": "object",
        "properties": {name: _schema(field) for name, field in task.fields.items()},
        "required": list(task.fields),
        "additionalProperties": False,
    }


Rules = dict[str, str]
"""Rule name -> its right side; the first is the root."""


def _schema(field: Field) -> dict[str, Any]:
    if field.kind is not FieldKind.MULTI_LABEL:
        return {"enum": list(field.labels)}
    free = [label for label in field.labels if label not in field.exclusive]
    alone = [label for label in field.labels if label in field.exclusive]
    several = {
        "type": "array",
        "items": {"enum": free},
        "minItems": 1,
        "maxItems": len(free),
        "uniqueItems": True,
    }
    one = {"type": "array", "items": {"enum": alone}, "minItems": 1, "maxItems": 1}
    kinds = [kind for kind, labels in ((several, free), (one, alone)) if labels]
    return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}


def choice_of(texts: Iterable[str]) -> str:
    """One of these texts."""
    return " | ".join(map(literal, texts))


def sets_of(rule: str, field: Field, texts: Sequence[str]) -> Rules:
    """Some of the values in the task's order, or one that stands alone."""
    pairs = list(zip(field.labels, texts, strict=True))
    alone = [literal(text) for label, text in pairs if label in field.exclusive]
    free = [literal(text) for label, text in pairs if label not in field.exclusive]
    rules = {rule: " | ".join([*alone, *([f"{rule}-from-0"] if free else [])])}
    for number, text in enumerate(free):
        later = f"{rule}-from-{number + 1}"
        last = number + 1 == len(free)
        more = "" if last else f" ({literal(', ')} {later})? | {later}"
        rules[f"{rule}-from-{number}"] = f"{text}{more}"
    return rules


def text_without(rule: str, markers: Sequence[str]) -> Rules:
    """Any text in which none of the markers stands: an escaped input.

    All markers begin with the same character and have it nowhere else, so that it is enough to
    remember how much of a marker stands before the next character. Each rule but the first is
    one such state, and every state may be the text's last.
    """
    first = markers[0][0]
    assert all(marker.rfind(first) == 0 for marker in markers)
    states = sorted({marker[:length] for marker in markers for length in range(1, len(marker))})
    names = {state: f"{rule}-{number}" for number, state in enumerate(states)}
    rules: Rules = {rule: f"[^{first}]* ({literal(first)} {names[first]})?"}
    for state in states:
        next_ones = sorted({m[len(state)] for m in markers if m.startswith(state)})
        choices = [f"[^{''.join(sorted({first, *next_ones}))}] {rule}"]
        choices += [
            f"{literal(character)} {names[state + character]}"
            for character in next_ones
            if state + character not in markers
        ]
        rules[names[state]] = " | ".join([*choices, f"{literal(first)} {names[first]}", '""'])
    return rules


def literal(text: str) -> str:
    """This very text."""
    return f'"{"".join(map(_escape, text))}"'


def _escape(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"
