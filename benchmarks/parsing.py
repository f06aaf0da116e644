"""How the time to parse grows with the length of a text, for shapes that could be quadratic.

    python benchmarks/parsing.py

Each shape is parsed at 100 kB and at 1 MB: a parser that is linear takes about 10 times as long,
a quadratic one 100 times. The peer in the same run is `json.loads` on a valid object of 1 MB.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial

from rich.console import Console

from evalkit.formats import get_format
from evalkit.tasks import load_task

SHAPES = {
    "json": ("{", '{"a":', '{"folder": ', '{"folder": "', "<think>", "{}", '["', "x"),
    "call": ("<start_function_call>", "<escape>", "<start_function_call>call:", "<think>", "x"),
}


def seconds(run: Callable[[], object]) -> float:
    """Processor time of the fastest of three calls."""
    times = []
    for _ in range(3):
        started = time.process_time()
        run()
        times.append(time.process_time() - started)
    return max(min(times), 1e-4)


def main() -> None:
    """Time every shape and print growth and the ratio to the peer."""
    show = Console(highlight=False, markup=False).print
    task = load_task("notifications-3level")
    peer_text = json.dumps({str(i): "x" * 90 for i in range(10_000)})
    peer = seconds(lambda: json.loads(peer_text))
    show(f"json.loads of {len(peer_text):,} characters: {peer:.4f} s")
    for name, pieces in SHAPES.items():
        fmt = get_format(name, task)
        for piece in pieces:
            small, large = (piece * (size // len(piece)) for size in (100_000, 1_000_000))
            short = seconds(partial(fmt.parse, task, small))
            long = seconds(partial(fmt.parse, task, large))
            show(
                f"{name:5} {piece!r:28} 1 MB {long:.3f} s, {long / short:5.1f} x 100 kB, "
                f"{long / peer:6.1f} x json.loads",
                soft_wrap=True,
            )


if __name__ == "__main__":
    main()
