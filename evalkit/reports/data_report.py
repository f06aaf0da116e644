"""What the data commands did to rows, as sheets and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.data.cleaning import Cleaned
from evalkit.data.combining import Augmented
from evalkit.data.describing import Description, count_labels
from evalkit.data.quality import Limits, Rule
from evalkit.data.splitting import Parts
from evalkit.records import Example, Label
from evalkit.reports.overlap import duplicate_counts, duplicate_table
from evalkit.reports.sheets import Chart, Sheet, sheet
from evalkit.reports.view import Blocks, Heading, grid
from evalkit.tasks import Task

SCHEMA = 1
Transitions = Mapping[str, Counter[tuple[str, str]]]
"""Field -> (old label, new label) -> rows."""


def clean_sheet(cleaned: Cleaned, task: Task, source: str, limits: Limits, show: int) -> Sheet:
    """What was removed under which rule, with `show` examples of each."""
    counts = cleaned.counts()
    removed = len(cleaned.removals)
    settled = sum(conflict.is_settled for conflict in cleaned.conflicts)
    lines = [
        f"{cleaned.read:,} rows of {source}, read as {task.name}: "
        f"{len(cleaned.kept):,} kept, {removed:,} removed.",
        f"Same inputs with different labels: {len(cleaned.conflicts):,}, of which the label that "
        f"most rows have settles {settled:,}.",
        f"Nearly the same inputs with different labels: {cleaned.alike_kept:,}, kept.",
    ]
    rules = grid(
        "Removed, by rule",
        ("rule", "rows", "what it removes"),
        tuple((rule.value, f"{n:,}", limits.meaning(rule)) for rule, n in counts.items()),
        is_text=True,
    )
    examples = [
        (rule.value, removal.where, removal.why, " | ".join(filter(None, removal.inputs)))
        for rule in Rule
        for removal in [r for r in cleaned.removals if r.rule is rule][:show]
    ]
    conflicts = [
        (
            ", ".join(conflict.where[:3]),
            "; ".join(f"{_labels(task, labels)} ({n})" for labels, n in conflict.labels),
            " | ".join(filter(None, conflict.example.inputs.values())),
        )
        for conflict in cleaned.conflicts[:show]
    ]
    grids = [rules]
    if examples:
        columns = ("rule", "row", "seen", "text")
        grids.append(grid("Removed rows, for example", columns, tuple(examples), is_text=True))
    if conflicts:
        heads = ("rows", "labels", "text")
        grids.append(grid("Label conflicts", heads, tuple(conflicts), is_text=True))
    sides = {"before": cleaned.before, "after": cleaned.after}
    return sheet(
        f"Cleaning {source}", tuple(lines), (*grids, *_balance(task, sides)), _charts(task, sides)
    )


def clean_to_json(cleaned: Cleaned, task: Task, source: str) -> dict[str, Any]:
    """The counts, and each removed row with its rule."""
    return {
        "schema": SCHEMA,
        "command": "clean",
        "source": source,
        "task": task.name,
        "rows": cleaned.read,
        "kept": len(cleaned.kept),
        "removed": {rule.value: n for rule, n in cleaned.counts().items()},
        "conflicts": {
            "groups": len(cleaned.conflicts),
            "settled": sum(conflict.is_settled for conflict in cleaned.conflicts),
            "rows": [list(conflict.where) for conflict in cleaned.conflicts],
        },
        "alike_with_other_labels": cleaned.alike_kept,
        "labels": {
            "before": count_labels(task, cleaned.before),
            "after": count_labels(task, cleaned.after),
        },
        "removals": [{"row": r.where, "rule": r.rule, "why": r.why} for r in cleaned.removals],
    }


def remap_sheet(
    transitions: Transitions, task: Task, source: str, rows: int, changed: int
) -> Sheet:
    """Which label became which."""
    grids = [
        grid(
            f"Labels of {name}",
            ("was", "is", "rows"),
            tuple((old, new, f"{n:,}") for (old, new), n in sorted(counts.items())),
        )
        for name, counts in transitions.items()
    ]
    line = f"{rows:,} rows of {source}, read as {task.name}: labels of {changed:,} changed."
    charts = []
    for name, counts in transitions.items():
        after: Counter[str] = Counter()
        for (_, new), n in counts.items():
            after[new] += n
        if task.fields[name].kind != "multi-label":
            values = {str(label): float(after[str(label)]) for label in task.fields[name].labels}
            charts.append(Chart(name, f"{name} after remapping", "rows", {"after": values}))
    return sheet(f"Remapping {source}", (line,), tuple(grids), tuple(charts))


def remap_to_json(
    transitions: Transitions, task: Task, source: str, rows: int, changed: int
) -> dict[str, Any]:
    """Which label became which, and how often."""
    return {
        "schema": SCHEMA,
        "command": "remap",
        "source": source,
        "task": task.name,
        "rows": rows,
        "changed": changed,
        "labels": {
            name: [{"was": old, "is": new, "rows": n} for (old, new), n in sorted(counts.items())]
            for name, counts in transitions.items()
        },
    }


def split_sheet(
    parts: Parts, shares: Mapping[str, float], examples: Sequence[Example], task: Task, source: str
) -> Sheet:
    """How large the parts are and how their labels are spread."""
    sides = {name: [examples[row] for row in parts.rows(i)] for i, name in enumerate(parts.names)}
    lines = [
        f"{len(examples):,} rows of {source}, read as {task.name}, in {parts.groups:,} groups of "
        f"near duplicates; the largest has {parts.largest_group:,} rows.",
        "No group is in two parts.",
    ]
    lines += [
        f"{part} has no row with {name} = {value}."
        for part, rows in sides.items()
        for name, counts in count_labels(task, rows).items()
        for value, n in counts.items()
        if not n
    ]
    sizes = tuple(
        (name, f"{len(rows):,}", f"{len(rows) / len(examples):.1%}", f"{shares[name]:.1%}")
        for name, rows in sides.items()
    )
    grids = [grid("Parts", ("part", "rows", "share", "wanted"), sizes), *_balance(task, sides)]
    return sheet(f"Splitting {source}", lines, grids, _charts(task, sides))


def split_to_json(
    parts: Parts, shares: Mapping[str, float], examples: Sequence[Example], task: Task, source: str
) -> dict[str, Any]:
    """Sizes and labels of the parts."""
    return {
        "schema": SCHEMA,
        "command": "split",
        "source": source,
        "task": task.name,
        "rows": len(examples),
        "groups": parts.groups,
        "largest_group": parts.largest_group,
        "parts": {
            name: {
                "wanted": shares[name],
                "rows": len(parts.rows(i)),
                "labels": count_labels(task, [examples[row] for row in parts.rows(i)]),
            }
            for i, name in enumerate(parts.names)
        },
    }


def augment_sheet(augmented: Augmented, task: Task, source: str, show: int) -> Sheet:
    """How many rows were made, for which labels, with `show` of them."""
    rows = len(augmented.before)
    share = augmented.multi_before / rows
    lines = (
        f"{rows:,} rows of {source}, read as {task.name}: {augmented.multi_before:,} have several "
        f"values of {augmented.field} ({share:.1%}).",
        f"{len(augmented.made):,} made, each marked synthetic, for a share of "
        f"{augmented.share_after:.1%} (wanted: {augmented.target:.1%}).",
    )
    sets = Counter(made.labels for made in augmented.made)
    made = tuple((", ".join(labels), f"{n:,}") for labels, n in sorted(sets.items()))
    shown = tuple(
        (m.text, ", ".join(m.labels), ", ".join(m.sources)) for m in augmented.made[:show]
    )
    grids = [grid("Rows made, by their labels", ("labels", "rows"), made)] if made else []
    if shown:
        columns = ("text", "labels", "made of")
        grids.append(grid("Rows made, for example", columns, shown, is_text=True))
    before, after = _augmented_labels(augmented, task)
    charts = Chart(
        augmented.field,
        f"{augmented.field}, before and after",
        "rows",
        {"before": _heights(before), "after": _heights(after)},
    )
    return sheet(f"Augmenting {source}", lines, tuple(grids), (charts,))


def augment_to_json(augmented: Augmented, task: Task, source: str) -> dict[str, Any]:
    """The counts before and after."""
    before, after = _augmented_labels(augmented, task)
    return {
        "schema": SCHEMA,
        "command": "augment",
        "source": source,
        "task": task.name,
        "field": augmented.field,
        "rows": len(augmented.before),
        "several_values": augmented.multi_before,
        "made": len(augmented.made),
        "wanted_share": augmented.target,
        "share": augmented.share_after,
        "labels": {"before": before, "after": after},
    }


def _augmented_labels(augmented: Augmented, task: Task) -> tuple[Counter[str], Counter[str]]:
    before = count_labels(task, augmented.before)[augmented.field]
    after = before.copy()
    for made in augmented.made:
        after.update(made.labels)
    return before, after


def stats_sheet(described: Description, source: str) -> Sheet:
    """What a set of rows is like."""
    task, faults, low = described.task, described.no_examples, described.low_quality
    no_example = f"; {faults.total():,} more are not examples of it" if faults else ""
    lines = [f"{described.rows:,} rows of {source}, read as {task.name}{no_example}."]
    grids = [
        grid(
            f"Labels of {name}",
            ("value", "rows", "share"),
            tuple((v, f"{n:,}", f"{n / described.rows:.1%}") for v, n in counts.items()),
        )
        for name, counts in described.labels.items()
    ]
    grids += [
        grid(
            f"Values of {name} in one row",
            ("values", "rows", "share"),
            tuple(
                (str(v), f"{n:,}", f"{n / described.rows:.1%}") for v, n in sorted(counts.items())
            ),
        )
        for name, counts in described.sets.items()
    ]
    grids.append(
        grid(
            "Characters",
            ("input", "least", "median", "95%", "most"),
            tuple(
                (name, *(f"{n:,}" for n in (its.least, its.median, its.p95, its.most)))
                for name, its in described.lengths.items()
            ),
        )
    )
    scripts = described.scripts.most_common()
    shares = tuple((s, f"{n:,}", f"{n / described.rows:.1%}") for s, n in scripts)
    grids.append(grid("Scripts", ("script", "rows", "share"), shares))
    grids.append([Heading(2, "Duplicates"), *duplicate_table(described.duplicates)])
    if faults or low:
        found = tuple((rule.value, f"{n:,}") for rule, n in [*faults.items(), *low.items()])
        grids.append(grid("What `evalkit data clean` would remove", ("rule", "rows"), found))
    charts = [
        Chart(name, f"Labels of {name}", "rows", {"rows": _heights(counts)})
        for name, counts in described.labels.items()
    ]
    lengths = _histogram(described.lengths_of_all)
    charts.append(Chart("lengths", "Characters of all inputs", "rows", {"rows": lengths}))
    return sheet(f"Rows of {source}", tuple(lines), tuple(grids), tuple(charts))


def stats_to_json(described: Description, source: str) -> dict[str, Any]:
    """What a set of rows is like."""
    return {
        "schema": SCHEMA,
        "command": "stats",
        "source": source,
        "task": described.task.name,
        "rows": described.rows,
        "no_examples": {rule.value: n for rule, n in described.no_examples.items()},
        "low_quality": {rule.value: n for rule, n in described.low_quality.items()},
        "labels": described.labels,
        "values_in_one_row": described.sets,
        "characters": {
            name: {"least": i.least, "median": i.median, "p95": i.p95, "most": i.most}
            for name, i in described.lengths.items()
        },
        "scripts": described.scripts,
        "duplicates": {
            kind.value: {key: n for key, n in counts.items() if key != "rows"}
            for kind, counts in duplicate_counts(described.duplicates).items()
        },
    }


def _balance(task: Task, sides: Mapping[str, Sequence[Example]]) -> list[Blocks]:
    """For each field the share of each value on each side."""
    counts = {side: count_labels(task, rows) for side, rows in sides.items()}
    return [
        grid(
            f"Labels of {name}",
            ("value", *sides),
            tuple(
                (
                    str(value),
                    *(_share(counts[side][name][str(value)], len(sides[side])) for side in sides),
                )
                for value in field.labels
            ),
        )
        for name, field in task.fields.items()
    ]


def _charts(task: Task, sides: Mapping[str, Sequence[Example]]) -> tuple[Chart, ...]:
    counts = {side: count_labels(task, rows) for side, rows in sides.items()}
    return tuple(
        Chart(
            name,
            f"Labels of {name}",
            "% of rows",
            {
                side: {v: 100 * n / max(len(sides[side]), 1) for v, n in counts[side][name].items()}
                for side in sides
            },
        )
        for name in task.fields
    )


def _share(n: int, rows: int) -> str:
    return f"{n:,} ({n / rows:.1%})" if rows else "0"


def _heights(counts: Counter[str]) -> dict[str, float]:
    return {value: float(n) for value, n in counts.items()}


def _histogram(lengths: Sequence[int], bins: int = 12) -> dict[str, float]:
    """Rows in each of some ranges of equal width."""
    width = max(lengths) // bins + 1
    counts = Counter(length // width for length in lengths)
    return {f"{b * width}-{(b + 1) * width - 1}": float(counts[b]) for b in range(max(counts) + 1)}


def _labels(task: Task, labels: Mapping[str, Label]) -> str:
    return ", ".join(task.fields[name].display(label) for name, label in labels.items())
