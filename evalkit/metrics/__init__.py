"""Metrics: pure functions from truths and predictions to Estimates."""

from evalkit.metrics.bootstrap import bootstrap
from evalkit.metrics.classification import (
    Confusion,
    Said,
    accuracy,
    all_fields_accuracy,
    confusion,
    f1,
    macro_f1,
    precision,
    recall,
)
from evalkit.metrics.proportions import proportion

__all__ = [
    "Confusion",
    "Said",
    "accuracy",
    "all_fields_accuracy",
    "bootstrap",
    "confusion",
    "f1",
    "macro_f1",
    "precision",
    "proportion",
    "recall",
]
