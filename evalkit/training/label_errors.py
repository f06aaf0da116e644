"""Labels that are likely wrong, by confident learning.

A model that has not seen a row says what its label would be, and how surely; how sure the rows of a
value make it on average is the threshold above which it is believed (Northcutt, Jiang and Chuang:
Confident Learning, JAIR 70, 2021). The model is the TF-IDF baseline on rows held out; the counting
is cleanlab's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalkit.data import duplicate_groups
from evalkit.engines.tfidf import Hashing, likely_set, out_of_fold
from evalkit.errors import InsufficientData, UserError
from evalkit.records import Example, Label
from evalkit.tasks import Field, Task
from evalkit.training.recipe import TfidfRecipe

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.floating[Any]]

BY = "self_confidence"
"""Rows are ranked by how probable the label is that they have."""


@dataclass(frozen=True, slots=True)
class LabelError:
    """A label that is likely wrong."""

    example: Example
    field: str
    suggested: Label
    """What the other rows make of it."""
    quality: float
    """How probable the label is that the row has; 0 to 1, the lower the likelier it is wrong."""


def find_label_errors(task: Task, examples: Sequence[Example]) -> list[LabelError]:
    """Find labels that are likely wrong, the likeliest first.

    Near-duplicates are held out together: their labels would speak for each other.

    Raises:
        UserError: cleanlab is not installed, or the rows are too few.
    """
    _check_installed()
    recipe = TfidfRecipe(data="")
    hashing = Hashing(recipe.words, recipe.characters, recipe.hash_bits)
    try:
        probabilities = out_of_fold(task, examples, hashing, duplicate_groups(examples))
    except InsufficientData as error:
        raise UserError(f"Label errors cannot be told: {error}.") from error
    found = [
        error
        for name, field in task.fields.items()
        for error in _of_field(name, field, examples, probabilities[name])
    ]
    return sorted(found, key=lambda error: error.quality)


def _check_installed() -> None:
    try:
        import cleanlab  # noqa: F401
    except ImportError as error:
        raise UserError(
            "Label errors are found with cleanlab: pip install pytest-evalkit[cleanlab]."
        ) from error


def _of_field(
    name: str, field: Field, examples: Sequence[Example], probabilities: Floats
) -> list[LabelError]:
    said = [example.labels[name] for example in examples]
    sets = [label if isinstance(label, tuple) else (label,) for label in said]
    seen = [value for value in field.labels if any(value in label for label in sets)]
    if len(seen) < 2:
        return []
    of_seen = probabilities[:, [field.labels.index(value) for value in seen]]
    places = [[seen.index(value) for value in label] for label in sets]
    suggested: list[Label]
    if field.kind == "multi-label":
        suggested = [likely_set(field, row)[0] for row in probabilities.tolist()]
        wrong, quality = _of_sets(places, of_seen)
    else:
        suggested = [seen[place] for place in of_seen.argmax(axis=1).tolist()]
        wrong, quality = _of_one([place for (place,) in places], of_seen)
    return [
        LabelError(examples[row], name, suggested[row], float(quality[row]))
        for row in wrong
        if suggested[row] != said[row]
    ]


def _of_one(places: list[int], probabilities: Floats) -> tuple[list[int], Floats]:
    """Rows whose value is likely wrong, and every row's quality."""
    import numpy as np
    from cleanlab import filter, rank

    labels = np.array(places)
    rows = filter.find_label_issues(labels, probabilities, return_indices_ranked_by=BY, n_jobs=1)
    return rows.tolist(), rank.get_label_quality_scores(labels, probabilities)


def _of_sets(places: list[list[int]], probabilities: Floats) -> tuple[list[int], Floats]:
    """Rows whose set is likely wrong in some value, and every row's quality."""
    from cleanlab import multilabel_classification as of

    rows = of.filter.find_label_issues(places, probabilities, return_indices_ranked_by=BY, n_jobs=1)
    return rows.tolist(), of.get_label_quality_scores(places, probabilities)
