"""JSON Schemas of the TOML files, for editors: completion, hover texts, and faults as one types."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import NullableSchema, WithDefaultSchema

from evalkit.engines.building import ENGINES
from evalkit.errors import UserError, did_you_mean
from evalkit.formats import FORMATS
from evalkit.gates.policy import GatesFile
from evalkit.systems import SystemConfig
from evalkit.tasks import Task
from evalkit.training.recipe import BASELINES, Recipe, RowsRecipe


class _ForToml(GenerateJsonSchema):
    """TOML has no null: a key that may be None is one that may be left out."""

    def nullable_schema(self, schema: NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: WithDefaultSchema) -> JsonSchemaValue:
        found = super().default_schema(schema)
        return {k: v for k, v in found.items() if (k, v) != ("default", None)}

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


def _generate(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(schema_generator=_ForToml)


def _system() -> dict[str, Any]:
    schema = _generate(SystemConfig)
    schema["properties"]["format"]["enum"] = [*FORMATS]
    schema["properties"]["engine"]["enum"] = [*ENGINES]
    schema["properties"]["recipe"] = {"description": "How the adapter or the baseline is made."}
    recipes: tuple[type[RowsRecipe], ...] = (Recipe, *BASELINES.values())
    for recipe in recipes:
        own = _generate(recipe)
        own["anyOf"] = [{"required": ["data"]}, {"required": ["sources"]}]
        if recipe is Recipe:
            own["properties"]["augment"] = own["properties"]["labels"] | {"deprecated": True}
        schema["$defs"] |= own.pop("$defs", {}) | {recipe.__name__: own}
    rule: dict[str, Any] = _takes(Recipe)
    for engine, recipe in BASELINES.items():
        asked = {"properties": {"engine": {"const": engine}}, "required": ["engine"]}
        rule = {"if": asked, "then": _takes(recipe), "else": rule}
    return schema | rule


def _takes(recipe: type[RowsRecipe]) -> dict[str, Any]:
    return {"properties": {"recipe": {"$ref": f"#/$defs/{recipe.__name__}"}}}


def _task() -> dict[str, Any]:
    schema = _generate(Task)
    schema["required"].remove("name")  # it is the file's, where none is given
    return schema


def _gates() -> dict[str, Any]:
    return _generate(GatesFile)


SCHEMAS = {"system": _system, "task": _task, "gates": _gates}


def schema_text(kind: str) -> str:
    """The same as `json_schema_of`, as it is in a file."""
    return json.dumps(json_schema_of(kind), indent=2, ensure_ascii=False) + "\n"


def json_schema_of(kind: str) -> dict[str, Any]:
    """The JSON Schema of a kind of file: `system`, `task` or `gates`.

    What needs more than one file (that a format fits the task, that weights are there) is left to
    the commands.

    Raises:
        UserError: there is no such kind.
    """
    if kind not in SCHEMAS:
        raise UserError(
            f"There is no schema '{kind}'.{did_you_mean(kind, SCHEMAS)} "
            f"Schemas: {', '.join(SCHEMAS)}."
        )
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **SCHEMAS[kind]()}
    return schema | {"title": f"evalkit: {kind}.toml"}
