"""What an evaluation of many rows takes: memory and time, with an engine that only recites.

    python benchmarks/rows.py                      # 1,000 and 100,000 rows
    python benchmarks/rows.py --rows 1000 20000

Each size runs in a process of its own: rows are written to a file and read, the engine
recites recorded answers, the run is written, read back, and every usual number is made of it.
What is printed is what the process held at most, and how long it took.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from rich.console import Console

from evalkit.data import load_dataset
from evalkit.engines.building import EngineOptions
from evalkit.engines.pool import build_engine
from evalkit.environment import peak_memory
from evalkit.runs.runner import Runner
from evalkit.systems import load_system

FOLDERS = ("Work", "Personal", "Promotions", "Alerts")
SYSTEM = 'task = "notifications-3level"\nformat = "json"\nengine = "replay"\nanswers = "a.jsonl"\n'


@dataclass(frozen=True)
class Cost:
    """What one size took."""

    rows: int
    seconds: float
    bytes: int


def main() -> None:
    """Run each size and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 100_000])
    show = Console(highlight=False, markup=False, soft_wrap=True).print
    show("     rows    seconds   rows/s   peak memory   beyond the first")
    first: Cost | None = None
    for rows in parser.parse_args().rows:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            cost = pool.submit(measure, rows).result()
        first = first or cost
        show(
            f"{cost.rows:>9,} {cost.seconds:>10.1f} {cost.rows / cost.seconds:>8,.0f} "
            f"{cost.bytes / 1e6:>10,.0f} MB {(cost.bytes - first.bytes) / 1e6:>+12,.0f} MB"
        )


def measure(rows: int) -> Cost:
    """Evaluate so many rows, from a file to the usual numbers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_project(folder, rows)
        started = time.perf_counter()
        system = load_system(folder / "reciter")
        dataset = load_dataset(str(folder / "rows.jsonl"), system.task)
        runner = Runner(folder / "runs", EngineOptions(), Console(quiet=True), build=build_engine)
        evaluation, _ = runner.evaluate(system, dataset)
        assert "priority accuracy" in evaluation.overview()
        seconds = time.perf_counter() - started
    return Cost(len(evaluation.rows), seconds, peak_memory()["process"])


def write_project(folder: Path, rows: int) -> None:
    """Write rows of made-up words and a system that recites four right answers of five."""
    chance = random.Random(0)
    words = ["".join(chance.choices("abcdefghijklmnoprstuvw", k=6)) for _ in range(20_000)]
    system = folder / "reciter"
    system.mkdir()
    (system / "system.toml").write_text(SYSTEM, encoding="utf-8")
    with (
        (folder / "rows.jsonl").open("w", encoding="utf-8") as examples,
        (system / "a.jsonl").open("w", encoding="utf-8") as answers,
    ):
        for number in range(rows):
            label = {"folder": chance.choice(FOLDERS), "priority": chance.randint(1, 3)}
            said = label if number % 5 else {"folder": "Work", "priority": 1}
            notification = {
                "app": chance.choice(words),
                "title": " ".join(chance.choices(words, k=4)),
                "body": " ".join(chance.choices(words, k=12)),
            }
            row = {"id": str(number), "notification": notification, "classification": label}
            examples.write(json.dumps(row) + "\n")
            answers.write(json.dumps({"id": str(number), "text": json.dumps(said)}) + "\n")


if __name__ == "__main__":
    main()
