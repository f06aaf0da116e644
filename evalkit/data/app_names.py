"""Apps by their names in English and in Chinese."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Literal


def app_names(use: Literal["suites", "training"]) -> tuple[tuple[str, str], ...]:
    """The (English, Chinese) names that suites change, or those that training does: no app is both.

    They stand in app_names.csv.
    """
    with Path(__file__).with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        return tuple((r["english"], r["chinese"]) for r in csv.DictReader(file) if r["use"] == use)
