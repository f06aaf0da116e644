"""Duplicates within sets and between them, as tables and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from evalkit.data import Dataset, DuplicateGroup, Duplicates, Kind, Match, Overlap
from evalkit.data.quoting import one_line
from evalkit.printable import printable
from evalkit.records import Example
from evalkit.reports.render.terminal import to_terminal
from evalkit.reports.sheets import SCHEMA, Sheet, sheet
from evalkit.reports.view import Blocks, Figure, columns, grid, phrase, table
from evalkit.tasks import Task

ROWS_SHOWN = 3
"""Of one group."""


@dataclass(frozen=True, slots=True)
class OverlapReport:
    """What was looked at and what was found."""

    task: Task
    threshold: float
    train: Dataset
    test: Dataset | None
    """None where duplicates were looked for in one set alone."""
    found: Overlap

    @property
    def sets(self) -> tuple[tuple[Dataset, Duplicates], ...]:
        """Each set with the duplicates within it."""
        one = (self.train, self.found.train)
        return (one, (self.test, self.found.test)) if self.test else (one,)

    def matches(self, kind: Kind | None = None) -> list[Twin]:
        """Test rows with the training rows they match, of one kind or of all."""
        return [
            (row, self.train.examples[match.position], match)
            for row, match in zip(
                self.test.examples if self.test else (), self.found.matches, strict=True
            )
            if match and match.position is not None and kind in (None, match.kind)
        ]


def overlap_report(report: OverlapReport, show: int) -> list[RenderableType]:
    """Tables of counts, each followed by at most `show` duplicates of each kind."""
    shown: list[RenderableType] = [
        Text(f"Read as {report.task.name}; near from a similarity of {report.threshold:g}.")
    ]
    for dataset, duplicates in report.sets:
        rows = f"{duplicates.rows:,} rows of {printable(dataset.source, 50)}"
        shown += [Text(f"Duplicates among {rows}:"), *to_terminal(duplicate_table(duplicates))]
        shown += _groups(dataset, duplicates, show)
    if report.test:
        shown += [Text("Test rows that are in training:"), *to_terminal(_matches_table(report))]
        shown += _matches(report, show)
    return shown


def overlap_to_json(report: OverlapReport) -> dict[str, Any]:
    """The counts, and every test row that is in training; rows by their ids."""
    train, test = report.train, report.test
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "task": report.task.name,
        "threshold": report.threshold,
        "train": _set_to_json(train, report.found.train),
    }
    if test:
        content["test"] = _set_to_json(test, report.found.test)
        content["overlap"] = {
            "rows": len(report.matches()),
            "share": len(report.matches()) / len(test.examples),
            **{kind.value: len(report.matches(kind)) for kind in Kind},
            "labels_differ": _disagreeing(report.matches()),
            "matches": [
                {
                    "test": row.id,
                    "train": known.id,
                    "kind": match.kind.value,
                    "similarity": round(match.similarity, 4),
                    "labels_differ": row.labels != known.labels,
                }
                for row, known, match in report.matches()
            ],
        }
    return content


Twin = tuple[Example, Example, Match]
"""A row, the row that it repeats, and how."""


def without_sheet(twins: Sequence[Twin], rows: int, train: str, test: str, show: int) -> Sheet:
    """Which rows repeat others and are taken out, with `show` of each kind."""
    examples = [
        (kind.value, f"{match.similarity:.2f}", row.id, other.id, _texts(row), _texts(other))
        for kind in Kind
        for row, other, match in [twin for twin in twins if twin[2].kind is kind][:show]
    ]
    heads = ("kind", "similarity", "row", "repeats", "text", "text repeated")
    found = grid("Taken out, for example", heads, examples, is_text=True)
    return sheet(
        "without",
        f"{train} without {test}",
        [f"{rows:,} rows of {train}: {rows - len(twins):,} kept, {len(twins):,} repeat {test}."],
        [found] if examples else [],
        source=train,
        test=test,
        rows=rows,
        kept=rows - len(twins),
        removed=[
            {
                "id": row.id,
                "repeats": other.id,
                "kind": match.kind.value,
                "similarity": round(match.similarity, 4),
            }
            for row, other, match in twins
        ],
    )


def _set_to_json(dataset: Dataset, duplicates: Duplicates) -> dict[str, Any]:
    return {
        "source": dataset.source,
        "sha256": dataset.sha256,
        "rows": len(dataset.examples),
        "duplicates": {kind.value: n for kind, n in duplicate_counts(duplicates).items()},
    }


def duplicate_counts(duplicates: Duplicates) -> dict[Kind, dict[str, int]]:
    """Of each kind the groups, the rows in them, those that repeat another, other labels."""
    counts = {}
    for kind in Kind:
        groups = duplicates.of(kind)
        rows = sum(len(group.positions) for group in groups)
        counts[kind] = {
            "groups": len(groups),
            "rows": rows,
            "repeats": rows - len(groups),
            "labels_differ": sum(group.labels_differ for group in groups),
        }
    return counts


def duplicate_table(duplicates: Duplicates) -> Blocks:
    """The same as a table."""
    names = ("duplicates", "groups", "rows", "repeats", "labels_differ")
    heads = [phrase(f"{'col' if name == 'rows' else 'head'}.{name}") for name in names]
    counts = duplicate_counts(duplicates).values()
    kinds = ("exact", "or normalised", "or near")
    return table(heads, [[kind, *of.values()] for kind, of in zip(kinds, counts, strict=True)])


def _matches_table(report: OverlapReport) -> Blocks:
    heads = [phrase("head.by_kind"), *columns("rows"), phrase("head.share")]
    rows = []
    for kind in (*Kind, None):
        found = report.matches(kind)
        share = Figure(len(found) / len(report.found.matches))
        rows.append([str(kind or "in all"), len(found), share, _disagreeing(found)])
    return table([*heads, phrase("head.labels_differ")], rows)


def _groups(dataset: Dataset, duplicates: Duplicates, show: int) -> Iterator[Text]:
    stronger: set[tuple[int, ...]] = set()
    for kind in Kind:
        groups = duplicates.of(kind)
        # A group that a stronger kind holds together is shown there.
        own = [group for group in groups if group.positions not in stronger]
        stronger |= {group.positions for group in groups}
        for group in sorted(own, key=lambda group: not group.labels_differ)[:show]:
            yield from _group(dataset.examples, group)


def _group(examples: Sequence[Example], group: DuplicateGroup) -> Iterator[Text]:
    # One row of each wording and of each answer: a repeat of both would show nothing.
    unlike: dict[str, int] = {}
    for row in group.positions:
        unlike.setdefault(f"{examples[row].inputs} {examples[row].labels}", row)
    differ = ", labels differ" if group.labels_differ else ""
    yield Text(f"{group.kind}, {len(group.positions)} rows{differ}:")
    for row in list(unlike.values())[:ROWS_SHOWN]:
        yield _row(examples[row])


def _matches(report: OverlapReport, show: int) -> Iterator[Text]:
    for kind in Kind:
        for row, known, match in report.matches(kind)[:show]:
            differ = ", labels differ" if row.labels != known.labels else ""
            yield Text(f"{kind}, similarity {match.similarity:.2f}{differ}:")
            yield _row(row)
            yield _row(known)


def _row(example: Example) -> Text:
    return Text(f"  {printable(example.id, 20)}: {printable(_texts(example), 100)}")


def _texts(example: Example) -> str:
    return one_line(example.inputs.values())


def _disagreeing(matches: Sequence[Twin]) -> int:
    return sum(row.labels != known.labels for row, known, _ in matches)
