"""How the search for overlap grows with the training rows, and how much of it is found.

    python benchmarks/overlap.py --rows 10000 100000 1000000

Notifications are made of random words with a fixed seed: training rows, a tenth of them repeats,
and 10,000 test rows, 500 of which repeat a training row exactly, 500 after normalisation and 500
nearly (one or two words differ and the true similarity is 0.8 or more). Each size runs in a
process of its own, so that peak memory is its own; seconds are the processor's. The peer holds the
same signatures in datasketch's `MinHashLSH` and asks for each of them, up to 100,000 rows.
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from rich.console import Console

from evalkit.data import Kind, find_overlap
from evalkit.data.minhash import (
    PERMUTATIONS,
    SEED,
    band_keys,
    sign,
    similar_bundles,
    tabulate,
)
from evalkit.data.normalising import normalised_inputs
from evalkit.data.overlap import THRESHOLD
from evalkit.environment import peak_memory
from evalkit.records import Example

TEST_ROWS = 10_000
PLANTED = 500
PEER_UP_TO = 100_000


def main() -> None:
    """Measure every size and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000])
    show = Console(highlight=False, markup=False, soft_wrap=True).print
    for rows in parser.parse_args().rows:
        show(_alone(measure, rows))
        if rows <= PEER_UP_TO:
            show(_alone(measure_peer, rows))


def _alone(work: Callable[[int], str], rows: int) -> str:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, rows).result()


def measure(rows: int) -> str:
    """Time `find_overlap` and count what it finds of what was planted."""
    train, test = make_rows(rows)
    held = peak_memory()["process"]
    started = time.process_time()
    found = find_overlap(train, [example for example, _ in test])
    seconds = time.process_time() - started
    pairs = Counter(
        (planted, match.kind if match else None)
        for match, (_, planted) in zip(found.matches, test, strict=True)
    )
    recall = ", ".join(f"{pairs[kind, kind]} of {PLANTED} {kind}" for kind in Kind)
    strange = sum(pairs[None, kind] for kind in Kind)
    return (
        f"{rows:9,} x {TEST_ROWS:,}: {seconds:6.1f} s, peak {peak_memory()['process'] / 1e9:.2f} "
        f"GB ({held / 1e9:.2f} GB before); found {recall}; {strange} others"
    )


def measure_peer(rows: int) -> str:
    """Time datasketch's index and evalkit's bands on the same signatures."""
    from datasketch import MinHash, MinHashLSH  # type: ignore[import-untyped]  # ships no types

    signatures = sign([normalised_inputs(example) for example in make_rows(rows)[0]])
    started = time.process_time()
    bundles = sum(1 for _ in similar_bundles(signatures, THRESHOLD))
    ours, before = time.process_time() - started, peak_memory()["process"]
    bands = sum(1 for _ in band_keys(signatures[:1], THRESHOLD))
    started = time.process_time()
    index = MinHashLSH(num_perm=PERMUTATIONS, params=(bands, PERMUTATIONS // bands))
    sketch = MinHash(PERMUTATIONS, seed=SEED)
    for row, signature in enumerate(signatures):
        sketch.hashvalues = signature
        index.insert(row, sketch)
    for signature in signatures:
        sketch.hashvalues = signature
        index.query(sketch)
    peer = time.process_time() - started
    memory = (peak_memory()["process"] - before) / rows
    return (
        f"          search within {rows:,} signatures: {ours:.2f} s ({bundles:,} bundles); "
        f"MinHashLSH {peer:.2f} s, {peer / ours:.0f} x, and {memory:,.0f} bytes a row"
    )


def make_rows(rows: int) -> tuple[list[Example], list[tuple[Example, Kind | None]]]:
    """Make training rows, and test rows with what each is planted as."""
    rng = random.Random(0)
    letters = "etaoinshrdlucmfwypvbg"
    words = ["".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(20_000)]

    def sentence() -> str:
        return " ".join(rng.choices(words, k=rng.randint(14, 24)))

    bodies = [f"{sentence()} {rng.randint(1, 999)}." for _ in range(rows - rows // 10)]
    bodies += rng.choices(bodies, k=rows // 10)
    planted = rng.sample(bodies, 3 * PLANTED)
    test: list[tuple[str, Kind | None]] = []
    test += [(body, Kind.EXACT) for body in planted[:PLANTED]]
    test += [(f" {body.upper()[:-1]}9!", Kind.NORMALISED) for body in planted[PLANTED:-PLANTED]]
    test += [(_vary(body, words, rng), Kind.NEAR) for body in planted[-PLANTED:]]
    test += [(sentence(), None) for _ in range(TEST_ROWS - len(test))]
    rng.shuffle(test)
    return (
        [_example(f"train-{number}", body) for number, body in enumerate(bodies)],
        [(_example(f"test-{number}", body), kind) for number, (body, kind) in enumerate(test)],
    )


def _example(name: str, body: str) -> Example:
    return Example(name, {"app": "Mail", "title": "", "body": body}, {"priority": 1})


def _vary(body: str, words: list[str], rng: random.Random) -> str:
    """Replace two words, or one, so that a similarity of 0.8 remains."""
    while True:
        varied = body.split()
        for place in rng.sample(range(len(varied) - 1), rng.randint(1, 2)):
            varied[place] = rng.choice(words)
        text = " ".join(varied)
        table = tabulate(normalised_inputs(_example("", one)) for one in (body, text))
        if THRESHOLD <= table.similarity(0, slice(1, 2))[0] < 1:
            return text


if __name__ == "__main__":
    main()
