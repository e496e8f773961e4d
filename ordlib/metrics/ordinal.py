"""Metrics of ordinal predictions: errors on the number line, agreement of ranks, and order."""

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from sklearn.metrics import accuracy_score, mean_absolute_error


def _check_1d_pair(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return both sides as ``(N,)`` float64, or say what is wrong with them."""
    y_true, y_pred = (np.asarray(side, dtype=np.float64) for side in (y_true, y_pred))
    if y_true.ndim != 1 or y_true.shape != y_pred.shape or y_true.size == 0:
        raise ValueError(
            f"y_true and y_pred must be two lists of one length, at least 1; "
            f"their shapes are {y_true.shape} and {y_pred.shape}"
        )
    for name, side in (("y_true", y_true), ("y_pred", y_pred)):
        if not np.isfinite(side).all():
            row = int(np.argmin(np.isfinite(side)))
            raise ValueError(f"{name}[{row}] is {side[row]}; metrics need finite numbers")
    return y_true, y_pred


def rank_indices(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return both sides as ``(N,)`` integers, or say what is wrong with them."""
    y_true, y_pred = _check_1d_pair(y_true, y_pred)
    for name, side in (("y_true", y_true), ("y_pred", y_pred)):
        if (side != np.round(side)).any():
            row = int(np.argmax(side != np.round(side)))
            raise ValueError(
                f"{name}[{row}] = {side[row]} is no rank index; "
                f"turn values into ranks first: task.rank_index(values)"
            )
    return y_true.astype(np.int64), y_pred.astype(np.int64)


def _is_constant(values: np.ndarray, rounding: float = 0.0) -> bool:
    """Tell whether all values are the same, but for a share ``rounding`` of the largest."""
    return bool(np.ptp(values) <= rounding * np.abs(values).max())


def mae(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Mean absolute error, in the unit of the values given (objects, decades, years, points).

    Args:
        y_true: ``(N,)`` true values.
        y_pred: ``(N,)`` y_pred values.

    Returns:
        The mean of ``|y_true - y_pred|``, 0 or more.

    Raises:
        ValueError: lengths differ, nothing is given, or a value is not finite.

    Example:
        >>> mae([1, 2, 3], [1, 4, 2.5])
        0.833...
    """
    return float(mean_absolute_error(*_check_1d_pair(y_true, y_pred)))


def accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Share of pictures whose rank is exactly right.

    Args:
        y_true: ``(N,)`` true rank indices (``task.rank_index(values)``).
        y_pred: ``(N,)`` y_pred rank indices.

    Returns:
        A share, 0 to 1.

    Raises:
        ValueError: as `mae`, or something other than whole ranks is given.

    Example:
        >>> accuracy([0, 1, 2, 3], [0, 1, 1, 0])
        0.5
    """
    return float(accuracy_score(*rank_indices(y_true, y_pred)))


def off_by_one_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Share of pictures whose rank is right or a neighbour of the right one.

    Args:
        y_true: ``(N,)`` true rank indices.
        y_pred: ``(N,)`` y_pred rank indices.

    Returns:
        A share, 0 to 1, never below `accuracy`.

    Raises:
        ValueError: as `accuracy`.

    Example:
        >>> off_by_one_accuracy([0, 1, 2, 3], [0, 1, 1, 0])
        0.75
    """
    y_true, y_pred = rank_indices(y_true, y_pred)
    return float(np.mean(np.abs(y_true - y_pred) <= 1))


def quadratic_weighted_kappa(y_true: ArrayLike, y_pred: ArrayLike, num_ranks: int) -> float:
    """Cohen's kappa with quadratic weights: agreement beyond chance, far rank_errors cost most.

    Gaps are those between ranks of the task, also where the ranks between are absent.

    Args:
        y_true: ``(N,)`` true rank indices, 0 to ``num_ranks - 1``.
        y_pred: ``(N,)`` y_pred rank indices, likewise.
        num_ranks: number of ranks of the task.

    Returns:
        At most 1; 0 is chance. ``nan`` if everything is one and the same rank.

    Raises:
        ValueError: as `accuracy`, or a rank index is outside the task.

    Source:
        Cohen (1968), Weighted kappa, Psychological Bulletin 70(4).

    Example:
        >>> quadratic_weighted_kappa([0, 1, 2, 3], [0, 1, 2, 2], num_ranks=4)
        0.875
        >>> quadratic_weighted_kappa([1, 1], [1, 1], num_ranks=4)
        nan
    """
    y_true, y_pred = rank_indices(y_true, y_pred)
    for name, ranks in (("y_true", y_true), ("y_pred", y_pred)):
        outside = (ranks < 0) | (ranks >= num_ranks)
        if outside.any():
            row = int(np.argmax(outside))
            raise ValueError(
                f"{name}[{row}] = {ranks[row]} is no rank index of {num_ranks} ranks; "
                f"give 0 to {num_ranks - 1} (task.rank_index(values) makes them)"
            )
    if _is_constant(np.concatenate([y_true, y_pred])):
        return float("nan")
    return float(kappa_of_ranks(y_true, y_pred))


def spearman(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Spearman's rank correlation: does the order agree, whatever the scale?

    Args:
        y_true: ``(N,)`` true values.
        y_pred: ``(N,)`` y_pred values or scores, in any unit.

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
    y_true, y_pred = _check_1d_pair(y_true, y_pred)
    if _is_constant(y_true) or _is_constant(y_pred):
        return float("nan")
    return float(rank_correlation(y_true, y_pred))


def pearson(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Pearson's linear correlation.

    Args:
        y_true: ``(N,)`` true values.
        y_pred: ``(N,)`` y_pred values or scores, in any unit.

    Returns:
        -1 to 1. ``nan`` if either side is constant, but for rounding.

    Raises:
        ValueError: as `mae`.

    Example:
        >>> round(pearson([1, 2, 3, 4], [10, 20, 30, 40]), 6)
        1.0
    """
    y_true, y_pred = _check_1d_pair(y_true, y_pred)
    if _is_constant(y_true, rounding=1e-12) or _is_constant(y_pred, rounding=1e-12):
        return float("nan")
    return float(correlation(y_true, y_pred))


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


def kappa_of_ranks(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """Return the quadratic kappa of ``(N,)`` rank indices from moments.

    It is 1 less the mean squared error over that expected by chance.
    """
    chance = y_true.var() + y_pred.var() + (y_true.mean() - y_pred.mean()) ** 2
    return 1 - np.square(y_true - y_pred).mean() / chance if chance else np.nan


def pairwise_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Of all pairs with different labels, the share that the prediction puts in the right order.

    Pairs that the prediction leaves tied count half, so that a constant scores the 0.5 of a
    coin. It is ``(1 + Somers' D) / 2``; here it comes from Kendall's tau-b and the number of
    ties, in ``O(N log N)``, without listing the pairs.

    Args:
        y_true: ``(N,)`` labels; pairs with equal labels are left out. For float labels give
            ranks, as `score` does, or every tiny difference makes a pair.
        y_pred: ``(N,)`` y_pred values or scores, in any unit.

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
    y_true, y_pred = _check_1d_pair(y_true, y_pred)
    if _is_constant(y_true):
        return float("nan")
    if _is_constant(y_pred):
        return 0.5
    tau = stats.kendalltau(y_true, y_pred, variant="b").statistic
    somers = tau * np.sqrt(_untied_pairs(y_pred) / _untied_pairs(y_true))
    return float((1 + somers) / 2)


def _untied_pairs(values: np.ndarray) -> int:
    """Count the pairs whose two values differ."""
    counts = np.unique(values, return_counts=True)[1]
    return int(len(values) ** 2 - (counts**2).sum()) // 2


class _Task(Protocol):
    """The part of an `OrdinalTask` that `score` needs."""

    num_ranks: int

    def rank_index(self, values: ArrayLike) -> np.ndarray: ...


class _Prediction(Protocol):
    """The part of a `Prediction` that `score` needs."""

    value: np.ndarray
    label: np.ndarray


def compute_metrics(task: _Task, y_true: ArrayLike, prediction: _Prediction) -> dict[str, float]:
    """Compute every metric of a prediction.

    ``mae``, ``spearman`` and ``pearson`` compare real values; ``accuracy``, ``off_by_one`` and
    ``kappa`` compare the ranks nearest to the true values and to the y_pred labels;
    ``pairwise`` asks whether the y_pred values order the pairs of different true rank.

    Args:
        task: an `OrdinalTask`.
        y_true: ``(N,)`` true values on the task's number line.
        prediction: a `Prediction` of the same N pictures.

    Returns:
        ``mae`` in the task's unit, ``accuracy``, ``off_by_one``, ``kappa``, ``spearman``,
        ``pearson`` and ``pairwise``, in this order.

    Raises:
        ValueError: lengths differ, nothing is given, or a value is not finite.

    Example:
        >>> from ordlib.tasks import load_task
        >>> task = load_task("dating")
        >>> scores = compute_metrics(task, [0, 1, 4], task.decode_values([0.2, 1.9, 4.0]))
        >>> round(scores["mae"], 3), round(scores["accuracy"], 3), scores["off_by_one"]
        (0.367, 0.667, 1.0)
    """
    y_true, value = _check_1d_pair(y_true, prediction.value)
    ranks, labels = task.rank_index(y_true), task.rank_index(prediction.label)
    return {
        "mae": mae(y_true, value),
        "accuracy": accuracy(ranks, labels),
        "off_by_one": off_by_one_accuracy(ranks, labels),
        "kappa": quadratic_weighted_kappa(ranks, labels, task.num_ranks),
        "spearman": spearman(y_true, value),
        "pearson": pearson(y_true, value),
        "pairwise": pairwise_accuracy(ranks, value),
    }
