"""The JSON Schemas take what the program takes, and refuse its users' slips."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from evalkit.cli.init import init
from evalkit.cli.schema import schema
from evalkit.errors import UserError
from evalkit.schemas import SCHEMAS, json_schema_of

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "evalkit"
FILES = {
    "system": [*ROOT.glob("adapters/*/system.toml"), *PACKAGE.glob("skeleton/**/system.toml")],
    "task": [*PACKAGE.glob("tasks/*.toml"), PACKAGE / "skeleton" / "task.toml"],
    "gates": [ROOT / "suites" / "gates.toml", PACKAGE / "skeleton" / "suites" / "gates.toml"],
}
SYSTEM = {"task": "t", "format": "json", "base": "hf:OWNER/NAME"}
TFIDF = {"task": "t", "format": "json", "engine": "tfidf"}


def faults(kind: str, content: dict[str, Any]) -> list[str]:
    return [
        fault.message for fault in Draft202012Validator(json_schema_of(kind)).iter_errors(content)
    ]


@pytest.mark.parametrize("kind", SCHEMAS)
def test_schemas_are_valid_and_describe_every_key(kind: str) -> None:
    schema = json_schema_of(kind)
    Draft202012Validator.check_schema(schema)
    tables = {kind: schema, **schema["$defs"]}
    bare = [
        f"{table}.{key}"
        for table, content in tables.items()
        for key, spec in content.get("properties", {}).items()
        if not spec.get("description")
    ]
    assert bare == []


@pytest.mark.parametrize(
    ("kind", "path"),
    [(k, path) for k, paths in FILES.items() for path in sorted(paths)],
    ids=lambda part: str(part.relative_to(ROOT)) if isinstance(part, Path) else part,
)
def test_every_file_of_the_project_is_valid(kind: str, path: Path) -> None:
    assert faults(kind, tomllib.loads(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("kind", "content", "says"),
    [
        ("system", SYSTEM | {"formt": "json"}, "formt"),
        ("system", SYSTEM | {"format": "yaml"}, "yaml"),
        ("system", SYSTEM | {"engine": "transformer"}, "transformer"),
        ("system", SYSTEM | {"recipe": {"data": "x.jsonl", "epoch": 3}}, "epoch"),
        ("system", SYSTEM | {"recipe": {"epochs": 3}}, "not valid under any"),
        ("system", SYSTEM | {"recipe": {"data": "x.jsonl", "lora": {"r": 0}}}, "less than"),
        ("system", TFIDF | {"recipe": {"data": "x.jsonl", "epochs": 3}}, "epochs"),
        ("system", {"format": "json"}, "'task' is a required"),
        ("gates", {"a": {"min_value": 0.8}}, "'why' is a required"),
        (
            "gates",
            {"a": {"min_value": 0.8, "max_value": 0.9, "why": "x"}},
            "oneOf|valid under each",
        ),
        ("gates", {"a": {"min_value": "80", "why": "x"}}, "not valid under any"),
        ("gates", {"a": {"min_value": 0.8, "why": "x", "tier": "minor"}}, "minor"),
        ("task", {"family": "f", "summary": "s", "instruction": "i", "inputs": {}}, "'fields'"),
    ],
)
def test_slips_are_refused(kind: str, content: dict[str, Any], says: str) -> None:
    found = faults(kind, content)
    assert len(found) == 1
    assert re.search(says, found[0])


def test_what_has_two_ways_is_taken_in_both() -> None:
    assert faults("gates", {"a": {"min_value": "80%", "why": "x"}}) == []
    assert faults("system", TFIDF | {"recipe": {"data": ["a", "b"], "c": 3.0}}) == []
    old = {"data": "x.jsonl", "augment": {"field": "folder"}}
    assert faults("system", SYSTEM | {"recipe": old}) == []


def test_an_unknown_kind_is_named_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"no schema 'gate'.*'gates'\?.*system, task, gates"):
        json_schema_of("gate")


def test_init_writes_each_schema_and_every_file_names_its_own(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    init(folder)
    files = sorted(folder.rglob("*.toml"))
    assert len(files) == 4
    for path in files:
        first = path.read_text(encoding="utf-8").splitlines()[0]
        named = path.parent / first.removeprefix("#:schema ")
        assert named.stem == path.stem
        assert json.loads(named.read_text(encoding="utf-8")) == json_schema_of(path.stem)


def test_a_schema_is_written_over_none_but_json(tmp_path: Path) -> None:
    schema("task", tmp_path / "schemas" / "task.json")
    written = (tmp_path / "schemas" / "task.json").read_text(encoding="utf-8")
    assert json.loads(written) == json_schema_of("task")
    with pytest.raises(UserError, match=r"end its name in \.json"):
        schema("task", tmp_path / "task.toml")
