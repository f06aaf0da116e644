"""The `json` format: one JSON object with a key for each field."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import NoReturn

from evalkit.formats.base import Format, build_prompt
from evalkit.formats.grammar import Rules, choice_of, literal, sets_of
from evalkit.formats.reading import ReadError, first_answer, read_both
from evalkit.formats.values import (
    Number,
    Object,
    Raw,
    check_keys,
    check_written,
    read_fields,
    shown,
)
from evalkit.records import FailureReason, Label, ParsedAnswer, Prediction, Prompt
from evalkit.tasks import Field, FieldKind, Task
from evalkit.thoughts import Thoughts

_DEEPEST = 20
"""Nesting beyond this is malformed: json recurses, and how deep it can depends on the caller."""

_STRING_OR_BRACKET = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)


def _not_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_STRICT = json.JSONDecoder(
    object_pairs_hook=Object, parse_int=Number, parse_float=Number, parse_constant=_not_json
)
_LENIENT = json.JSONDecoder(
    object_pairs_hook=Object,
    parse_int=Number,
    parse_float=Number,
    parse_constant=Number,
    strict=False,
)


class JsonObject(Format):
    """`{"folder": "Work", "priority": 3}`."""

    name = "json"

    def check(self, task: Task) -> None:
        """Every task can be written as JSON."""

    def prompt(self, task: Task, inputs: Mapping[str, str]) -> Prompt:
        """Ask for one JSON object, showing its shape."""
        shape = ", ".join(f'"{name}": {_shape(name, f)}' for name, f in task.fields.items())
        return build_prompt(task, inputs, f"Respond with ONLY a JSON object: {{{shape}}}")

    def render(
        self,
        task: Task,
        labels: Mapping[str, Label],
        inputs: Mapping[str, str],
    ) -> str:
        """Write the object on one line, fields in the task's order."""
        return _written(tuple((name, labels[name]) for name in task.fields))

    def parse(self, task: Task, text: str) -> ParsedAnswer:
        """Strictly, the text is one object; leniently, the first with one of the fields counts."""
        lenient = partial(_read_leniently, task, self.thoughts)
        return read_both(text, partial(_read_strictly, task), lenient, self.thoughts)

    def grammar(self, task: Task) -> Rules:
        """The canonical answers in GBNF."""
        rules: Rules = {"root": ""}
        parts = []
        for number, (name, field) in enumerate(task.fields.items()):
            lead = json.dumps(name, ensure_ascii=False)
            parts.append(literal(f"{', ' if number else '{'}{lead}: "))
            rule = f"field-{number}"
            texts = [json.dumps(label, ensure_ascii=False) for label in field.labels]
            if field.kind is FieldKind.MULTI_LABEL:
                parts += [literal("["), rule, literal("]")]
                rules |= sets_of(rule, field, texts)
            else:
                parts.append(rule)
                rules[rule] = choice_of(texts)
        rules["root"] = " ".join([*parts, literal("}")])
        return rules


@lru_cache(maxsize=4096)
def _written(fields: tuple[tuple[str, Label], ...]) -> str:
    """The same few objects are asked for with every row."""
    return json.dumps(dict(fields), ensure_ascii=False)


def _read_strictly(task: Task, text: str) -> Prediction:
    if not text.startswith("{") or _end(text, 0) < len(text):
        raise ReadError(FailureReason.EXTRA_TEXT)
    pairs = _decode(_STRICT, text).pairs
    check_keys([key for key, _ in pairs], task.fields)
    texts = {key: _typed_texts(task.fields[key], raw) for key, raw in pairs}
    fields = read_fields(task, pairs)
    for name, value in fields.items():
        check_written(texts[name], value)
    return Prediction(fields)


def _read_leniently(task: Task, thoughts: Thoughts, text: str) -> Prediction:
    def read(start: int) -> tuple[Prediction, int]:
        end = _end(text, start)
        try:
            return Prediction(read_fields(task, _decode(_LENIENT, text[start:end]).pairs)), end
        except ReadError as error:
            raise ReadError(error.reason, error.seen, end) from None

    return first_answer(text, "{", read, thoughts)


def _end(text: str, start: int) -> int:
    """Where the object that starts here ends, going by brackets and quotes alone."""
    depth = 0
    for token in _STRING_OR_BRACKET.finditer(text, start):
        if token[0] in "{[":
            depth += 1
        elif token[0] in "}]":
            depth -= 1
        if depth == 0:
            return token.end()
        if depth > _DEEPEST:
            raise ReadError(FailureReason.MALFORMED, "nested too deep", token.end())
    raise ReadError(FailureReason.TRUNCATED, text[start:], len(text))


def _decode(decoder: json.JSONDecoder, text: str) -> Object:
    try:
        decoded = decoder.decode(text)
    except ValueError as error:
        raise ReadError(FailureReason.MALFORMED, str(error)) from None
    assert isinstance(decoded, Object), "text starts with {"
    return decoded


def _typed_texts(field: Field, raw: Raw) -> list[str]:
    """Return the texts of a value; raise `ReadError` if its JSON type is not the field's."""
    multi = field.kind is FieldKind.MULTI_LABEL
    items = raw if multi and isinstance(raw, list) else [raw]
    texts = [item for item in items if isinstance(item, str) and _has_type(field, item)]
    if len(texts) < len(items) or (multi and not isinstance(raw, list)):
        raise ReadError(FailureReason.WRONG_TYPE, shown(raw))
    return texts


def _has_type(field: Field, text: str) -> bool:
    if field.kind is FieldKind.ORDINAL:
        return isinstance(text, Number) and text.lstrip("-").isdigit()
    return not isinstance(text, Number)


def _shape(name: str, field: Field) -> str:
    if field.kind is FieldKind.ORDINAL:
        return f"<{field.labels[0]}-{field.labels[-1]}>"
    return f'["<{name}>", ...]' if field.kind is FieldKind.MULTI_LABEL else f'"<{name}>"'
