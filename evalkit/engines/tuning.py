"""How closely a regression follows its rows: C and class weight, by cross-validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from evalkit.records import Label

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from scipy import sparse

    Folds = list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]
    """Positions to fit on, and positions to predict."""

ClassWeight = Literal["none", "balanced"]
CS = (1.0, 3.0, 10.0, 30.0, 100.0)
CLASS_WEIGHTS: tuple[ClassWeight, ...] = ("balanced", "none")
FOLDS = 3
MOST_ROWS = 4000
"""Drawn for cross-validation: it takes seconds for any number of training rows."""
PATIENCE = 2
"""After so many steps of C without a better one, larger ones are not tried."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How one field's regression is fitted."""

    c: float
    """scikit-learn's C: how closely the regression follows the rows."""
    class_weight: ClassWeight
    """`balanced` lets rare values weigh more."""
    accuracy: float | None = None
    """Share of right answers on rows held out, where it was chosen by that."""

    def describe(self) -> str:
        """Name it in a few words."""
        return f"C {self.c:g}, class weight {self.class_weight}"

    def content(self) -> dict[str, Any]:
        """As a provenance and the baseline's file have it."""
        accuracy = None if self.accuracy is None else round(self.accuracy, 4)
        return {"c": self.c, "class_weight": self.class_weight, "cv_accuracy": accuracy}


Predict = Callable[
    ["sparse.csr_matrix", Sequence[Label], Settings, "sparse.csr_matrix"], list[Label]
]
"""Fits on features and labels, and answers the other features."""


def choose_settings(
    features: sparse.csr_matrix,
    truth: Sequence[Label],
    groups: Sequence[int],
    predict: Predict,
    *,
    c: float | None,
    class_weight: ClassWeight | None,
) -> Settings:
    """Choose what is not given by accuracy on rows held out; the same rows give the same choice.

    Accuracy is what a baseline is compared by; a set of values has to be right as a whole. Of
    equals the smaller C wins. With rows too few to hold any out, it is C 10, balanced.

    Args:
        features: one row per training row.
        truth: the field's labels.
        groups: a number per row; rows of one number are near-duplicates and stay in one fold.
        predict: fits and answers.
        c: scikit-learn's C, or None.
        class_weight: `none`, `balanced` or None.

    """
    cs = CS if c is None else (c,)
    weights = CLASS_WEIGHTS if class_weight is None else (class_weight,)
    folds = make_folds(groups)
    if len(cs) * len(weights) == 1:
        return Settings(cs[0], weights[0])
    if not folds:
        return Settings(10.0 if c is None else c, weights[0])

    def accuracy(settings: Settings) -> float:
        right = 0
        for fitted, asked in folds:
            known = [truth[row] for row in fitted]
            answers = predict(features[fitted], known, settings, features[asked])
            right += sum(a == truth[row] for a, row in zip(answers, asked, strict=True))
        return right / sum(len(asked) for _, asked in folds)

    tried = [found for weight in weights for found in _ascend(cs, weight, accuracy)]
    return max(tried, key=lambda settings: (settings.accuracy, -settings.c))


def _ascend(
    cs: Sequence[float], weight: ClassWeight, accuracy: Callable[[Settings], float]
) -> list[Settings]:
    """Try ever larger Cs until `PATIENCE` of them are no better."""
    tried: list[Settings] = []
    best = 0
    for step, c in enumerate(cs):
        if step - best > PATIENCE:
            break
        tried.append(Settings(c, weight, accuracy(Settings(c, weight))))
        if _accuracy(tried[-1]) > _accuracy(tried[best]):
            best = step
    return tried


def _accuracy(settings: Settings) -> float:
    return settings.accuracy or 0.0


def make_folds(groups: Sequence[int], *, count: int = FOLDS, most: int = MOST_ROWS) -> Folds:
    """Whole groups, drawn and dealt out in turn; none where there are fewer than folds.

    Args:
        groups: a number per row; rows of one number stay in one fold.
        count: how many folds.
        most: so many rows are drawn, where there are more.
    """
    import numpy as np

    of_row = np.asarray(groups)
    distinct = np.random.default_rng(0).permutation(np.unique(of_row))
    if len(distinct) < count:
        return []
    fold_of = {group: place % count for place, group in enumerate(distinct.tolist())}
    drawn = np.random.default_rng(1).permutation(len(of_row))[:most]
    rows = np.sort(drawn)
    fold = np.array([fold_of[group] for group in of_row[rows].tolist()])
    parts = [(rows[fold != k], rows[fold == k]) for k in range(count)]
    return [(fitted, asked) for fitted, asked in parts if len(fitted) and len(asked)]


def settings_of(content: Mapping[str, Any]) -> Settings:
    """Read what `Settings.content` gave; raises `KeyError`, `TypeError` or `ValueError`."""
    weight: ClassWeight = "balanced" if content["class_weight"] == "balanced" else "none"
    accuracy = content["cv_accuracy"]
    return Settings(float(content["c"]), weight, None if accuracy is None else float(accuracy))
