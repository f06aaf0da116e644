"""The map in docs/architecture.md is held to the tree."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_floor_plan_names_every_module() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    plan = text.split("## Floor plan")[1].split("```")[1]
    named = set(re.findall(r"^  (\w+(?:\.py|/))", plan, re.MULTILINE))
    there = {path.name for path in (ROOT / "evalkit").glob("[a-z]*.py")}
    there |= {f"{path.parent.name}/" for path in (ROOT / "evalkit").glob("*/__init__.py")}
    assert named == there


def test_dependencies_are_explained() -> None:
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = project.split("dependencies = [")[1].split("\n]")[0]
    names = re.findall(r'^  "([\w-]+)', block, re.MULTILINE)
    assert names
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []
