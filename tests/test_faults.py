"""A few of the kills and races that `benchmarks/faults.py` prints many of."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from forked import run_script

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "faults.py"


@pytest.mark.skipif(sys.platform == "win32", reason="forks and SIGKILL")
def test_nothing_is_lost_or_half_believed_after_kills_and_races(tmp_path: Path) -> None:
    log = tmp_path / "said"
    code = run_script(SCRIPT, ["--kills", "8", "--rounds", "2", "--seed", "1"], log)
    said = log.read_text()
    assert code == 0, said
    assert "8 kills in" in said
    assert "2 with both verdicts as alone" in said
