"""Metrics for ordinal regression, with bootstrap confidence intervals.

`mae`, `spearman` and `pearson` compare values, `pairwise_accuracy` their order, and `accuracy`,
`off_by_one_accuracy` and `quadratic_weighted_kappa` rank indices. Undefined metrics, such as the
correlation with a constant, are ``nan``, without a warning.
"""

from .bootstrap import Interval, bootstrap, two_way_bootstrap
from .ordinal import (
    accuracy,
    compute_metrics,
    mae,
    off_by_one_accuracy,
    pairwise_accuracy,
    pearson,
    quadratic_weighted_kappa,
    spearman,
)
from .ordinality import Ordinality, ordinality_score, rank_similarity

__all__ = [
    "Interval",
    "Ordinality",
    "accuracy",
    "bootstrap",
    "compute_metrics",
    "mae",
    "off_by_one_accuracy",
    "ordinality_score",
    "pairwise_accuracy",
    "pearson",
    "quadratic_weighted_kappa",
    "rank_similarity",
    "spearman",
    "two_way_bootstrap",
]
