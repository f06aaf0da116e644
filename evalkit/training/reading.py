"""From a recipe's sources to the rows that are trained on: each read by its own mapping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evalkit.data import Dataset, load_dataset
from evalkit.data.loading import OnBadRow, join_datasets
from evalkit.data.sources import find_source, shown_source
from evalkit.errors import UserError
from evalkit.records import Example
from evalkit.tasks import Task
from evalkit.training.places import PAIR
from evalkit.training.recipe import Recipe, RowsRecipe, Source
from evalkit.training.topics import TAG


@dataclass(frozen=True)
class RowsRead:
    """All rows that a recipe names."""

    dataset: Dataset
    """Those of all sources, behind each other."""
    repeats: Mapping[str, int]
    """Example id -> how often it is seen in an epoch, where that is more than once."""
    dev: tuple[Example, ...]
    """The rows of `dev_data`."""
    sources: tuple[Mapping[str, Any], ...]
    """What a provenance says of each source."""
    notes: tuple[str, ...]
    """Sentences to be shown."""

    @property
    def named(self) -> tuple[Mapping[str, Any], ...]:
        """The sources, where there are several or one that repeats."""
        return self.sources if len(self.sources) > 1 or self.repeats else ()


def read_rows(
    recipe: RowsRecipe,
    task: Task,
    folder: Path,
    *,
    data: str | None = None,
    mapping: str = "auto",
    on_bad_row: OnBadRow = "stop",
) -> RowsRead:
    """Read what a recipe is trained on.

    Args:
        recipe: names the sources.
        task: whose rows they are.
        folder: the system's; relative paths start there, or else from the working directory.
        data: stands in for the recipe's `data`.
        mapping: the label scheme of `data`.
        on_bad_row: `stop` or `skip`.

    Raises:
        UserError: a source cannot be read, or `data` has nothing to stand in for.
    """
    tags = _tags(recipe)
    chosen = _with_data(recipe, data, mapping)
    datasets = [
        _cut(
            load_dataset(
                find_source(source.data, folder),
                task,
                on_bad_row=on_bad_row,
                mapping=source.mapping,
                prefer_split="train",
                tags=tags,
            ),
            source.rows,
        )
        for source in chosen
    ]
    dataset = join_datasets(datasets)
    dev = _read_dev(recipe, task, folder, on_bad_row)
    return RowsRead(
        dataset,
        _repeats(dataset, datasets, chosen),
        dev.examples if dev else (),
        tuple(_describe(source, read) for source, read in zip(chosen, datasets, strict=True)),
        (*dataset.notes, *(dev.notes if dev else ())),
    )


def _tags(recipe: RowsRecipe) -> dict[str, str]:
    tags: dict[str, str] = {}
    if not isinstance(recipe, Recipe):
        return tags
    if recipe.labels and recipe.labels.topics:
        tags[TAG] = recipe.labels.topic_path
    return tags | {PAIR: PAIR} if recipe.pairs else tags


def _with_data(recipe: RowsRecipe, data: str | None, mapping: str) -> tuple[Source, ...]:
    """The sources, with `--data` in place of the one that it stands in for."""
    named = (recipe.data,) if isinstance(recipe.data, str) else recipe.data or ()
    if data is not None:
        replaced = named if len(named) == 1 else [n for n in named if n.startswith("hf:")]
        if len(replaced) != 1:
            what = "several" if named else "no"
            raise UserError(
                f"--data stands in for the recipe's `data`, and it names {what} source"
                f"{'s' if named else ''} that it could replace. Name the rows in [recipe] data, "
                'or change it: --set data="FILE".'
            )
        named = tuple(data if name == replaced[0] else name for name in named)
    several = len(named) + len(recipe.sources) > 1
    # A single source is cut after it was read whole, so that its hash is that of all its rows.
    own = [Source(data=n, mapping=mapping, rows=recipe.rows if several else None) for n in named]
    return (*own, *recipe.sources)


def _cut(dataset: Dataset, rows: int | None) -> Dataset:
    return dataset if rows is None else replace(dataset, examples=dataset.examples[:rows])


def _repeats(
    joined: Dataset, datasets: Sequence[Dataset], sources: Sequence[Source]
) -> dict[str, int]:
    times = [
        source.repeat
        for dataset, source in zip(datasets, sources, strict=True)
        for _ in dataset.examples
    ]
    return {
        example.id: count
        for example, count in zip(joined.examples, times, strict=True)
        if count > 1
    }


def _read_dev(recipe: RowsRecipe, task: Task, folder: Path, on_bad_row: OnBadRow) -> Dataset | None:
    if recipe.dev_data is None:
        return None
    source = find_source(recipe.dev_data, folder)
    read = load_dataset(source, task, on_bad_row=on_bad_row, prefer_split="dev")
    return replace(read, examples=tuple(replace(e, id=f"dev:{e.id}") for e in read.examples))


def _describe(source: Source, dataset: Dataset) -> dict[str, Any]:
    return {
        "data": shown_source(dataset.source),
        "sha256": dataset.sha256,
        "rows": len(dataset.examples),
        "repeat": source.repeat,
        "label_mappings": dict(dataset.label_mappings),
    }
