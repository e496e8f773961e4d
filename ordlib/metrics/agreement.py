"""How far off, and how often right: errors in the task's unit, agreement of ranks."""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import accuracy_score, cohen_kappa_score, mean_absolute_error

from .inputs import constant, numbers, rank_indices


def mae(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Mean absolute error, in the unit of the values given (objects, decades, years, points).

    Args:
        truth: ``(N,)`` true values.
        predicted: ``(N,)`` predicted values.

    Returns:
        The mean of ``|truth - predicted|``, 0 or more.

    Raises:
        ValueError: lengths differ, nothing is given, or a value is not finite.

    Example:
        >>> mae([1, 2, 3], [1, 4, 2.5])
        0.833...
    """
    return float(mean_absolute_error(*numbers(truth, predicted)))


def accuracy(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Share of pictures whose rank is exactly right.

    Args:
        truth: ``(N,)`` true rank indices (``task.nearest_rank(values)``).
        predicted: ``(N,)`` predicted rank indices.

    Returns:
        A share, 0 to 1.

    Raises:
        ValueError: as `mae`, or something other than whole ranks is given.

    Example:
        >>> accuracy([0, 1, 2, 3], [0, 1, 1, 0])
        0.5
    """
    return float(accuracy_score(*rank_indices(truth, predicted)))


def off_by_one_accuracy(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Share of pictures whose rank is right or a neighbour of the right one.

    Args:
        truth: ``(N,)`` true rank indices.
        predicted: ``(N,)`` predicted rank indices.

    Returns:
        A share, 0 to 1, never below `accuracy`.

    Raises:
        ValueError: as `accuracy`.

    Example:
        >>> off_by_one_accuracy([0, 1, 2, 3], [0, 1, 1, 0])
        0.75
    """
    truth, predicted = rank_indices(truth, predicted)
    return float(np.mean(np.abs(truth - predicted) <= 1))


def quadratic_kappa(truth: ArrayLike, predicted: ArrayLike, num_ranks: int) -> float:
    """Cohen's kappa with quadratic weights: agreement beyond chance, far misses cost most.

    All ranks of the task are named to scikit-learn. Left to itself it numbers the ranks that
    happen to occur, and a gap of five ranks shrinks to one where the four between are absent.

    Args:
        truth: ``(N,)`` true rank indices, 0 to ``num_ranks - 1``.
        predicted: ``(N,)`` predicted rank indices, likewise.
        num_ranks: number of ranks of the task.

    Returns:
        At most 1; 0 is chance. ``nan`` if everything is one and the same rank.

    Raises:
        ValueError: as `accuracy`, or a rank index is outside the task.

    Source:
        Cohen (1968), Weighted kappa, Psychological Bulletin 70(4).

    Example:
        >>> quadratic_kappa([0, 1, 2, 3], [0, 1, 2, 2], num_ranks=4)
        0.875
        >>> quadratic_kappa([1, 1], [1, 1], num_ranks=4)
        nan
    """
    truth, predicted = rank_indices(truth, predicted)
    for name, ranks in (("truth", truth), ("predicted", predicted)):
        outside = (ranks < 0) | (ranks >= num_ranks)
        if outside.any():
            row = int(np.argmax(outside))
            raise ValueError(
                f"{name}[{row}] = {ranks[row]} is no rank index of {num_ranks} ranks; "
                f"give 0 to {num_ranks - 1} (task.nearest_rank(values) makes them)"
            )
    if constant(np.concatenate([truth, predicted])):
        return float("nan")
    return float(
        cohen_kappa_score(truth, predicted, labels=np.arange(num_ranks), weights="quadratic")
    )
