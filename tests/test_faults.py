"""A few of the kills and races that `benchmarks/faults.py` prints many of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "faults.py"


@pytest.mark.skipif(sys.platform == "win32", reason="forks and SIGKILL")
def test_nothing_is_lost_or_half_believed_after_kills_and_races() -> None:
    given = ["--kills", "8", "--rounds", "2", "--seed", "1"]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *given], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "8 kills in" in done.stdout
    assert "2 with both verdicts as alone" in done.stdout
