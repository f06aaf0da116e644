"""How long collecting a suite and printing help take, against doing next to nothing.

    python benchmarks/startup.py

Peers, in the same run: `pytest --collect-only` on an empty test without evalkit's plugin, and
`python -c pass`. Each is timed several times and the fastest counts.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

ROOT = Path(__file__).parents[1]
REPEATS = 5


def fastest(arguments: list[str], cwd: Path) -> float:
    """Seconds of the fastest of several runs."""
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        subprocess.run([sys.executable, *arguments], cwd=cwd, check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    return min(times)


def main() -> None:
    """Time both pairs and print their ratios."""
    show = Console().print
    collect = ["-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    with tempfile.TemporaryDirectory() as folder:
        bare_folder = Path(folder)
        (bare_folder / "test_x.py").write_text("def test_x():\n    pass\n")
        bare = fastest([*collect, "-p", "no:evalkit"], bare_folder)
    suites = fastest([*collect, "suites/", "--model", "smollm2-3level"], ROOT)
    nothing = fastest(["-c", "pass"], ROOT)
    helped = fastest(["-c", "from evalkit.cli import main; main()", "--help"], ROOT)
    show(f"pytest --collect-only, bare    {bare:.2f} s")
    show(f"pytest --collect-only suites/  {suites:.2f} s  ({suites / bare:.1f} x)")
    show(f"python -c pass                 {nothing:.2f} s")
    show(f"evalkit --help                 {helped:.2f} s  ({helped / nothing:.1f} x)")


if __name__ == "__main__":
    main()
