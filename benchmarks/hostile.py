"""10,000 hostile rows, labels, pages and server replies, drawn from a fixed seed.

    python benchmarks/hostile.py [--examples 10000]

tests/test_hostile.py and tests/reports/test_hostile_pages.py draw some hundreds: the same tests
with another number.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Run the tests with more examples; pytest's exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--examples", type=int, default=10_000, help="of all kinds together")
    options = parser.parse_args()
    tests = Path(__file__).parents[1] / "tests"
    return subprocess.call(
        [
            sys.executable,
            "-m",
            "pytest",
            str(tests / "test_hostile.py"),
            str(tests / "reports" / "test_hostile_pages.py"),
            "-q",
            "--durations=0",
            "--hypothesis-show-statistics",
        ],
        env={**os.environ, "EVALKIT_HOSTILE_EXAMPLES": str(options.examples)},
    )


if __name__ == "__main__":
    sys.exit(main())
