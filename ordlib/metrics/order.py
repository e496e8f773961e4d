"""Is the order right? Correlations, and the share of pairs put in the right order."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from .inputs import constant, numbers


def spearman(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Spearman's rank correlation: does the order agree, whatever the scale?

    Args:
        truth: ``(N,)`` true values.
        predicted: ``(N,)`` predicted values or scores, in any unit.

    Returns:
        -1 to 1. ``nan`` if either side is constant.

    Raises:
        ValueError: as `mae`.

    Example:
        >>> round(spearman([1, 2, 3, 4], [10, 20, 30, 400]), 6)
        1.0
        >>> spearman([1, 2, 3, 4], [7, 7, 7, 7])
        nan
    """
    truth, predicted = numbers(truth, predicted)
    if constant(truth) or constant(predicted):
        return float("nan")
    return float(stats.spearmanr(truth, predicted).statistic)


def pearson(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Pearson's linear correlation.

    Args:
        truth: ``(N,)`` true values.
        predicted: ``(N,)`` predicted values or scores, in any unit.

    Returns:
        -1 to 1. ``nan`` if either side is constant, but for rounding.

    Raises:
        ValueError: as `mae`.

    Example:
        >>> round(pearson([1, 2, 3, 4], [10, 20, 30, 40]), 6)
        1.0
    """
    truth, predicted = numbers(truth, predicted)
    if constant(truth, rounding=1e-12) or constant(predicted, rounding=1e-12):
        return float("nan")
    return float(stats.pearsonr(truth, predicted).statistic)


def pairwise_accuracy(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Of all pairs with different labels, the share that the prediction puts in the right order.

    Pairs that the prediction leaves tied count half, so that a constant scores the 0.5 of a
    coin. It is ``(1 + Somers' D) / 2``; here it comes from Kendall's tau-b and the number of
    ties, in ``O(N log N)``, without listing the pairs.

    Args:
        truth: ``(N,)`` labels; pairs with equal labels are left out. For float labels give
            ranks, as `score` does, or every tiny difference makes a pair.
        predicted: ``(N,)`` predicted values or scores, in any unit.

    Returns:
        A share, 0 to 1; 0.5 is chance. ``nan`` if all labels are equal.

    Raises:
        ValueError: as `mae`.

    Example:
        >>> pairwise_accuracy([1, 2, 3], [0.1, 0.9, 0.5])
        0.666...
        >>> pairwise_accuracy([1, 2, 3], [7, 7, 7])
        0.5
    """
    truth, predicted = numbers(truth, predicted)
    if constant(truth):
        return float("nan")
    if constant(predicted):
        return 0.5
    tau = stats.kendalltau(truth, predicted, variant="b").statistic
    somers = tau * np.sqrt(_untied_pairs(predicted) / _untied_pairs(truth))
    return float((1 + somers) / 2)


def _untied_pairs(values: np.ndarray) -> int:
    """Count the pairs whose two values differ."""
    counts = np.unique(values, return_counts=True)[1]
    return int(len(values) ** 2 - (counts**2).sum()) // 2
