"""What a newcomer meets: lines, hidden imports, look-ups in records, circles.

    python benchmarks/house.py

Lines are those of Python files under git, blank ones and comments included.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "evalkit"
SHOWING = ("reports", "reporting")
RECORDS = re.compile(r"""\brecord(?:\.get\(|\[)["']""")
"""A look-up by a string in what identifies a run."""


def files(folder: str) -> list[Path]:
    """The Python files under a folder that git knows."""
    asked = ["git", "-C", str(ROOT), "ls-files", f"{folder}/*.py", f"{folder}/**/*.py"]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    return sorted({ROOT / line for line in said.splitlines() if (ROOT / line).is_file()})


def lines(paths: list[Path]) -> int:
    """How many lines they have together."""
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


def imports(tree: ast.AST, inside: bool = False) -> Iterator[tuple[str, bool]]:
    """Each first-party module that is imported, and whether that stands in a function."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("evalkit"):
            assert node.module is not None
            yield node.module, inside
            for alias in node.names:
                yield f"{node.module}.{alias.name}", inside
        elif isinstance(node, ast.Import):
            yield from ((a.name, inside) for a in node.names if a.name.startswith("evalkit"))
        else:
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from imports(node, inside or is_function)


def local_imports(paths: list[Path]) -> int:
    """Statements in functions that import evalkit's own modules."""
    found = 0
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found += sum(
                    isinstance(inner, ast.ImportFrom) and (inner.module or "").startswith("evalkit")
                    for statement in node.body
                    for inner in ast.walk(statement)
                )
    return found


def module_of(path: Path) -> str:
    """A file's module."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def cycles(paths: list[Path]) -> list[list[str]]:
    """Groups of modules that import each other, in functions too."""
    known = {module_of(path): path for path in paths}
    graph = {
        name: {
            target
            for target, _ in imports(ast.parse(path.read_text(encoding="utf-8")))
            if target in known and target != name
        }
        for name, path in known.items()
    }
    # A package that only gathers what its modules offer is no step of a circle.
    gathering = {name for name, path in known.items() if path.name == "__init__.py"}
    graph = {
        n: {t for t in to if t not in gathering} for n, to in graph.items() if n not in gathering
    }
    return [sorted(group) for group in components(graph) if len(group) > 1]


def components(graph: dict[str, set[str]]) -> list[set[str]]:
    """Strongly connected components (Tarjan)."""
    found: list[set[str]] = []
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []

    def visit(name: str) -> None:
        number[name] = low[name] = len(number)
        stack.append(name)
        for target in graph[name]:
            if target not in number:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], number[target])
        if low[name] == number[name]:
            at = stack.index(name)
            found.append(set(stack[at:]))
            del stack[at:]

    for name in graph:
        if name not in number:
            visit(name)
    return found


def internals(paths: list[Path]) -> list[str]:
    """Suites that import another module than `evalkit` itself."""
    return [
        path.relative_to(ROOT).as_posix()
        for path in paths
        if any(
            name.count(".") > 0 and isinstance(node, ast.ImportFrom) and node.module != "evalkit"
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.ImportFrom)
            for name in [node.module or ""]
            if name.startswith("evalkit")
        )
    ]


def main() -> None:
    """Print the table."""
    code = files("evalkit")
    showing = [path for path in code if path.relative_to(PACKAGE).parts[0] in SHOWING]
    local, total = local_imports(code), lines(code)
    lookups = sum(len(RECORDS.findall(path.read_text(encoding="utf-8"))) for path in code)
    suites, circles = internals(files("suites")), cycles(code)
    for what, found, wanted in (
        ("lines in evalkit/", f"{total:,}", "23,500"),
        ("lines for showing", f"{lines(showing):,}", "4,300"),
        ("imports in functions, per 1,000 lines", f"{1000 * local / total:.1f}", "4"),
        ("look-ups by a string in records", f"{lookups}", "5"),
        ("suites that import internals", f"{len(suites)}", "0"),
        ("import circles", f"{len(circles)}", "0"),
    ):
        print(f"{what:40} {found:>8}   at most {wanted}")  # noqa: T201
    for name in suites:
        print(f"  imports internals: {name}")  # noqa: T201
    for circle in circles:
        print(f"  circle: {' <-> '.join(circle)}")  # noqa: T201


if __name__ == "__main__":
    main()
