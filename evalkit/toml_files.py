"""TOML files read into pydantic models, with faults a user can mend."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TypeVar, get_args, get_origin

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
