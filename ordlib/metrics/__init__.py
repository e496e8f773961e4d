"""How good an ordinal prediction is, and how sure we are of it.

Errors and correlations are measured on the number line (`mae`, `spearman`, `pearson`), agreement
on rank indices (`accuracy`, `off_by_one_accuracy`, `quadratic_kappa`). Whatever is undefined,
such as the correlation with a constant, is ``nan``: no warning, no invented zero.
"""

from .bootstrap import Interval, bootstrap, crossed_bootstrap
from .ordinal import (
    accuracy,
    mae,
    off_by_one_accuracy,
    pairwise_accuracy,
    pearson,
    quadratic_kappa,
    score,
    spearman,
)
from .ordinality import Ordinality, ordinality_score, rank_similarity

__all__ = [
    "Interval",
    "Ordinality",
    "accuracy",
    "bootstrap",
    "crossed_bootstrap",
    "mae",
    "off_by_one_accuracy",
    "ordinality_score",
    "pairwise_accuracy",
    "pearson",
    "quadratic_kappa",
    "rank_similarity",
    "score",
    "spearman",
]
