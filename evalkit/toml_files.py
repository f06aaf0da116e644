"""TOML files read into pydantic models, with faults a user can mend; keys written as TOML."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from evalkit.errors import UserError
from evalkit.validation import explain

M = TypeVar("M", bound=BaseModel)


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
