"""Rows that want two things at once, made of rows that want one each."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from evalkit.data.normalising import normalise_text
from evalkit.data.paths import Keys, locate, replaced
from evalkit.data.row_files import RowFile, TaskRows
from evalkit.data.sources import RawRow
from evalkit.errors import UserError, did_you_mean
from evalkit.records import Example
from evalkit.tasks import FieldKind, Task

CONNECTIVES = {
    "chinese": ("，然后", "，顺便", "，另外", "，还要", "，并且"),
    "other": (" and then ", ", and also ", "; besides, ", ", and ", ". Then "),
}
"""What joins two texts, by their script."""
MARK = "synthetic"
"""The key under which a made row says what it is made of."""

_CHINESE = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_END = re.compile(r"[\s.!?;,:。！？；，：、…]+$")
_TRIES = 50
"""Draws without a new text after which there are taken to be no more."""


@dataclass(frozen=True, slots=True)
class Source:
    """A row that can be combined: its field has one value, which does not stand alone."""

    example: Example
    value: str
    keys: Mapping[str, Keys]
    """Input or field, and `id` -> where the row keeps it."""


@dataclass(frozen=True, slots=True)
class Combined:
    """A row made of several."""

    raw: bytes
    """The line to be written."""
    text: str
    labels: tuple[str, ...]
    sources: tuple[str, ...]
    """Ids of the rows it is made of."""


@dataclass(frozen=True, slots=True)
class Augmented:
    """What was there and what was made."""

    field: str
    before: tuple[Example, ...]
    made: tuple[Combined, ...]
    target: float

    @property
    def multi_before(self) -> int:
        """Rows with several values, of those that were there."""
        return sum(_is_multi(example, self.field) for example in self.before)

    @property
    def share_after(self) -> float:
        """The share of rows with several values, once those made have joined."""
        return (self.multi_before + len(self.made)) / (len(self.before) + len(self.made))


def multi_label_field(task: Task, name: str | None = None) -> str:
    """Return the field that takes several values.

    Raises:
        UserError: the task has none, several and none is named, or the one named is another.
    """
    fields = [n for n, field in task.fields.items() if field.kind is FieldKind.MULTI_LABEL]
    if not fields:
        raise UserError(
            f"Task '{task.name}' has no field that takes several values, so there is nothing to "
            "combine. augment is for multi-label tasks."
        )
    if name is None and len(fields) == 1:
        return fields[0]
    if name not in fields:
        near = did_you_mean(name, fields) if name else ""
        raise UserError(f"--field is one of {', '.join(fields)}.{near}")
    return name


def combine(
    rows: TaskRows[RowFile],
    *,
    share: float,
    seed: int,
    most: int = 2,
    field: str | None = None,
    connectives: Sequence[str] = (),
    on_bad_row: str = "stop",
) -> Augmented:
    """Make rows with several values until they are a share of all.

    What is combined: rows with one value each, all different, written in the same script, whose
    other labels agree. Every set of values is as likely as any other, so that rare ones gain
    most. A value that stands alone (such as "none") is never combined. No text is made that
    is there already.

    Args:
        rows: the file.
        share: wanted of rows with several values, at the end.
        seed: for all that is drawn.
        most: how many rows are combined at most.
        field: the field, where the task has several that take several values.
        connectives: in place of `CONNECTIVES`.
        on_bad_row: `stop`, or `skip` to pass over rows that are not examples.

    Raises:
        UserError: the task or an option does not fit, or there are not enough rows to combine.
    """
    name = multi_label_field(rows.task, field)
    if not 0 < share < 1:
        raise UserError(f"--share {share:g} is not a share between 0 and 1.")
    if not 2 <= most <= 4:
        raise UserError(f"--most {most}: 2, 3 or 4 rows can be combined.")
    if rows.file.is_csv:
        raise UserError(
            f"{rows.file.source}: a made row names its sources under a key of its own, for which "
            "a CSV file has no column. Save the rows as JSON lines first."
        )
    before: list[Example] = []
    pools: dict[tuple[object, ...], dict[str, list[Source]]] = {}
    for line, example in rows.read_examples(on_bad_row):
        before.append(example)
        label = example.labels[name]
        if len(_parts(label)) > 1 or rows.task.fields[name].exclusive.intersection(_parts(label)):
            continue
        source = Source(example, _parts(label)[0], _keys(line.row.content or {}, rows))
        pools.setdefault(_pool(example, name), {}).setdefault(source.value, []).append(source)
    multi = sum(_is_multi(example, name) for example in before)
    needed = max(math.ceil((share * len(before) - multi) / (1 - share) - 1e-9), 0)
    made = _make(rows, name, before, pools, needed, most, tuple(connectives), random.Random(seed))
    if len(made) < needed:
        reached = (multi + len(made)) / (len(before) + len(made))
        raise UserError(
            f"{rows.file.source}: {needed:,} rows would have to be made for a share of {share:g}, "
            f"and only {len(made):,} could be ({reached:.3f}): there are too few rows with one "
            "value each to combine. Ask for a smaller share, or add rows."
        )
    return Augmented(name, tuple(before), tuple(made), share)


def synthetic_links(rows: Sequence[tuple[RawRow, Example]]) -> list[tuple[int, int]]:
    """Return which made row belongs with which row that it is made of, by their places."""
    places = {example.id: place for place, (_, example) in enumerate(rows)}
    links = []
    for place, (row, _) in enumerate(rows):
        mark = (row.content or {}).get(MARK)
        sources = mark.get("sources") if isinstance(mark, Mapping) else None
        if isinstance(sources, list):
            named = (source for source in sources if isinstance(source, str))
            links += [(place, places[source]) for source in named if source in places]
    return links


def _make(
    rows: TaskRows[RowFile],
    field: str,
    before: Sequence[Example],
    pools: Mapping[tuple[object, ...], Mapping[str, Sequence[Source]]],
    needed: int,
    most: int,
    connectives: Sequence[str],
    draw: random.Random,
) -> list[Combined]:
    # Every set of values with the pool it can be drawn from; larger pools are drawn from more.
    sets = [
        (pool, values)
        for pool, by_value in pools.items()
        for size in range(2, most + 1)
        for values in combinations(sorted(by_value), size)
    ]
    if not sets:
        return []
    weights = [sum(map(len, pools[pool].values())) for pool, _ in sets]
    ids = {example.id for example in before}
    seen = {_text(example.inputs) for example in before}
    made: list[Combined] = []
    tries = 0
    while len(made) < needed and tries < _TRIES:
        ((pool, values),) = draw.choices(sets, weights)
        sources = [draw.choice(pools[pool][value]) for value in draw.sample(values, len(values))]
        between = connectives or CONNECTIVES["chinese" if pool[0] else "other"]
        texts = _join(rows.task, sources, [draw.choice(between) for _ in sources[1:]])
        id_ = "+".join(source.example.id for source in sources)
        if id_ in ids or _text(texts) in seen:
            tries += 1
            continue
        tries = 0
        ids.add(id_)
        seen.add(_text(texts))
        made.append(_row(rows, field, sources, texts, id_))
    return made


def _join(task: Task, sources: Sequence[Source], connectives: Sequence[str]) -> dict[str, str]:
    """Join each input's texts where they differ; the same connectives for all inputs."""
    joined = {}
    for name in task.inputs:
        text = sources[0].example.inputs[name]
        for source, between in zip(sources[1:], connectives, strict=True):
            more = source.example.inputs[name].strip()
            if more and more != text:
                text = f"{_END.sub('', text)}{between}{more}" if text.strip() else more
        joined[name] = text
    return joined


def _row(
    rows: TaskRows[RowFile],
    field: str,
    sources: Sequence[Source],
    texts: Mapping[str, str],
    id_: str,
) -> Combined:
    """Write a row of the keys that the task reads alone: others may be untrue of it."""
    first = sources[0]
    values = {source.value for source in sources}
    labels = tuple(str(label) for label in rows.task.fields[field].labels if label in values)
    content: dict[str, object] = {}
    if "id" in first.keys:
        content = replaced(content, first.keys["id"], id_)
    for name, text in texts.items():
        if name in first.keys:
            content = replaced(content, first.keys[name], text)
    for name, label in first.example.labels.items():
        value = list(labels) if name == field else label
        content = replaced(content, first.keys[name], value)
    ids = tuple(source.example.id for source in sources)
    content[MARK] = {"sources": list(ids)}
    return Combined(rows.file.write(content), " | ".join(texts.values()), labels, ids)


def _keys(content: Mapping[str, object], rows: TaskRows[RowFile]) -> dict[str, Keys]:
    paths = {"id": rows.task.id_paths}
    paths |= {name: spec.paths for name, spec in rows.task.inputs.items()}
    paths |= {name: spec.paths for name, spec in rows.task.fields.items()}
    found = {name: locate(content, its, rows.reader) for name, its in paths.items()}
    return {name: keys for name, keys in found.items() if keys}


def _pool(example: Example, field: str) -> tuple[object, ...]:
    """What rows have to have in common: the script, and labels of other fields."""
    chinese = any(_CHINESE.search(text) for text in example.inputs.values())
    others = tuple((name, label) for name, label in example.labels.items() if name != field)
    return (chinese, *others)


def _parts(label: object) -> tuple[str, ...]:
    return label if isinstance(label, tuple) else (str(label),)


def _is_multi(example: Example, field: str) -> bool:
    return len(_parts(example.labels[field])) > 1


def _text(inputs: Mapping[str, str]) -> str:
    return "\n".join(normalise_text(text) for text in inputs.values())
