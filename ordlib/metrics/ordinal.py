"""MAE, accuracy, off-by-one accuracy, QWK, Spearman, Pearson and pairwise accuracy.

``y_true`` and ``y_pred`` are arrays of shape ``(N,)``, N at least 1: values in any unit, or integer
rank indices (``task.rank_index(values)``). Other shapes, values that are not finite, and rank
indices that are not integers raise ``ValueError``.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from sklearn.metrics import accuracy_score, mean_absolute_error

from .prediction import Prediction

if TYPE_CHECKING:
    from ..tasks import OrdinalTask


def mae(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Mean absolute error of values, in their unit.

    Example:
        >>> mae([1, 2, 3], [1, 4, 2.5])
        0.833...
    """
    return float(mean_absolute_error(*_check_1d_pair(y_true, y_pred)))


def accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Fraction of correct rank indices.

    Example:
        >>> accuracy([0, 1, 2, 3], [0, 1, 1, 0])
        0.5
    """
    return float(accuracy_score(*_check_rank_indices(y_true, y_pred)))


def off_by_one_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Fraction of rank indices at most one rank away from the true one.

    Example:
        >>> off_by_one_accuracy([0, 1, 2, 3], [0, 1, 1, 0])
        0.75
    """
    y_true, y_pred = _check_rank_indices(y_true, y_pred)
    return float(np.mean(np.abs(y_true - y_pred) <= 1))


def quadratic_weighted_kappa(y_true: ArrayLike, y_pred: ArrayLike, num_ranks: int) -> float:
    """Quadratic weighted kappa (QWK): Cohen's kappa with quadratic weights (Cohen, 1968).

    Distances include ranks of the task that do not occur in the data.

    Args:
        y_true: true rank indices, 0 to ``num_ranks - 1``.
        y_pred: predicted rank indices, 0 to ``num_ranks - 1``.
        num_ranks: number of ranks of the task.

    Returns:
        At most 1; 0 is chance; ``nan`` if a single rank occurs.

    References:
        Cohen (1968), Weighted kappa, Psychological Bulletin 70(4).

    Example:
        >>> quadratic_weighted_kappa([0, 1, 2, 3], [0, 1, 2, 2], num_ranks=4)
        0.875
        >>> quadratic_weighted_kappa([1, 1], [1, 1], num_ranks=4)
        nan
    """
    y_true, y_pred = _check_rank_indices(y_true, y_pred, num_ranks)
    if _is_constant(np.concatenate([y_true, y_pred])):
        return float("nan")
    return float(kappa_unchecked(y_true, y_pred))


def spearman(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Spearman's rank correlation of values or scores; ``nan`` if either array is constant.

    Example:
        >>> round(spearman([1, 2, 3, 4], [10, 20, 30, 400]), 6)
        1.0
        >>> spearman([1, 2, 3, 4], [7, 7, 7, 7])
        nan
    """
    y_true, y_pred = _check_1d_pair(y_true, y_pred)
    if _is_constant(y_true) or _is_constant(y_pred):
        return float("nan")
    return float(spearman_unchecked(y_true, y_pred))


def pearson(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Pearson's linear correlation; ``nan`` if either array is constant up to a relative 1e-12.

    Example:
        >>> round(pearson([1, 2, 3, 4], [10, 20, 30, 40]), 6)
        1.0
    """
    y_true, y_pred = _check_1d_pair(y_true, y_pred)
    if _is_constant(y_true, rtol=1e-12) or _is_constant(y_pred, rtol=1e-12):
        return float("nan")
    return float(pearson_unchecked(y_true, y_pred))


# Without validation and p-values, which a bootstrap would repeat for each resample; tests compare
# all three with scipy and scikit-learn.
def pearson_unchecked(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation of ``(N,)`` arrays, ``nan`` with a constant."""
    a, b = a - a.mean(), b - b.mean()
    norm = np.sqrt(a.dot(a) * b.dot(b))
    return a.dot(b) / norm if norm else np.nan


def spearman_unchecked(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's correlation of ``(N,)`` arrays, ``nan`` with a constant."""
    return pearson_unchecked(stats.rankdata(a), stats.rankdata(b))


def kappa_unchecked(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    """QWK of ``(N,)`` rank indices: 1 - MSE / expected MSE of independent predictions."""
    expected = y_true.var() + y_pred.var() + (y_true.mean() - y_pred.mean()) ** 2
    return 1 - np.square(y_true - y_pred).mean() / expected if expected else np.nan


def pairwise_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Fraction of correctly ordered pairs (concordance index), ``(1 + Somers' D) / 2``.

    Pairs with equal labels are ignored; pairs with equal predictions count half, so a constant
    prediction scores 0.5. Computed in ``O(N log N)`` from Kendall's tau-b and the number of ties.

    Args:
        y_true: labels. For float labels pass rank indices, as `compute_metrics` does, or every
            tiny difference makes a pair.
        y_pred: predicted values or scores.

    Returns:
        0 to 1; 0.5 is chance. ``nan`` if all labels are equal.

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
    tau_b = stats.kendalltau(y_true, y_pred, variant="b").statistic
    somers_d = tau_b * np.sqrt(_num_untied_pairs(y_pred) / _num_untied_pairs(y_true))
    return float((1 + somers_d) / 2)


def compute_metrics(
    task: "OrdinalTask", y_true: ArrayLike, prediction: Prediction
) -> dict[str, float]:
    """Compute all metrics of a prediction. Derived in notebook 00.

    ``mae``, ``spearman`` and ``pearson`` compare values; ``accuracy``, ``off_by_one`` and
    ``kappa`` compare the ranks of the true values and of the predicted labels; ``pairwise``
    compares the true ranks with the predicted values.

    Example:
        >>> from ordlib.tasks import load_task
        >>> task = load_task("dating")
        >>> metrics = compute_metrics(task, [0, 1, 4], task.decode_values([0.2, 1.9, 4.0]))
        >>> round(metrics["mae"], 3), round(metrics["accuracy"], 3), metrics["off_by_one"]
        (0.367, 0.667, 1.0)
    """
    y_true, y_pred = _check_1d_pair(y_true, prediction.value)
    ranks, predicted_ranks = task.rank_index(y_true), task.rank_index(prediction.label)
    return {
        "mae": mae(y_true, y_pred),
        "accuracy": accuracy(ranks, predicted_ranks),
        "off_by_one": off_by_one_accuracy(ranks, predicted_ranks),
        "kappa": quadratic_weighted_kappa(ranks, predicted_ranks, task.num_ranks),
        "spearman": spearman(y_true, y_pred),
        "pearson": pearson(y_true, y_pred),
        "pairwise": pairwise_accuracy(ranks, y_pred),
    }


def _check_1d_pair(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Validate and return both arrays as ``(N,)`` float64."""
    y_true, y_pred = (np.asarray(values, dtype=np.float64) for values in (y_true, y_pred))
    if y_true.ndim != 1 or y_true.shape != y_pred.shape or y_true.size == 0:
        raise ValueError(
            f"y_true, y_pred: shapes {y_true.shape} and {y_pred.shape}; expected one shape (N,), "
            "N at least 1"
        )
    for name, values in (("y_true", y_true), ("y_pred", y_pred)):
        if not np.isfinite(values).all():
            row = int(np.argmin(np.isfinite(values)))
            raise ValueError(f"{name}[{row}] = {values[row]}: must be finite")
    return y_true, y_pred


def _check_rank_indices(
    y_true: ArrayLike, y_pred: ArrayLike, num_ranks: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Validate and return both arrays as ``(N,)`` int64."""
    y_true, y_pred = _check_1d_pair(y_true, y_pred)
    for name, ranks in (("y_true", y_true), ("y_pred", y_pred)):
        invalid, expected = ranks != np.round(ranks), "an integer"
        if num_ranks is not None:
            invalid |= (ranks < 0) | (ranks >= num_ranks)
            expected += f" from 0 to {num_ranks - 1}"
        if invalid.any():
            row = int(np.argmax(invalid))
            raise ValueError(
                f"{name}[{row}] = {ranks[row]:g}: not a rank index, {expected}; "
                "use task.rank_index(values)"
            )
    return y_true.astype(np.int64), y_pred.astype(np.int64)


def _is_constant(values: np.ndarray, rtol: float = 0.0) -> bool:
    return bool(np.ptp(values) <= rtol * np.abs(values).max())


def _num_untied_pairs(values: np.ndarray) -> int:
    counts = np.unique(values, return_counts=True)[1]
    return int(len(values) ** 2 - (counts**2).sum()) // 2
