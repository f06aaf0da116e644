"""Apps by two of their names: English and Chinese ones, and on dev rows those of any languages."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Literal


def app_names(use: Literal["suites", "dev", "training"]) -> tuple[tuple[str, str], ...]:
    """The pairs of names that suites swap, on test or dev rows, or training does: all are others.

    They stand in app_names.csv. Those of suites and training are (English, Chinese).
    """
    with Path(__file__).with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        return tuple((r["name"], r["elsewhere"]) for r in csv.DictReader(file) if r["use"] == use)
