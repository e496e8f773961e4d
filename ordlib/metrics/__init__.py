"""How good an ordinal prediction is, and how sure we are of it.

Errors and correlations are measured on the number line (`mae`, `spearman`, `pearson`), agreement
on rank indices (`accuracy`, `off_by_one_accuracy`, `quadratic_weighted_kappa`). Whatever is undefined,
such as the correlation with a constant, is ``nan``: no warning, no invented zero.
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
