"""Which answers depend on how they are computed: precision, batch size, order, padding.

    python benchmarks/repeatability.py --data fixtures/notifications/test.jsonl --limit 100

The same system answers the same rows in one batch per row, in batches of other sizes, in reversed
order, and in chunks of rows that are not sorted by length, so that short ones are padded; each
with a trunk in fp32 and in bf16. Every way is held against one row at a time in the same precision
and in fp32. `margins` are those of the answers that differ, in the way they differ from: the least
distance of a chosen token's logit from the next one's.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from evalkit.data import load_dataset
from evalkit.engines.building import EngineOptions
from evalkit.engines.loading import Precision
from evalkit.engines.pool import Engines
from evalkit.evaluation import build_requests
from evalkit.records import Completion, Request
from evalkit.systems import load_system

Answers = Mapping[str, Completion]
BATCH = 16


def main() -> None:
    """Answer in every way and print what differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=Path("fixtures/notifications/test.jsonl"))
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--model", default="smollm2-3level")
    parser.add_argument("--device", default="cpu", choices=["auto", "cpu", "cuda", "mps"])
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--sizes", nargs="*", type=int, default=[8, 16, 32])
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    system = load_system(options.model)
    dataset = load_dataset(str(options.data), system.task, limit=options.limit)
    requests = list(build_requests(system.task, system.format, dataset.examples))
    engines = Engines()

    def answer(given: Sequence[Request], precision: Precision, rows: int) -> dict[str, Completion]:
        engine = engines.build(system, EngineOptions(options.device, precision, rows))
        said: dict[str, Completion] = {}
        for name, completion in engine.complete(given):
            assert isinstance(completion, Completion)
            said[name] = completion
        return said

    show = Console(highlight=False, soft_wrap=True).print
    show(f"{system.name}, {len(requests)} rows")
    show(f"{'':28} {'rows/s':>7} {'differ from one at a time':>26} {'from fp32':>10}  margins")
    in_fp32: Answers = {}
    figures: dict[str, dict[str, float]] = {}
    for precision in options.precisions:
        alone: Answers = {}
        chunks = [requests[at : at + BATCH] for at in range(0, len(requests), BATCH)]
        ways: dict[str, tuple[list[Sequence[Request]], int]] = {"one at a time": ([requests], 1)}
        ways |= {f"batches of {size}": ([requests], size) for size in options.sizes}
        ways[f"reversed, batches of {BATCH}"] = ([requests[::-1]], BATCH)
        ways[f"as they come, {BATCH}"] = (list(chunks), BATCH)
        for way, (parts, rows) in ways.items():
            started = time.perf_counter()
            said: dict[str, Completion] = {}
            for part in parts:
                said |= answer(part, precision, rows)
            speed = len(requests) / (time.perf_counter() - started)
            alone = alone or said
            in_fp32 = in_fp32 or (said if precision == "fp32" else {})
            flips = differing(alone, said)
            other = len(differing(in_fp32, said)) if in_fp32 else ""
            margins = " ".join(f"{alone[name].margin:.3f}" for name in flips)
            figures[f"{precision}, {way}"] = {"rows_per_second": speed, "differ": len(flips)}
            show(f"{precision} {way:23} {speed:7.2f} {len(flips):26} {other:>10}  {margins}")
        closest = sorted(c.margin for c in alone.values() if c.margin is not None)[:5]
        show(f"{precision} least margins: {' '.join(f'{margin:.3f}' for margin in closest)}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


def differing(one: Answers, other: Answers) -> list[str]:
    """Rows whose token ids differ."""
    return [name for name in one if one[name].token_ids != other[name].token_ids]


if __name__ == "__main__":
    main()
