"""TOML files read into pydantic models, with faults a user can mend; keys written as TOML."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, RootModel, ValidationError

from evalkit.errors import UserError, did_you_mean

M = TypeVar("M", bound=BaseModel)
ROOT = "root"
"""What pydantic calls the content of a model that is a mapping."""


def parse_toml(model: type[M], path: Path, **defaults: object) -> M:
    """Read a TOML file into a pydantic model.

    Raises:
        UserError: with file, line or field, and what is wrong there.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid TOML: {error}") from error
    try:
        return model.model_validate({**defaults, **content})
    except ValidationError as error:
        raise UserError(f"{path}: {explain(error, model)}") from error


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first few faults of a validation error, each as `field: what is wrong`."""
    lines = []
    for fault in error.errors()[:3]:
        where = ".".join(str(part) for part in fault["loc"]) or "the file"
        if fault["type"] == "extra_forbidden":
            *table, last = map(str, fault["loc"])
            lines.append(f"unknown key '{where}'.{did_you_mean(last, _keys(model, table))}")
        else:
            lines.append(f"{where}: {fault['msg'].removeprefix('Value error, ')}")
    more = len(error.errors()) - len(lines)
    return "; ".join(lines) + (f" (and {more} more)" if more else "")


def _keys(model: type[BaseModel], table: list[str]) -> list[str]:
    """The keys of a table inside a model; none where the table is not described by a model."""
    annotation: object = model
    for name in ([ROOT] if issubclass(model, RootModel) else []) + table:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            field = annotation.model_fields.get(name)
            annotation = field.annotation if field else None
        elif get_origin(annotation) is dict:
            annotation = get_args(annotation)[1]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return list(annotation.model_fields)
    return []


def to_toml(recipe: Mapping[str, Any], system: Mapping[str, Any] | None = None) -> str:
    """Keys as a system.toml has them: those above the recipe, and a table for each part of it."""
    tables: dict[str, dict[str, Any]] = {"": dict(system or {}), "[recipe]": {}}
    for key, value in recipe.items():
        table_name, _, last = key.rpartition(".")
        name = f"[recipe.{table_name}]" if table_name else "[recipe]"
        tables.setdefault(name, {})[last] = value
    parts = [
        "\n".join([*([name] if name else []), *assignments(keys)])
        for name, keys in tables.items()
        if keys
    ]
    return "\n\n".join(parts) + "\n"


def toml_value(value: Any) -> str:
    """A value as TOML writes it; JSON has the same texts, numbers and lists."""
    return json.dumps(value, ensure_ascii=False)


def assignments(keys: Mapping[str, Any]) -> Iterator[str]:
    """A line for each key."""
    return (f"{key} = {toml_value(value)}" for key, value in keys.items())
