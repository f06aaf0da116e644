"""Where the time of a gate went."""

from __future__ import annotations

from typing import Any

import pytest

from evalkit.pytest_plugin.phases import phase_table, phases
from evalkit.reports.render.terminal import to_terminal, to_text
from evalkit.run_record import RunRecord


def record(rows: int, seconds: float, known: int = 0, **cost: float) -> RunRecord:
    given: dict[str, Any] = {"seconds": {"load": 0.5, "answer": seconds}, "cost": cost}
    return RunRecord(rows=rows, reused_rows=known, **given)


ASKED = [
    ("mine", "", record(500, 10.0, operations=4e9)),
    ("mine", "padded-0", record(16, 1.0)),
    ("mine", "padded-1", record(14, 2.0)),
    ("mine", "reversed", record(500, 20.0, known=100, operations=16e9)),
]


def test_numbered_parts_are_one_phase_and_the_slowest_comes_first():
    found = [(phase.name, phase.rows, phase.seconds) for phase in phases(ASKED)]
    assert found == [("reversed", 500, 20.0), ("test rows", 500, 10.0), ("padded", 30, 3.0)]
    two = phases([*ASKED, ("other", "", record(1, 9.0))])
    assert [phase.name for phase in two][1:3] == ["mine: test rows", "other: test rows"]


@pytest.mark.parametrize(("most", "lines"), [(0, 4), (1, 3)])
def test_what_is_not_among_the_slowest_is_summed_up(most: int, lines: int):
    text = to_text(to_terminal(phase_table(phases(ASKED), most, 1e9)), 80, colour=False)
    head, *rows = [
        cells for line in text.splitlines() if (cells := line.split()) and cells[0].isalnum()
    ]
    assert head[:2] == ["phase", "rows"]
    assert len(rows) == lines
    # 400 new rows in 20 s; 16e9 operations in 20 s are 80% of 1e9 a second.
    assert rows[0] == ["reversed", "500", "100", "20.0", "20.0", "80%"]
    assert rows[-1] == ["all", "1,030", "100", "33.0", "28.2", "61%"]
    if most:
        assert rows[1] == ["2", "more", "530", "0", "13.0", "40.8", "31%"]


def test_a_machine_that_was_not_measured_has_no_share():
    text = to_text(to_terminal(phase_table(phases(ASKED), 0, None)), 80, colour=False)
    assert "of peak" not in text
