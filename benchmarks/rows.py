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
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FOLDERS = ("Work", "Personal", "Promotions", "Alerts")
SYSTEM = 'task = "notifications-3level"\nformat = "json"\nengine = "replay"\nanswers = "a.jsonl"\n'


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


def evaluate(folder: Path) -> None:
    """Run the evaluation and print its cost as JSON."""
    from rich.console import Console

    from evalkit.answering import Respondent
    from evalkit.data import load_dataset
    from evalkit.engines.building import EngineOptions, build_engine
    from evalkit.running import run_system
    from evalkit.systems import load_system

    started = time.perf_counter()
    system = load_system(folder / "reciter")
    dataset = load_dataset(str(folder / "rows.jsonl"), system.task)
    respondent = Respondent(system, EngineOptions(), folder / "runs", build_engine)
    evaluation, _ = run_system(respondent, dataset, Console(quiet=True))
    measured = evaluation.overview()
    unit = 1 if sys.platform == "darwin" else 1024
    print(
        json.dumps(
            {
                "rows": len(evaluation.rows),
                "accuracy": measured["priority accuracy"].estimate.value,
                "seconds": time.perf_counter() - started,
                "bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
            }
        )
    )


def main() -> None:
    """Run each size and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 100_000])
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.folder:
        return evaluate(arguments.folder)
    print("     rows    seconds   rows/s   peak memory   beyond the first")
    first = None
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory() as name:
            write_project(Path(name), rows)
            command = [sys.executable, __file__, "--folder", name]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        said = json.loads(done.stdout)
        first = first or said["bytes"]
        print(
            f"{said['rows']:>9,} {said['seconds']:>10.1f} {said['rows'] / said['seconds']:>8,.0f} "
            f"{said['bytes'] / 1e6:>10,.0f} MB {(said['bytes'] - first) / 1e6:>+12,.0f} MB"
        )
    return None


if __name__ == "__main__":
    main()
