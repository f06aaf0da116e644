"""The map in docs/architecture.md is held to the tree."""

from __future__ import annotations

import importlib
import re
from functools import reduce
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_floor_plan_names_every_module() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    plan = text.split("## Floor plan")[1].split("```")[1]
    named = set(re.findall(r"^  (\w+(?:\.py|/))", plan, re.MULTILINE))
    there = {path.name for path in (ROOT / "evalkit").glob("[a-z]*.py")}
    there |= {f"{path.parent.name}/" for path in (ROOT / "evalkit").glob("*/__init__.py")}
    assert named == there


PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ONE_ROW = PAGE.split("## One row")[1].split("\n## ")[0]


@pytest.mark.parametrize("name", re.findall(r"`([\w.]+:[\w.]+)`", ONE_ROW))
def test_the_way_of_one_row_is_that_of_the_code(name: str) -> None:
    module, _, attribute = name.partition(":")
    found = reduce(getattr, attribute.split("."), importlib.import_module(f"evalkit.{module}"))
    assert callable(found) or hasattr(found, "name")  # a fixture is an object of pytest's
    assert ONE_ROW.count(f"`{name}`") == 1


def test_the_way_of_one_row_fits_on_a_page() -> None:
    assert 15 <= len(re.findall(r"`[\w.]+:[\w.]+`", ONE_ROW)) <= 45
    assert len(ONE_ROW.splitlines()) < 70


def test_dependencies_are_explained() -> None:
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = project.split("dependencies = [")[1].split("\n]")[0]
    names = re.findall(r'^  "([\w-]+)', block, re.MULTILINE)
    assert names
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []
