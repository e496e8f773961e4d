"""Metrics of ordinal predictions: errors on the number line, agreement of ranks, and order."""

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from sklearn.metrics import accuracy_score, mean_absolute_error


def numbers(truth: ArrayLike, predicted: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return both sides as ``(N,)`` float64, or say what is wrong with them."""
    truth, predicted = (np.asarray(side, dtype=np.float64) for side in (truth, predicted))
    if truth.ndim != 1 or truth.shape != predicted.shape or truth.size == 0:
        raise ValueError(
            f"truth and predicted must be two lists of one length, at least 1; "
            f"their shapes are {truth.shape} and {predicted.shape}"
        )
    for name, side in (("truth", truth), ("predicted", predicted)):
        if not np.isfinite(side).all():
            row = int(np.argmin(np.isfinite(side)))
            raise ValueError(f"{name}[{row}] is {side[row]}; metrics need finite numbers")
    return truth, predicted


def rank_indices(truth: ArrayLike, predicted: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return both sides as ``(N,)`` integers, or say what is wrong with them."""
    truth, predicted = numbers(truth, predicted)
    for name, side in (("truth", truth), ("predicted", predicted)):
        if (side != np.round(side)).any():
            row = int(np.argmax(side != np.round(side)))
            raise ValueError(
                f"{name}[{row}] = {side[row]} is no rank index; "
                f"turn values into ranks first: task.nearest_rank(values)"
            )
    return truth.astype(np.int64), predicted.astype(np.int64)


def constant(values: np.ndarray, rounding: float = 0.0) -> bool:
    """Tell whether all values are the same, but for a share ``rounding`` of the largest."""
    return bool(np.ptp(values) <= rounding * np.abs(values).max())


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

    Gaps are those between ranks of the task, also where the ranks between are absent.

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
    return float(kappa_of_ranks(truth, predicted))


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
    return float(rank_correlation(truth, predicted))


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
    return float(correlation(truth, predicted))


# Without checks and tests of significance, which a bootstrap would repeat at every draw; tests
# compare all three with scipy and scikit-learn.
def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Return Pearson's correlation of ``(N,)`` numbers, ``nan`` with a constant."""
    one, other = one - one.mean(), other - other.mean()
    spread = np.sqrt(one.dot(one) * other.dot(other))
    return one.dot(other) / spread if spread else np.nan


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Return Spearman's correlation of ``(N,)`` numbers, ``nan`` with a constant."""
    return correlation(stats.rankdata(one), stats.rankdata(other))


def kappa_of_ranks(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return the quadratic kappa of ``(N,)`` rank indices from moments.

    It is 1 less the mean squared error over that expected by chance.
    """
    chance = truth.var() + predicted.var() + (truth.mean() - predicted.mean()) ** 2
    return 1 - np.square(truth - predicted).mean() / chance if chance else np.nan


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


class _Task(Protocol):
    """The part of an `OrdinalTask` that `score` needs."""

    num_ranks: int

    def nearest_rank(self, values: ArrayLike) -> np.ndarray: ...


class _Prediction(Protocol):
    """The part of a `Prediction` that `score` needs."""

    value: np.ndarray
    label: np.ndarray


def score(task: _Task, truth: ArrayLike, prediction: _Prediction) -> dict[str, float]:
    """Compute every metric of a prediction.

    ``mae``, ``spearman`` and ``pearson`` compare real values; ``accuracy``, ``off_by_one`` and
    ``kappa`` compare the ranks nearest to the true values and to the predicted labels;
    ``pairwise`` asks whether the predicted values order the pairs of different true rank.

    Args:
        task: an `OrdinalTask`.
        truth: ``(N,)`` true values on the task's number line.
        prediction: a `Prediction` of the same N pictures.

    Returns:
        ``mae`` in the task's unit, ``accuracy``, ``off_by_one``, ``kappa``, ``spearman``,
        ``pearson`` and ``pairwise``, in this order.

    Raises:
        ValueError: lengths differ, nothing is given, or a value is not finite.

    Example:
        >>> from ordlib.tasks import load_task
        >>> task = load_task("dating")
        >>> scores = score(task, [0, 1, 4], task.read_values([0.2, 1.9, 4.0]))
        >>> round(scores["mae"], 3), round(scores["accuracy"], 3), scores["off_by_one"]
        (0.367, 0.667, 1.0)
    """
    truth, value = numbers(truth, prediction.value)
    ranks, labels = task.nearest_rank(truth), task.nearest_rank(prediction.label)
    return {
        "mae": mae(truth, value),
        "accuracy": accuracy(ranks, labels),
        "off_by_one": off_by_one_accuracy(ranks, labels),
        "kappa": quadratic_kappa(ranks, labels, task.num_ranks),
        "spearman": spearman(truth, value),
        "pearson": pearson(truth, value),
        "pairwise": pairwise_accuracy(ranks, value),
    }
