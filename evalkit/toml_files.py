"""TOML files read into pydantic models, with faults a user can mend; keys written as TOML."""

from __future__ import annotations

import json
import math
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
    content = read_toml(path)
    try:
        return model.model_validate({**defaults, **content})
    except ValidationError as error:
        raise UserError(f"{path}: {explain(error, model)}") from error


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file, whose numbers are all finite.

    Raises:
        UserError: it is no TOML that can be read.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"), parse_float=_finite)
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not valid TOML: {error}. Save it as UTF-8.") from error
    except RecursionError as error:
        raise UserError(f"{path} is not valid TOML: it is nested too deep.") from error
    except ValueError as error:  # a fault of form, or a number beyond all bounds
        raise UserError(f"{path} is not valid TOML: {error}") from error


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text} is no finite number")
    return value


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
