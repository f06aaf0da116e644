"""What pydantic refuses, in words for whoever wrote the file: where, and what belongs there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, RootModel, ValidationError
from pydantic.fields import FieldInfo

from evalkit.errors import did_you_mean

SHOWN = 3
"""Faults that a message names; of further ones it gives the number."""

_LIST = 'a list, such as ["a", "b"]'
_TABLE = "a table"
_EXPECTED = {
    "string_type": "a text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "tuple_type": _LIST,
    "list_type": _LIST,
    "set_type": _LIST,
    "dict_type": _TABLE,
    "model_type": _TABLE,
    "model_attributes_type": _TABLE,
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "too_short": "{min_length} or more of them",
    "string_too_short": "at least {min_length} characters",
    "literal_error": "{expected}",
    "enum": "{expected}",
}


def explain(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """The first few faults of a validation error, each as `field: what is wrong`.

    Args:
        error: of pydantic.
        model: what was to be made; tells what a missing key is for, and names like a wrong one.
    """
    faults = error.errors()
    said = "; ".join(_explain(fault, model) for fault in faults[:SHOWN])
    return said + (f" (and {len(faults) - SHOWN} more)" if len(faults) > SHOWN else "")


def _explain(fault: Mapping[str, Any], model: type[BaseModel] | None) -> str:
    *table, last = map(str, fault["loc"] or ("the file",))
    where = ".".join([*table, last])
    fields = _fields(model, table)
    if fault["type"] == "extra_forbidden":
        return f"unknown key '{where}'.{did_you_mean(last, fields)}"
    if fault["type"] == "missing":
        return f"{where} is missing{_purpose(fields.get(last))}"
    if (expected := _EXPECTED.get(fault["type"])) is None:
        return f"{where}: {fault['msg'].removeprefix('Value error, ')}"
    found, options = fault["input"], re.findall("'([^']+)'", expected := _filled(expected, fault))
    guess = did_you_mean(found, options) if isinstance(found, str) else ""
    return f"{where}: expected {expected}, found {_quoted(found)}" + (f".{guess}" if guess else "")


def _filled(expected: str, fault: Mapping[str, Any]) -> str:
    return expected.format(**fault.get("ctx", {}))


def _quoted(found: object) -> str:
    text = repr(found)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _purpose(field: FieldInfo | None) -> str:
    """What a key holds: the first sentence of its attribute's docstring."""
    if field is None or not field.description:
        return ""
    first = " ".join(field.description.split()).split(". ")[0].rstrip(".")
    is_sentence = first[1:2].islower() or first[1:2] == " "
    return f" ({first[0].lower() if is_sentence else first[0]}{first[1:]})"


def _fields(model: type[BaseModel] | None, table: list[str]) -> dict[str, FieldInfo]:
    """The keys of a table inside a model; none where the table is not described by a model."""
    annotation: object = model
    if isinstance(model, type) and issubclass(model, RootModel):
        annotation = model.model_fields["root"].annotation
    for name in table:
        if (inner := _model(annotation)) is not None:
            field = inner.model_fields.get(name)
            annotation = field.annotation if field else None
        else:
            inside = get_args(annotation) or (None,)
            annotation = inside[-1 if get_origin(annotation) is dict else 0]
    found = _model(annotation)
    return dict(found.model_fields) if found else {}


def _model(annotation: object) -> type[BaseModel] | None:
    """The model that an annotation is, or is beside None."""
    options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else [annotation]
    models = [one for one in options if isinstance(one, type) and issubclass(one, BaseModel)]
    return models[0] if models else None
