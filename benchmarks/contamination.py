"""How many copies of training rows are found, by what was changed, and how many others with them.

    python benchmarks/contamination.py ROWS... [--pairs FILE...] [--copies 400] [--json]

ROWS are training rows; some are edited as somebody would who wants a copy to pass: one word
replaced or inserted, two replaced, another app's name, the words shuffled, zero-width characters,
look-alike letters. FILES hold minimal pairs (rows with the same `pair` differ by a fact, often by
another label): those that count as copies are false. Both are printed over thresholds of the two
tests for near duplicates: the Jaccard index of the n-grams, and the share of the words that an edit
of a word or an input leaves. The last line is what a gate finds by contamination.bin.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from evalkit.data import Fingerprints, load_dataset
from evalkit.data.minhash import jaccard
from evalkit.data.normalising import normalised_inputs
from evalkit.data.word_edits import edit_hashes
from evalkit.records import Example
from evalkit.tasks import load_task

TASK = "notifications-3level"
JACCARDS = (0.6, 0.7, 0.75, 0.8, 0.85, 0.9)
SHARES = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
NONE = 1.01
"""No pair reaches it: the test is off."""
ZERO_WIDTH = "\u200b"
LOOKALIKES = str.maketrans("aeopcxy", "аеорсху")
Inputs = Mapping[str, str]
Edit = Callable[[Inputs, random.Random, Sequence[str]], Inputs]


def _words(text: str) -> list[str]:
    """Split a text into words, one with spaces; Chinese into pairs of characters."""
    words = text.split(" ")
    if len(words) > 3 or text.isascii():
        return words
    return [text[at : at + 2] for at in range(0, len(text), 2)]


def _join(words: Sequence[str], text: str) -> str:
    return (" " if len(text.split(" ")) > 3 or text.isascii() else "").join(words)


def _replaced(times: int) -> Edit:
    def edit(inputs: Inputs, rng: random.Random, vocabulary: Sequence[str]) -> Inputs:
        words = _words(inputs["body"])
        for place in rng.sample(range(len(words)), min(times, len(words))):
            words[place] = rng.choice(vocabulary)
        return {**inputs, "body": _join(words, inputs["body"])}

    return edit


def _inserted(inputs: Inputs, rng: random.Random, vocabulary: Sequence[str]) -> Inputs:
    words = _words(inputs["body"])
    words.insert(rng.randrange(len(words) + 1), rng.choice(vocabulary))
    return {**inputs, "body": _join(words, inputs["body"])}


def _renamed(inputs: Inputs, rng: random.Random, _: Sequence[str]) -> Inputs:
    names = ("Signal", "Pocket Planner", "Nordlicht", "小红书", "Blue Heron Bank", "Kite")
    return {**inputs, "app_name": rng.choice(names)}


def _shuffled(inputs: Inputs, rng: random.Random, _: Sequence[str]) -> Inputs:
    words = _words(inputs["body"])
    rng.shuffle(words)
    return {**inputs, "body": _join(words, inputs["body"])}


def _zero_width(inputs: Inputs, rng: random.Random, _: Sequence[str]) -> Inputs:
    return {
        name: "".join(c + ZERO_WIDTH * (rng.random() < 0.3) for c in text)
        for name, text in inputs.items()
    }


def _lookalikes(inputs: Inputs, rng: random.Random, _: Sequence[str]) -> Inputs:
    return {name: text.translate(LOOKALIKES) for name, text in inputs.items()}


EDITS: dict[str, Edit] = {
    "one word replaced": _replaced(1),
    "two words replaced": _replaced(2),
    "one word inserted": _inserted,
    "app name replaced": _renamed,
    "words shuffled": _shuffled,
    "zero-width characters": _zero_width,
    "look-alike letters": _lookalikes,
}


def edited(rows: Sequence[Example], edit: Edit, seed: int = 0) -> list[Example]:
    """Return copies of rows, each changed in one way."""
    rng = random.Random(seed)
    vocabulary = sorted({word for row in rows for word in _words(row.inputs["body"])})
    return [Example(row.id, edit(row.inputs, rng, vocabulary), row.labels) for row in rows]


def alike(one: str, other: str) -> tuple[float, float]:
    """Return the Jaccard index of two normalised texts, and the share of words an edit leaves."""
    if one == other:
        return 1.0, 1.0
    some, others = (edit_hashes(text, least_share=0.0) for text in (one, other))
    return jaccard(one, other), max(
        (min(some[key], others[key]) for key in some.keys() & others), default=0.0
    )


def minimal_pairs(files: Iterable[str]) -> Iterator[tuple[Example, Example]]:
    """Yield rows with the same `pair` of the same file."""
    task = load_task(TASK)
    for file in files:
        pair_of = {}
        for line in Path(file).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            pair_of[str(row["id"])] = row.get("pair")
        members = defaultdict(list)
        for example in load_dataset(file, task).examples:
            if pair := pair_of[example.id]:
                members[pair].append(example)
        yield from ((group[0], other) for group in members.values() for other in group[1:])


def curve(
    pairs: Mapping[str, Sequence[tuple[Example, Example]]],
) -> dict[str, dict[str, float]]:
    """Kind of pair -> test and threshold -> share of the pairs that count as copies."""
    tests = {f"jaccard {t:g}": (t, NONE) for t in JACCARDS}
    tests |= {f"words {t:g}": (NONE, t) for t in SHARES}
    tests |= {f"jaccard 0.8 or words {t:g}": (0.8, t) for t in SHARES}
    found = {}
    for kind, its in pairs.items():
        values = [alike(*map(normalised_inputs, pair)) for pair in its]
        found[kind] = {
            name: sum(j >= t or w >= u for j, w in values) / len(values)
            for name, (t, u) in tests.items()
        }
    return found


def by_fingerprints(
    train: Sequence[Example], pairs: Mapping[str, Sequence[tuple[Example, Example]]]
) -> dict[str, float]:
    """Kind of pair -> share whose second row counts as a copy of a training row, as a gate does."""
    known = Fingerprints.of(train)
    found = {}
    for kind, its in pairs.items():
        # The first rows of minimal pairs are trained on too.
        held = known if kind in EDITS else Fingerprints.of([one for one, _ in its])
        matches = held.match([other for _, other in its])
        found[kind] = sum(map(bool, matches)) / len(its)
    return found


def _table(found: Mapping[str, Mapping[str, float]]) -> str:
    kinds = list(found)
    lines = ["| test | " + " | ".join(kinds) + " |", "|---" * (len(kinds) + 1) + "|"]
    for test in next(iter(found.values())):
        cells = [f"{100 * found[kind][test]:.1f}" for kind in kinds]
        lines.append(f"| {test} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Print the curve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="+", help="training rows")
    parser.add_argument("--pairs", nargs="*", default=["fixtures/notifications/dev.jsonl"])
    parser.add_argument("--copies", type=int, default=400, help="rows edited in each way")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    task = load_task(TASK)
    train = [row for file in given.rows for row in load_dataset(file, task).examples]
    by_text = {normalised_inputs(row): row for row in train}
    long_enough = [row for row in by_text.values() if len(_words(row.inputs["body"])) > 2]
    chosen = random.Random(0).sample(long_enough, min(given.copies, len(long_enough)))
    pairs: dict[str, Sequence[tuple[Example, Example]]] = {
        name: list(zip(chosen, edited(chosen, edit), strict=True)) for name, edit in EDITS.items()
    }
    pairs["minimal pairs (false)"] = list(minimal_pairs(given.pairs))
    others = random.Random(1).sample(long_enough, 2 * min(2000, len(long_enough) // 2))
    half = len(others) // 2
    pairs["unrelated (false)"] = list(zip(others[:half], others[half:], strict=True))
    found, gate = curve(pairs), by_fingerprints(train, pairs)
    counts = {kind: len(its) for kind, its in pairs.items()}
    show = Console(highlight=False, markup=False, soft_wrap=True).print
    if given.json:
        show(json.dumps({"pairs": counts, "curve": found, "by fingerprints": gate}, indent=2))
        return
    show(", ".join(f"{kind} {count}" for kind, count in counts.items()))
    show(_table({kind: its | {"contamination.bin": gate[kind]} for kind, its in found.items()}))


if __name__ == "__main__":
    main()
