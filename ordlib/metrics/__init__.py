"""Metrics for ordinal regression, with bootstrap confidence intervals.

`mae`, `spearman` and `pearson` compare values, `pairwise_accuracy` their order, and `accuracy`,
`off_by_one_accuracy` and `quadratic_weighted_kappa` rank indices. Undefined metrics, such as the
correlation with a constant, are ``nan``, without a warning.
"""

from .bootstrap import Interval, bootstrap, classify_difference, two_way_bootstrap
from .ordinal import (
    accuracy,
    compute_metrics,
    epsilon_error,
    mae,
    metrics_by,
    off_by_one_accuracy,
    pairwise_accuracy,
    pearson,
    quadratic_weighted_kappa,
    spearman,
)
from .ordinality import Ordinality, ordinality_score, rank_similarity
from .skewed import expected_calibration_error, macro_mae, max_mae, ranked_probability_score

__all__ = [
    "Interval",
    "Ordinality",
    "accuracy",
    "bootstrap",
    "classify_difference",
    "compute_metrics",
    "epsilon_error",
    "expected_calibration_error",
    "macro_mae",
    "mae",
    "max_mae",
    "metrics_by",
    "off_by_one_accuracy",
    "ordinality_score",
    "pairwise_accuracy",
    "pearson",
    "quadratic_weighted_kappa",
    "rank_similarity",
    "ranked_probability_score",
    "spearman",
    "two_way_bootstrap",
]
