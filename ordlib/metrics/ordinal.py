"""MAE, accuracy, off-by-one accuracy, QWK, Spearman, Pearson and pairwise accuracy.

``y_true`` and ``y_pred`` are arrays of shape ``(N,)``, N at least 1: values in any unit, or integer
rank indices (``task.rank_index(values)``). Other shapes, values that are not finite, and rank
indices that are not integers raise ``ValueError``.
"""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats
from sklearn.metrics import accuracy_score, mean_absolute_error

from .ordinal_checks import check_1d_pair, check_rank_indices
from .prediction import Prediction
from .skewed import expected_calibration_error, macro_mae, max_mae, ranked_probability_score

if TYPE_CHECKING:
    from ..tasks import OrdinalTask


def mae(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Mean absolute error of values, in their unit.

    Example:
        >>> mae([1, 2, 3], [1, 4, 2.5])
        0.833...
    """
    return float(mean_absolute_error(*check_1d_pair(y_true, y_pred)))


def epsilon_error(y_true: ArrayLike, y_pred: ArrayLike, std: ArrayLike) -> float:
    """Epsilon-error of the ChaLearn LAP challenges of apparent age, 0 (best) to 1.

    Mean of ``1 - exp(-(y_pred - y_true)^2 / (2 std^2))``: an error counts less where those who
    labelled the image disagree.

    Args:
        y_true, y_pred: ``(N,)`` true and predicted values.
        std: ``(N,)`` standard deviation of the labels of each image, above 0.

    Raises:
        ValueError: different lengths, or a standard deviation that is not above 0.

    References:
        Escalera et al. (2015), ChaLearn Looking at People 2015: apparent age and cultural event
        recognition, ICCV workshops.

    Example:
        >>> round(epsilon_error([30, 40], [30, 44], [2, 4]), 4)
        0.1967
    """
    y_true, y_pred = check_1d_pair(y_true, y_pred)
    _, std = check_1d_pair(y_true, std)
    if not (std > 0).all():
        raise ValueError(f"std[{int(np.argmin(std))}] = {std.min():g}: must be above 0")
    return float(np.mean(1 - np.exp(-((y_pred - y_true) ** 2) / (2 * std**2))))


def accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Fraction of correct rank indices.

    Example:
        >>> accuracy([0, 1, 2, 3], [0, 1, 1, 0])
        0.5
    """
    return float(accuracy_score(*check_rank_indices(y_true, y_pred)))


def off_by_one_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Fraction of rank indices at most one rank away from the true one.

    Example:
        >>> off_by_one_accuracy([0, 1, 2, 3], [0, 1, 1, 0])
        0.75
    """
    y_true, y_pred = check_rank_indices(y_true, y_pred)
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
    y_true, y_pred = check_rank_indices(y_true, y_pred, num_ranks)
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
    y_true, y_pred = check_1d_pair(y_true, y_pred)
    if _is_constant(y_true) or _is_constant(y_pred):
        return float("nan")
    return float(spearman_unchecked(y_true, y_pred))


def pearson(y_true: ArrayLike, y_pred: ArrayLike) -> float:
    """Pearson's linear correlation; ``nan`` if either array is constant up to a relative 1e-12.

    Example:
        >>> round(pearson([1, 2, 3, 4], [10, 20, 30, 40]), 6)
        1.0
    """
    y_true, y_pred = check_1d_pair(y_true, y_pred)
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
    y_true, y_pred = check_1d_pair(y_true, y_pred)
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
    compares the true ranks with the predicted values; ``macro_mae`` and ``max_mae`` are the mean
    and the maximum of the MAE of each rank; ``rps`` and ``ece`` are of the probabilities, and
    ``nan`` without them.

    Example:
        >>> from ordlib.tasks import load_task
        >>> task = load_task("dating")
        >>> metrics = compute_metrics(task, [0, 1, 4], task.decode_values([0.2, 1.9, 4.0]))
        >>> round(metrics["mae"], 3), round(metrics["accuracy"], 3), metrics["off_by_one"]
        (0.367, 0.667, 1.0)
    """
    check_prediction(task, prediction)
    y_true, y_pred = check_1d_pair(y_true, prediction.value)
    ranks, predicted_ranks = task.rank_index(y_true), task.rank_index(prediction.label)
    probabilities = prediction.probabilities
    has_none = probabilities is None
    return {
        "mae": mae(y_true, y_pred),
        "accuracy": accuracy(ranks, predicted_ranks),
        "off_by_one": off_by_one_accuracy(ranks, predicted_ranks),
        "kappa": quadratic_weighted_kappa(ranks, predicted_ranks, task.num_ranks),
        "spearman": spearman(y_true, y_pred),
        "pearson": pearson(y_true, y_pred),
        "pairwise": pairwise_accuracy(ranks, y_pred),
        "macro_mae": macro_mae(y_true, y_pred, ranks),
        "max_mae": max_mae(y_true, y_pred, ranks),
        "rps": float("nan") if has_none else ranked_probability_score(ranks, probabilities),
        "ece": float("nan") if has_none else expected_calibration_error(ranks, probabilities),
    }


def metrics_by(
    task: "OrdinalTask", y_true: ArrayLike, prediction: Prediction, by: ArrayLike
) -> pd.DataFrame:
    """All metrics for each value of a column, such as a camera or a category, and their mean.

    Args:
        task: defines the ranks.
        y_true: ``(N,)`` true values.
        prediction: of the N images.
        by: ``(N,)`` value of the column for each image.

    Returns:
        One row per value, in order, with the number of images, and a last row "mean" that weighs
        all values alike; metrics that are undefined for a value are left out of its mean.

    Example:
        >>> from ordlib.tasks import load_task
        >>> task = load_task("dating")
        >>> table = metrics_by(task, [0, 1, 4], task.decode_values([0, 2, 4]), ["a", "b", "b"])
        >>> table["mae"].to_dict()
        {'a': 0.0, 'b': 0.5, 'mean': 0.25}
    """
    y_true, by = np.asarray(y_true), pd.Series(np.asarray(by), name="by")
    if not len(by) == len(y_true) == len(prediction):
        raise ValueError(
            f"by: {len(by)} values for {len(y_true)} labels and {len(prediction)} predictions; "
            "pass a column of the evaluated images"
        )
    rows = {
        value: {"images": len(rows)}
        | compute_metrics(task, y_true[rows], prediction.subset(np.asarray(rows)))
        for value, rows in by.groupby(by, dropna=False).groups.items()
    }
    table = pd.DataFrame.from_dict(rows, orient="index")
    table = pd.concat([table, table.mean().to_frame("mean").T])
    return table.assign(images=[*table["images"][:-1], len(by)]).astype({"images": int})


def check_prediction(task: "OrdinalTask", prediction: Prediction) -> None:
    """Validate that a prediction is one of the task.

    Raises:
        TypeError: not a Prediction.
        ValueError: probabilities of another number of ranks.
    """
    if not isinstance(prediction, Prediction):
        raise TypeError(
            f"prediction = {prediction!r:.80}: must be a Prediction; task.decode_values(values) "
            "makes one"
        )
    if prediction.probabilities is not None:
        num_ranks = prediction.probabilities.shape[1]
        if num_ranks != task.num_ranks:
            raise ValueError(
                f"prediction: has probabilities of {num_ranks} ranks; task {task.name!r} has "
                f"{task.num_ranks}"
            )


def _is_constant(values: np.ndarray, rtol: float = 0.0) -> bool:
    return bool(np.ptp(values) <= rtol * np.abs(values).max())


def _num_untied_pairs(values: np.ndarray) -> int:
    counts = np.unique(values, return_counts=True)[1]
    return int(len(values) ** 2 - (counts**2).sum()) // 2
