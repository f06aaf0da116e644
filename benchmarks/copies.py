"""Accuracy on rows that stand once in a published file, and on those that stand there repeatedly.

    pytest suites/test_accuracy.py --model NAME --data dev.jsonl
    python benchmarks/copies.py train_5level.jsonl runs/STAMP-NAME

A row of the run is looked up in the published file by its inputs, word for word. Rows that the
system was trained on are counted too, apart: what is right there may be remembered.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from rich.console import Console

from evalkit.data import load_dataset
from evalkit.data.normalising import exact_inputs
from evalkit.metrics import share
from evalkit.runs import read_run


def main() -> None:
    """Print each field's accuracy, and that of rows with no wrong field, for each kind of row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("published", help="the file whose copies are counted")
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs")
    options = parser.parse_args()
    show = Console(highlight=False, markup=False, soft_wrap=True).print
    for run in map(read_run, options.runs):
        published = load_dataset(options.published, run.task).examples
        copies = Counter(map(exact_inputs, published))
        kinds: dict[str, list[bool]] = {}
        fields = list(run.task.fields)
        for row in run.rows:
            count = copies[exact_inputs(row.example)]
            kind = f"{'once' if count == 1 else 'repeatedly' if count else 'not'} published"
            kind += ", trained on" if row.contaminated_by is not None else ""
            for name in [*fields, "all"]:
                right = all(row.is_right(field) for field in (fields if name == "all" else [name]))
                kinds.setdefault(f"{kind}: {name}", []).append(right)
        show(run.system)
        for kind, hits in sorted(kinds.items()):
            found = share(hits)
            show(f"  {kind:42} {found.value:6.1%} ({found.low:.1%}-{found.high:.1%}), {found.n}")


if __name__ == "__main__":
    main()
