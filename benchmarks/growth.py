"""What a gate costs as it grows, from slopes measured at small sizes.

    python benchmarks/growth.py --rows 1000000 --training 10000 --systems 20 --per-second 22.4

Each stage runs at two sizes (`--sizes`), in a process of its own. The line
through both gives the seconds and the memory of a row, and from them those of the sizes asked for.
A stage that grows faster than its rows would show a second slope; three sizes (`--sizes`) show it.
Answers are counted at the rate that is given: that of the machine and model in question.
Rows are made of random words with a fixed seed; answers are made up.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from evalkit.data import Fingerprints, duplicate_groups
from evalkit.evaluation import build_requests, evaluate
from evalkit.formats import get_format
from evalkit.records import Completion, Example, FinishReason
from evalkit.run_record import RunRecord
from evalkit.runs import AnswerStore, read_run, request_sha256, write_run
from evalkit.runs.rows import completion_to_json
from evalkit.tasks import load_task

TASK = "notifications-3level"
GIGABYTE = 1e9


class Spent(NamedTuple):
    """What a stage took."""

    seconds: float
    """Of the processor."""
    memory: float
    """Bytes at the peak beyond what there was before."""


def made_rows(count: int, seed: int) -> list[Example]:
    """Notifications of made-up words, a tenth of them repeats."""
    draw = random.Random(seed)
    words = ["".join(draw.choices("abcdefghijklmnop", k=6)) for _ in range(20_000)]
    rows: list[Example] = []
    for number in range(count):
        text = " ".join(draw.choices(words, k=12))
        if rows and number % 10 == 9:
            text = draw.choice(rows).inputs["body"]
        inputs = {"app_name": "Mail", "title": text[:20], "body": text}
        rows.append(Example(str(number), inputs, {"folder": "Work", "priority": 1}))
    return rows


def fingerprints(rows: Sequence[Example], training: int) -> Iterator[None]:
    """Hold every row against the training rows' fingerprints."""
    known = Fingerprints.of(made_rows(training, 1))
    yield
    known.match(rows)


def groups(rows: Sequence[Example], _: int) -> Iterator[None]:
    """Find near-duplicates among the rows."""
    yield
    duplicate_groups(rows)


def answers(rows: Sequence[Example], _: int) -> Iterator[None]:
    """Make every request, keep an answer to it on disk, and find it again."""
    task = load_task(TASK)
    form = get_format("json", task)
    with tempfile.TemporaryDirectory() as place:
        yield
        store = AnswerStore(Path(place), {"system": "made up"})
        store.open({"engine": "made up"})
        for request in build_requests(task, form, rows):
            store.keep(request_sha256(request), completion_to_json(_answer()))
        store.close()
        known = AnswerStore(Path(place), {"system": "made up"})
        for request in build_requests(task, form, rows):
            assert known.get(request_sha256(request))


def record(rows: Sequence[Example], _: int) -> Iterator[None]:
    """Read the answers, write the run, read it back and count its accuracy."""
    task = load_task(TASK)
    form = get_format("json", task)
    said = {row.id: _answer() for row in rows}
    with tempfile.TemporaryDirectory() as place:
        yield
        made = evaluate(
            "made up", task, form, rows, said, record=RunRecord(system="made up", format="json")
        )
        read_run(write_run(made, Path(place))).accuracy("folder")


def _answer() -> Completion:
    return Completion('{"folder": "Work", "priority": 1}', FinishReason.STOP, margin=1.0)


STAGES: dict[str, Callable[[Sequence[Example], int], Iterator[None]]] = {
    "fingerprints": fingerprints,
    "groups": groups,
    "answers": answers,
    "record": record,
}


def measure(stage: str, count: int, training: int) -> Spent:
    """Run a stage on so many rows; what comes before its `yield` is not counted."""
    rows = made_rows(count, 0)
    run = STAGES[stage](rows, training)
    next(run)
    before, started = _peak(), time.process_time()
    for _ in run:
        pass
    return Spent(time.process_time() - started, _peak() - before)


def _peak() -> float:
    """Bytes that this process held at most, as Linux counts it."""
    return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def slope(sizes: Sequence[int], found: Sequence[float]) -> tuple[float, float]:
    """The least-squares line through some points: what a row adds, and what there is without."""
    n = len(sizes)
    mean, height = sum(sizes) / n, sum(found) / n
    spread = sum((size - mean) ** 2 for size in sizes)
    pairs = zip(sizes, found, strict=True)
    each = sum((size - mean) * (value - height) for size, value in pairs) / spread
    return each, height - each * mean


def main() -> None:
    """Measure every stage and print what it comes to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--training", type=int, default=10_000)
    parser.add_argument("--systems", type=int, default=20)
    parser.add_argument("--sizes", type=int, nargs="+", default=[500, 2000])
    parser.add_argument("--stages", nargs="+", choices=list(STAGES), default=list(STAGES))
    parser.add_argument("--per-second", type=float, default=22.4, help="answers a second")
    parser.add_argument("--hour", type=float, default=0.0, help="what an hour of a machine costs")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    show = Console(highlight=False, markup=False, soft_wrap=True).print
    figures: dict[str, dict[str, float]] = {}
    show(f"{'':14} {'ms a row':>9} {'kB a row':>9} {'hours':>8} {'GB a system':>12} {'cost':>8}")

    def tell(stage: str, each: float, size: float) -> None:
        hours = each * options.rows * options.systems / 3600
        held, cost = size * options.rows / GIGABYTE, hours * options.hour
        figures[stage] = {"hours": hours, "gigabytes": held, "cost": cost}
        line = f"{stage:14} {1000 * each:9.3f} {size / 1000:9.2f} {hours:8.2f} {held:12.2f}"
        show(f"{line} {cost:8.2f}")

    for stage in options.stages:
        found = []
        for size in options.sizes:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                found.append(pool.submit(measure, stage, size, options.training).result())
        each, _ = slope(options.sizes, [spent.seconds for spent in found])
        held, _ = slope(options.sizes, [spent.memory for spent in found])
        tell(stage, max(0.0, each), max(0.0, held))
    tell("the model", 1 / options.per_second, 0.0)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
