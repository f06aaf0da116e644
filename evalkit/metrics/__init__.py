"""Metrics: pure functions from truths and predictions to Estimates and Comparisons.

What the numbers mean, where the formulas come from and how well the intervals keep their promise
is in `docs/statistics.md`.
"""

from evalkit.metrics.bootstrap import (
    BoundedStatistic,
    Statistic,
    bootstrap,
    mean_statistic,
    share_statistic,
)
from evalkit.metrics.calibration import (
    CoveragePoint,
    ReliabilityBin,
    accuracy_at_coverage,
    brier,
    expected_calibration_error,
    reliability_curve,
)
from evalkit.metrics.classification import (
    Confusion,
    Predicted,
    confusion,
    f1,
    macro_f1,
    macro_f1_statistic,
    precision,
    recall,
)
from evalkit.metrics.comparison import compare_hits, compare_statistics, holm
from evalkit.metrics.cost import quantiles
from evalkit.metrics.multilabel import (
    LabelScores,
    jaccard,
    jaccard_statistic,
    label_scores,
    micro_f1,
    micro_f1_statistic,
)
from evalkit.metrics.ordinal import (
    mean_absolute_error,
    mean_absolute_error_statistic,
    quadratic_kappa,
    quadratic_kappa_statistic,
)
from evalkit.metrics.power import (
    cases_to_settle,
    detectable_drop,
    independent_rows,
    paired_detectable_difference,
)
from evalkit.metrics.proportions import effective_rows, proportion, share

__all__ = [
    "BoundedStatistic",
    "Confusion",
    "CoveragePoint",
    "LabelScores",
    "Predicted",
    "ReliabilityBin",
    "Statistic",
    "accuracy_at_coverage",
    "bootstrap",
    "brier",
    "cases_to_settle",
    "compare_hits",
    "compare_statistics",
    "confusion",
    "detectable_drop",
    "effective_rows",
    "expected_calibration_error",
    "f1",
    "holm",
    "independent_rows",
    "jaccard",
    "jaccard_statistic",
    "label_scores",
    "macro_f1",
    "macro_f1_statistic",
    "mean_absolute_error",
    "mean_absolute_error_statistic",
    "mean_statistic",
    "micro_f1",
    "micro_f1_statistic",
    "paired_detectable_difference",
    "precision",
    "proportion",
    "quadratic_kappa",
    "quadratic_kappa_statistic",
    "quantiles",
    "recall",
    "reliability_curve",
    "share",
    "share_statistic",
]
