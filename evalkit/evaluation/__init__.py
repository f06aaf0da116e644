"""A system's answers on a dataset, what can be asked of them, and of two systems' at once."""

from evalkit.evaluation.cases import Case
from evalkit.evaluation.comparing import PairedComparison, check_same_rows, pair
from evalkit.evaluation.evaluation import (
    Evaluation,
    Measurement,
    build_requests,
    compare,
    evaluate,
)
from evalkit.evaluation.metric import Metric
from evalkit.evaluation.rows import EvaluatedRow, describe_predicted

__all__ = [
    "Case",
    "EvaluatedRow",
    "Evaluation",
    "Measurement",
    "Metric",
    "PairedComparison",
    "build_requests",
    "check_same_rows",
    "compare",
    "describe_predicted",
    "evaluate",
    "pair",
]
