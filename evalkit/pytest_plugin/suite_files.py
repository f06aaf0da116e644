"""What the suite files themselves say has to be judged, whatever pytest makes of them.

A suite test is a function whose name begins with `test` and that takes `gate`. It is read from
the source, so that no setting, hook or plugin that hides it from pytest hides it from here.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Marks = tuple[tuple[str, tuple[Any, ...]], ...]
"""Names of marks with their constant arguments, the nearest to the test last."""

_NO_SUITES = ("__pycache__", "build", "dist", "node_modules", "site-packages", "venv")
"""Folders that are not searched, besides hidden ones."""


@dataclass(frozen=True)
class Call:
    """A call in a suite test with a text that may be a criterion's name."""

    texts: tuple[str, ...]
    slice: ast.expr | None
    """What it gives as `slice`."""
    is_gate: bool = False
    """Whether it is the fixture that is called, and the text the criterion's name."""


@dataclass(frozen=True)
class SuiteTest:
    """A suite test as it is in its file."""

    path: Path
    name: str
    """With the classes around it: `TestRecall.test_each`."""
    calls: tuple[Call, ...]
    marks: Marks
    """Of the function, its classes and its module."""
    is_hidden: bool
    """Whether a later function of the same name takes its place."""

    def marked(self, mark: str) -> list[tuple[Any, ...]]:
        """The arguments of each mark of that name."""
        return [args for name, args in self.marks if name == mark]

    def labels(self, criteria: Collection[str], params: Mapping[str, Any], own: str) -> list[str]:
        """The gates that it holds, with their slices: `folder_recall[Work]`.

        Args:
            criteria: names of all criteria.
            params: what the test is parametrised with.
            own: the test's name, for gates of which the source does not tell criterion or slice.
        """
        found: dict[str, None] = {}
        for call in self.calls:
            of = _value(call.slice, params)
            names = [] if of is None else [name for name in call.texts if name in criteria]
            found |= dict.fromkeys(f"{name}[{of}]" if of else name for name in names)
            if call.is_gate and not names:
                found[own] = None
        return list(found) or [own]


def read_suite(path: Path) -> tuple[SuiteTest, ...]:
    """The suite tests in a file; none where it is not Python, which pytest complains about."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return ()
    return tuple(_tests(path, tree.body, "", _own_marks(tree.body)))


def find_suites(folders: Iterable[Path], below: Iterable[Path]) -> list[Path]:
    """Files named as tests are, in folders and their subfolders, that lie below others."""
    tops = [top.resolve() for top in below]
    found = {
        Path(where, name)
        for folder in folders
        for where, inner, names in os.walk(folder.resolve())
        if _prune(inner)
        for name in names
        if name.endswith(".py") and (name.startswith("test_") or name.endswith("_test.py"))
    }
    return sorted(path for path in found if any(path.is_relative_to(top) for top in tops))


def _prune(inner: list[str]) -> bool:
    """Keep `os.walk` out of folders that hold no suites."""
    inner[:] = [name for name in inner if name[0] != "." and name not in _NO_SUITES]
    return True


def _tests(path: Path, body: list[ast.stmt], prefix: str, marks: Marks) -> Iterator[SuiteTest]:
    names = [getattr(node, "name", None) for node in body]
    for place, node in enumerate(body):
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            own = (*_marks(node.decorator_list), *_own_marks(node.body))
            yield from _tests(path, node.body, f"{prefix}{node.name}.", (*marks, *own))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test") and _takes_gate(node):
            own = _marks(node.decorator_list)
            hidden = node.name in names[place + 1 :]
            calls = tuple(_calls(node))
            yield SuiteTest(path, prefix + node.name, calls, (*marks, *own), hidden)


def _takes_gate(node: ast.FunctionDef) -> bool:
    return any(arg.arg == "gate" for arg in (*node.args.args, *node.args.kwonlyargs))


def _calls(node: ast.AST) -> Iterator[Call]:
    for call in ast.walk(node):
        if isinstance(call, ast.Call):
            constants = [arg.value for arg in call.args if isinstance(arg, ast.Constant)]
            texts = tuple(value for value in constants if isinstance(value, str))
            of = next((k.value for k in call.keywords if k.arg == "slice"), None)
            is_gate = isinstance(call.func, ast.Name) and call.func.id == "gate"
            yield Call(texts, of, is_gate)


def _own_marks(body: list[ast.stmt]) -> Marks:
    """The marks of a `pytestmark`."""
    return tuple(
        mark
        for node in body
        if isinstance(node, ast.Assign)
        and any(isinstance(t, ast.Name) and t.id == "pytestmark" for t in node.targets)
        for mark in _marks([node.value])
    )


def _marks(nodes: list[ast.expr]) -> Marks:
    """`pytest.mark.NAME(...)` among expressions and lists of them."""
    found: list[tuple[str, tuple[Any, ...]]] = []
    for node in nodes:
        if isinstance(node, ast.List | ast.Tuple):
            found += _marks(node.elts)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            args = tuple(arg.value for arg in node.args if isinstance(arg, ast.Constant))
            found.append((node.func.attr, args))
    return tuple(found)


def _value(node: ast.expr | None, params: Mapping[str, Any]) -> str | None:
    """A slice's name, "" for none; None where the source alone does not tell."""
    if node is None:
        return ""
    if isinstance(node, ast.Constant):
        return "" if node.value is None else str(node.value)
    if isinstance(node, ast.Name) and node.id in params:
        return str(params[node.id])
    return None
