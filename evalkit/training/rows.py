"""Which rows of a data set are trained on, and which are held out to watch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from evalkit.data import Dataset, deduplicate, split_off_dev
from evalkit.data.loading import hash_examples
from evalkit.records import Example
from evalkit.training.recipe import RowsRecipe


@dataclass(frozen=True)
class TrainingRows:
    """A data set, cleaned and split."""

    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    read: int
    """Rows of the data set."""
    duplicates_dropped: int
    conflicts: int
    """Inputs that stood in the data with different labels; the first label was kept."""

    def describe(self) -> str:
        """One sentence for whoever waits, and another where labels disagreed."""
        text = (
            f"{len(self.train):,} rows to train on, {len(self.dev):,} held out for dev, "
            f"{self.duplicates_dropped:,} exact duplicates dropped."
        )
        if self.conflicts:
            text += (
                f"\n{self.conflicts} inputs stand in the data with different labels; "
                "the first label was kept."
            )
        return text

    def counts(self) -> dict[str, Any]:
        """What a provenance says of the rows."""
        return {
            "read": self.read,
            "duplicates_dropped": self.duplicates_dropped,
            "trained_on": len(self.train),
            "dev": len(self.dev),
            "dev_sha256": hash_examples(self.dev),
        }


def prepare_rows(dataset: Dataset, recipe: RowsRecipe) -> TrainingRows:
    """Choose, clean and split the rows as a recipe says.

    Recipes with the same data keys get the same rows, whatever they train.

    Raises:
        UserError: the development split does not fit the rows.
    """
    examples = dataset.examples[: recipe.rows]
    dropped = conflicts = 0
    if recipe.deduplicate:
        clean = deduplicate(examples)
        examples, dropped, conflicts = clean.kept, clean.dropped, len(clean.conflicts)
    train, dev = split_off_dev(examples, recipe.dev_rows, recipe.seed)
    return TrainingRows(train, dev, len(dataset.examples), dropped, conflicts)
