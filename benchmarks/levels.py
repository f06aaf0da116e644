"""A run on fine labels read as a run on coarse ones, against a run that learned the coarse ones.

    pytest suites/ --model smollm2-3level --model smollm2-5level
    python benchmarks/levels.py runs/STAMP-smollm2-3level runs/STAMP-smollm2-5level

The coarse task's own mapping says which of its values a fine value is. Rows that either system was
trained on are left out. Differences are coarse minus fine, in points, by a paired test.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console

from evalkit.evaluation import EvaluatedRow
from evalkit.metrics import compare_hits
from evalkit.runs import read_run
from evalkit.tasks import Field, Task

Pair = tuple[EvaluatedRow, EvaluatedRow]


def mapping_of(field: Field, fine: Field) -> Mapping[str, str | int]:
    """Fine value, as text -> coarse value."""
    if set(fine.labels) == set(field.labels):
        return {str(value): value for value in field.labels}
    wanted = {str(value) for value in fine.labels}
    found = next((m for m in field.mappings.values() if set(m) == wanted), None)
    if found is None:
        raise SystemExit(f"the first run's task has no mapping of {sorted(wanted)}")
    return found


def right_when_mapped(task: Task, fine: Task) -> dict[str, Callable[[EvaluatedRow], bool]]:
    """Field -> whether a row of the fine run says the right coarse value."""

    def judge(name: str) -> Callable[[EvaluatedRow], bool]:
        mapping = mapping_of(task.fields[name], fine.fields[name])

        def is_right(row: EvaluatedRow) -> bool:
            said = mapping.get(str(row.predicted(name)))
            return said is not None and said == mapping[str(row.example.labels[name])]

        return is_right

    return {name: judge(name) for name in task.fields}


def main() -> None:
    """Print every field's accuracy on both sides, and that of rows with no wrong field."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("coarse", type=Path, help="folder of a run")
    parser.add_argument("fine", type=Path, help="folder of a run on the same rows, finer labels")
    options = parser.parse_args()
    coarse, fine = read_run(options.coarse), read_run(options.fine)
    mapped = right_when_mapped(coarse.task, fine.task)
    others = {row.example.id: row for row in fine.rows}
    if set(others) != {row.example.id for row in coarse.rows}:
        raise SystemExit("the runs are of different rows")
    pairs: list[Pair] = [
        (row, others[row.example.id])
        for row in coarse.rows
        if row.contaminated_by is None and others[row.example.id].contaminated_by is None
    ]
    show = Console(highlight=False, markup=False, soft_wrap=True).print
    show(f"{len(pairs)} of {len(coarse.rows)} rows that neither was trained on")
    show(f"{'':12} {coarse.system:>20} {fine.system:>20}  difference")
    fields = {name: [name] for name in coarse.task.fields} | {"all": list(coarse.task.fields)}
    for title, names in fields.items():
        found = compare_hits(
            [all(row.is_right(name) for name in names) for row, _ in pairs],
            [all(mapped[name](row) for name in names) for _, row in pairs],
        )
        show(
            f"{title:12} {found.first.value:20.1%} {found.second.value:20.1%}  "
            f"{100 * found.difference:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f}), "
            f"p = {found.p_value:.3f}"
        )


if __name__ == "__main__":
    main()
