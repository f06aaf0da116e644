"""What a set of rows is like: labels, lengths, scripts, duplicates."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit.data.mappings import AUTO
from evalkit.data.overlap import THRESHOLD, Duplicates, check_threshold, find_duplicates
from evalkit.data.quality import Limits, Rule, low_quality, rule_of_fault
from evalkit.data.row_files import ENDINGS, LoadedRows, RowFile, TaskRows, open_task_rows, read_as
from evalkit.data.sources import read_source
from evalkit.errors import UserError
from evalkit.records import Example
from evalkit.tasks import Task

SCRIPTS = {
    "Chinese": r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff",
    "Japanese": r"\u3040-\u30ff",
    "Korean": r"\uac00-\ud7af\u1100-\u11ff",
    "Cyrillic": r"\u0400-\u052f",
    "Arabic": r"\u0600-\u06ff",
    "Latin": r"A-Za-z\u00c0-\u024f",
}
"""Script -> its characters. Not a language: English and German are both Latin."""

_SCRIPTS = {name: re.compile(f"[{characters}]") for name, characters in SCRIPTS.items()}
_MIXED_FROM = 0.2
"""From this share of letters on, a second script makes a text a mixed one."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long texts are, in characters."""

    least: int
    median: int
    p95: int
    most: int


@dataclass(frozen=True, slots=True)
class Description:
    """What a set of rows is like."""

    task: Task
    rows: int
    """Rows that are examples of the task."""
    no_examples: Counter[Rule]
    """Rows that are not, by the rule that says so."""
    low_quality: Counter[Rule]
    """Rows that are examples and poor ones."""
    labels: Mapping[str, Counter[str]]
    """Field -> how many rows have each value, in the task's order; a row of a multi-label field
    counts for each of its values."""
    sets: Mapping[str, Counter[int]]
    """Multi-label field -> how many rows have one value, two, three."""
    lengths: Mapping[str, Lengths]
    """Input -> of its texts."""
    lengths_of_all: tuple[int, ...]
    """Characters of all inputs of each row."""
    scripts: Counter[str]
    duplicates: Duplicates
    notes: tuple[str, ...] = ()
    """Choices made for the user, each a sentence."""


def survey(
    source: str, task_name: str | None = None, mapping: str = AUTO, threshold: float = THRESHOLD
) -> Description:
    """Read a source and describe its rows.

    Args:
        source: a file, or `hf:owner/name[@revision][:split]`.
        task_name: the task; the built-in one that reads most rows by default.
        mapping: the labels' scheme, as in `load_dataset`.
        threshold: least similarity of near duplicates.

    Raises:
        UserError: the source cannot be read, holds no example, or an option is wrong.
    """
    check_threshold(threshold)
    rows = read_any(source, task_name, mapping)
    examples: list[Example] = []
    no_examples: Counter[Rule] = Counter()
    why = ""
    for line, found in rows.read():
        if isinstance(found, Example):
            examples.append(found)
        else:
            no_examples[rule_of_fault(line.row, rows.reader, found, rows.schemes)] += 1
            why = why or f"{line.row.where}: {found}"
    if not examples:
        raise UserError(
            f"{source} holds no example of task '{rows.task.name}'. The first row: {why}"
        )
    return describe(rows.task, examples, no_examples, threshold, rows.notes)


def read_any(
    source: str, task_name: str | None, mapping: str
) -> TaskRows[RowFile] | TaskRows[LoadedRows]:
    """Open any source; what is not JSON lines or CSV is read as a whole."""
    if Path(source).suffix.lower() in ENDINGS and not source.startswith("hf:"):
        return open_task_rows(source, "stats", task_name, mapping)
    raw = read_source(source, prefer_split="train")
    return read_as(LoadedRows(source, raw), task_name, mapping, raw.notes)


def describe(
    task: Task,
    examples: Sequence[Example],
    no_examples: Counter[Rule],
    threshold: float = THRESHOLD,
    notes: tuple[str, ...] = (),
) -> Description:
    """Describe examples of a task, one at least."""
    low = (low_quality(example, Limits()) for example in examples)
    return Description(
        task=task,
        rows=len(examples),
        no_examples=no_examples,
        low_quality=Counter(found[0] for found in low if found),
        labels=count_labels(task, examples),
        sets={
            name: Counter(
                len(label) for e in examples if isinstance(label := e.labels[name], tuple)
            )
            for name, field in task.fields.items()
            if field.kind == "multi-label"
        },
        lengths={name: _lengths([len(e.inputs[name]) for e in examples]) for name in task.inputs},
        lengths_of_all=tuple(sum(map(len, e.inputs.values())) for e in examples),
        scripts=Counter(script_of(" ".join(e.inputs.values())) for e in examples),
        duplicates=find_duplicates(examples, threshold=threshold),
        notes=notes,
    )


def count_labels(task: Task, examples: Sequence[Example]) -> dict[str, Counter[str]]:
    """Count for each field the rows that have each value, in the task's order."""
    counts = {name: Counter({str(v): 0 for v in f.labels}) for name, f in task.fields.items()}
    for example in examples:
        for name, label in example.labels.items():
            counts[name].update(label if isinstance(label, tuple) else (str(label),))
    return counts


def script_of(text: str) -> str:
    """Return the script most of a text's letters are of; two, where each has its part.

    >>> script_of("今天天气怎么样"), script_of("Order 12"), script_of("请打开 Wi-Fi 设置")
    ('Chinese', 'Latin', 'Chinese and Latin')
    """
    counts = Counter({name: len(letters.findall(text)) for name, letters in _SCRIPTS.items()})
    if not counts.total():
        return "no known script"
    (first, _), (second, less) = counts.most_common(2)
    if less < _MIXED_FROM * counts.total():
        return first
    return " and ".join(sorted((first, second)))


def _lengths(lengths: Sequence[int]) -> Lengths:
    ordered = sorted(lengths)
    last = len(ordered) - 1
    return Lengths(ordered[0], ordered[last // 2], ordered[round(0.95 * last)], ordered[-1])
