"""What the data commands did to rows: a sheet for people, with the same for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from evalkit.data.cleaning import Cleaned
from evalkit.data.combining import Augmented
from evalkit.data.describing import Description, count_labels
from evalkit.data.quality import Limits, Rule
from evalkit.data.quoting import one_line
from evalkit.data.splitting import Parts
from evalkit.records import Example, Label
from evalkit.reports.overlap import duplicate_counts, duplicate_table
from evalkit.reports.sheets import Chart, Sheet, sheet
from evalkit.reports.view import Blocks, Heading, grid
from evalkit.tasks import Task

Transitions = Mapping[str, Counter[tuple[str, str]]]
"""Field -> (old label, new label) -> rows."""


def clean_sheet(cleaned: Cleaned, task: Task, source: str, limits: Limits, show: int) -> Sheet:
    """What was removed under which rule, with `show` examples of each."""
    counts, removed = cleaned.counts(), len(cleaned.removals)
    settled = sum(conflict.is_settled for conflict in cleaned.conflicts)
    rules = [(rule.value, n, limits.meaning(rule)) for rule, n in counts.items()]
    examples = [
        (rule.value, removal.where, removal.why, one_line(removal.inputs))
        for rule in Rule
        for removal in [r for r in cleaned.removals if r.rule is rule][:show]
    ]
    conflicts = [
        (
            ", ".join(conflict.where[:3]),
            "; ".join(f"{_labels(task, labels)} ({n})" for labels, n in conflict.labels),
            one_line(conflict.example.inputs.values()),
        )
        for conflict in cleaned.conflicts[:show]
    ]
    grids = [grid("Removed, by rule", ("rule", "rows", "what it removes"), rules, is_text=True)]
    if examples:
        heads = ("rule", "row", "seen", "text")
        grids.append(grid("Removed rows, for example", heads, examples, is_text=True))
    if conflicts:
        grids.append(grid("Label conflicts", ("rows", "labels", "text"), conflicts, is_text=True))
    spread, charts = _spread(task, {"before": cleaned.before, "after": cleaned.after})
    return sheet(
        "clean",
        f"Cleaning {source}",
        [
            f"{cleaned.read:,} rows of {source}, read as {task.name}: "
            f"{len(cleaned.kept):,} kept, {removed:,} removed.",
            f"Same inputs with different labels: {len(cleaned.conflicts):,}, of which the label "
            f"that most rows have settles {settled:,}.",
            f"Nearly the same inputs with different labels: {cleaned.alike_kept:,}, kept.",
        ],
        [*grids, *spread],
        charts,
        source=source,
        task=task.name,
        rows=cleaned.read,
        kept=len(cleaned.kept),
        removed={rule.value: n for rule, n in counts.items()},
        conflicts={
            "groups": len(cleaned.conflicts),
            "settled": settled,
            "rows": [list(conflict.where) for conflict in cleaned.conflicts],
        },
        alike_with_other_labels=cleaned.alike_kept,
        labels={
            "before": count_labels(task, cleaned.before),
            "after": count_labels(task, cleaned.after),
        },
        removals=[{"row": r.where, "rule": r.rule, "why": r.why} for r in cleaned.removals],
    )


def remap_sheet(
    transitions: Transitions, task: Task, source: str, rows: int, changed: int, left_out: int
) -> Sheet:
    """Which label became which, and how often."""
    ordered = {name: sorted(counts.items()) for name, counts in transitions.items()}
    charts = []
    for name, counts in transitions.items():
        after: Counter[str] = Counter()
        for (_, new), n in counts.items():
            after[new] += n
        if task.fields[name].kind != "multi-label":
            values = {str(label): float(after[str(label)]) for label in task.fields[name].labels}
            charts.append(Chart(name, f"{name} after remapping", "rows", {"after": values}))
    return sheet(
        "remap",
        f"Remapping {source}",
        [f"{rows:,} rows of {source}, read as {task.name}: labels of {changed:,} changed."],
        [
            grid(f"Labels of {name}", ("was", "is", "rows"), [(*both, n) for both, n in counts])
            for name, counts in ordered.items()
        ],
        charts,
        source=source,
        task=task.name,
        rows=rows,
        changed=changed,
        left_out=left_out,
        labels={
            name: [{"was": old, "is": new, "rows": n} for (old, new), n in counts]
            for name, counts in ordered.items()
        },
    )


def split_sheet(
    parts: Parts, shares: Mapping[str, float], examples: Sequence[Example], task: Task, source: str
) -> Sheet:
    """How large the parts are and how their labels are spread."""
    sides = {name: [examples[row] for row in parts.rows(i)] for i, name in enumerate(parts.names)}
    labels = {name: count_labels(task, rows) for name, rows in sides.items()}
    sizes = [
        (name, len(rows), f"{len(rows) / len(examples):.1%}", f"{shares[name]:.1%}")
        for name, rows in sides.items()
    ]
    spread, charts = _spread(task, sides)
    return sheet(
        "split",
        f"Splitting {source}",
        [
            f"{len(examples):,} rows of {source}, read as {task.name}, in {parts.groups:,} groups "
            f"of near duplicates; the largest has {parts.largest_group:,} rows.",
            "No group is in two parts.",
            *(
                f"{part} has no row with {name} = {value}."
                for part, counts in labels.items()
                for name, its in counts.items()
                for value, n in its.items()
                if not n
            ),
        ],
        [grid("Parts", ("part", "rows", "share", "wanted"), sizes), *spread],
        charts,
        source=source,
        task=task.name,
        rows=len(examples),
        groups=parts.groups,
        largest_group=parts.largest_group,
        parts={
            name: {"wanted": shares[name], "rows": len(rows), "labels": labels[name]}
            for name, rows in sides.items()
        },
    )


def augment_sheet(augmented: Augmented, task: Task, source: str, show: int) -> Sheet:
    """How many rows were made, for which labels, with `show` of them."""
    rows, field = len(augmented.before), augmented.field
    before = count_labels(task, augmented.before)[field]
    after = before.copy()
    for made in augmented.made:
        after.update(made.labels)
    sets = Counter(made.labels for made in augmented.made)
    by_labels = [(", ".join(labels), n) for labels, n in sorted(sets.items())]
    shown = [(m.text, ", ".join(m.labels), ", ".join(m.sources)) for m in augmented.made[:show]]
    grids = [grid("Rows made, by their labels", ("labels", "rows"), by_labels)] if by_labels else []
    if shown:
        heads = ("text", "labels", "made of")
        grids.append(grid("Rows made, for example", heads, shown, is_text=True))
    heights = {"before": _heights(before), "after": _heights(after)}
    return sheet(
        "augment",
        f"Augmenting {source}",
        [
            f"{rows:,} rows of {source}, read as {task.name}: {augmented.multi_before:,} have "
            f"several values of {field} ({augmented.multi_before / rows:.1%}).",
            f"{len(augmented.made):,} made, each marked synthetic, for a share of "
            f"{augmented.share_after:.1%} (wanted: {augmented.target:.1%}).",
        ],
        grids,
        [Chart(field, f"{field}, before and after", "rows", heights)],
        source=source,
        task=task.name,
        field=field,
        rows=rows,
        several_values=augmented.multi_before,
        made=len(augmented.made),
        wanted_share=augmented.target,
        share=augmented.share_after,
        labels={"before": before, "after": after},
    )


def stats_sheet(described: Description, source: str) -> Sheet:
    """What a set of rows is like."""
    task, faults, low = described.task, described.no_examples, described.low_quality
    no_example = f"; {faults.total():,} more are not examples of it" if faults else ""

    def shares(title: str, head: str, counts: Sequence[tuple[object, int]]) -> Blocks:
        rows = [(str(value), n, f"{n / described.rows:.1%}") for value, n in counts]
        return grid(title, (head, "rows", "share"), rows)

    labels, sets = described.labels.items(), described.sets.items()
    lengths = [
        (name, its.least, its.median, its.p95, its.most) for name, its in described.lengths.items()
    ]
    grids = [shares(f"Labels of {name}", "value", [*counts.items()]) for name, counts in labels]
    grids += [
        shares(f"Values of {name} in one row", "values", sorted(counts.items()))
        for name, counts in sets
    ]
    grids += [
        grid("Characters", ("input", "least", "median", "95%", "most"), lengths),
        shares("Scripts", "script", described.scripts.most_common()),
        [Heading(2, "Duplicates"), *duplicate_table(described.duplicates)],
    ]
    if faults or low:
        found = [(rule.value, n) for rule, n in [*faults.items(), *low.items()]]
        grids.append(grid("What `evalkit data clean` would remove", ("rule", "rows"), found))
    charts = [
        Chart(name, f"Labels of {name}", "rows", {"rows": _heights(counts)})
        for name, counts in labels
    ]
    heights = {"rows": _histogram(described.lengths_of_all)}
    charts.append(Chart("lengths", "Characters of all inputs", "rows", heights))
    return sheet(
        "stats",
        f"Rows of {source}",
        [f"{described.rows:,} rows of {source}, read as {task.name}{no_example}."],
        grids,
        charts,
        source=source,
        task=task.name,
        rows=described.rows,
        no_examples={rule.value: n for rule, n in faults.items()},
        low_quality={rule.value: n for rule, n in low.items()},
        labels=described.labels,
        values_in_one_row=described.sets,
        characters={
            name: {"least": i.least, "median": i.median, "p95": i.p95, "most": i.most}
            for name, i in described.lengths.items()
        },
        scripts=described.scripts,
        duplicates={
            kind.value: {key: n for key, n in counts.items() if key != "rows"}
            for kind, counts in duplicate_counts(described.duplicates).items()
        },
    )


def _spread(task: Task, sides: Mapping[str, Sequence[Example]]) -> tuple[list[Blocks], list[Chart]]:
    """For each field the share of each value on each side, as a table and as a chart."""
    counts = {side: count_labels(task, rows) for side, rows in sides.items()}
    grids, charts = [], []
    for name, field in task.fields.items():
        title = f"Labels of {name}"
        rows = [
            [value, *(_share(counts[side][name][value], len(sides[side])) for side in sides)]
            for value in map(str, field.labels)
        ]
        heights = {
            side: {v: 100 * n / max(len(sides[side]), 1) for v, n in counts[side][name].items()}
            for side in sides
        }
        grids.append(grid(title, ("value", *sides), rows))
        charts.append(Chart(name, title, "% of rows", heights))
    return grids, charts


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
