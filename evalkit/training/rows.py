"""Which rows of a data set are trained on, and which are held out to watch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.data import Dataset, deduplicate, split_off_dev
from evalkit.data.loading import hash_examples
from evalkit.data.normalising import normalised_inputs
from evalkit.records import Example
from evalkit.training.recipe import RowsRecipe


@dataclass(frozen=True)
class TrainingRows:
    """A data set, cleaned and split."""

    train: tuple[Example, ...]
    """Each once."""
    dev: tuple[Example, ...]
    read: int
    """Rows of the data set."""
    duplicates_dropped: int
    conflicts: int
    """Inputs that stood in the data with different labels; the first label was kept."""
    repeats: tuple[int, ...] = ()
    """How often each row of `train` is seen in an epoch; once where there is nothing."""
    dev_repeats_dropped: int = 0
    """Rows that repeated one of `dev_data`."""

    @property
    def seen(self) -> tuple[Example, ...]:
        """The rows of an epoch, each as often as it is seen."""
        if not self.repeats:
            return self.train
        most = max(self.repeats, default=0)
        pairs = list(zip(self.train, self.repeats, strict=True))
        return tuple(row for round_ in range(most) for row, times in pairs if times > round_)

    def describe(self) -> str:
        """One sentence for whoever waits, and another where labels disagreed."""
        text = (
            f"{len(self.train):,} rows to train on, {len(self.dev):,} held out for dev, "
            f"{self.duplicates_dropped:,} exact duplicates dropped."
        )
        if self.repeats:
            text += f"\nWith their repeats, an epoch has {len(self.seen):,} rows."
        if self.dev_repeats_dropped:
            text += f"\n{self.dev_repeats_dropped:,} rows repeat a dev row and were dropped."
        if self.conflicts:
            text += (
                f"\n{self.conflicts} inputs are in the data with different labels; "
                "the first label was kept."
            )
        return text

    def counts(self) -> dict[str, Any]:
        """What a provenance says of the rows."""
        counts = {
            "read": self.read,
            "duplicates_dropped": self.duplicates_dropped,
            "trained_on": len(self.train),
            "dev": len(self.dev),
            "dev_sha256": hash_examples(self.dev),
        }
        if self.repeats:
            counts["seen_in_an_epoch"] = len(self.seen)
        if self.dev_repeats_dropped:
            counts["dev_repeats_dropped"] = self.dev_repeats_dropped
        return counts


def prepare_rows(
    dataset: Dataset,
    recipe: RowsRecipe,
    repeats: Mapping[str, int] | None = None,
    dev: Sequence[Example] = (),
) -> TrainingRows:
    """Choose, clean and split the rows as a recipe says.

    Recipes with the same data keys get the same rows, whatever they train.

    `repeats` says how often an example (by id) is seen in an epoch; `dev` joins what is held out.

    Raises:
        UserError: the development split does not fit the rows.
    """
    # Of several sources, each was cut when it was read.
    examples = dataset.examples[: recipe.rows] if recipe.has_one_source else dataset.examples
    dropped = conflicts = 0
    if recipe.deduplicate:
        clean = deduplicate(examples)
        examples, dropped, conflicts = clean.kept, clean.dropped, len(clean.conflicts)
    held_out = {normalised_inputs(example) for example in dev}
    unlike = tuple(e for e in examples if not held_out or normalised_inputs(e) not in held_out)
    train, split_off = split_off_dev(unlike, recipe.dev_rows, recipe.seed)
    times = tuple((repeats or {}).get(example.id, 1) for example in train)
    return TrainingRows(
        train,
        (*split_off, *dev),
        len(dataset.examples),
        dropped,
        conflicts,
        repeats=times if any(count > 1 for count in times) else (),
        dev_repeats_dropped=len(examples) - len(unlike),
    )
