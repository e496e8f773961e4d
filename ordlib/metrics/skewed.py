"""Metrics for skewed labels (macro-averaged and maximum MAE) and for probabilities (RPS, ECE)."""

import numpy as np
from numpy.typing import ArrayLike

from .ordinal_checks import as_floats, check_1d_pair, check_rank_indices
from .prediction import validate_probabilities

NUM_BINS = 15


def macro_mae(y_true: ArrayLike, y_pred: ArrayLike, ranks: ArrayLike) -> float:
    """Macro-averaged MAE: the mean over the ranks that occur of the MAE of each.

    Unlike MAE, it cannot be lowered by predicting the most frequent ranks.

    Args:
        y_true: ``(N,)`` true values.
        y_pred: ``(N,)`` predicted values.
        ranks: ``(N,)`` rank index of each true value.

    References:
        Baccianella, Esuli and Sebastiani (2009), Evaluation measures for ordinal regression.

    Example:
        >>> macro_mae([1, 1, 1, 5], [1, 1, 1, 1], ranks=[0, 0, 0, 4])
        2.0
    """
    return float(_mae_by_rank(y_true, y_pred, ranks).mean())


def max_mae(y_true: ArrayLike, y_pred: ArrayLike, ranks: ArrayLike) -> float:
    """Maximum MAE over ranks: the MAE of the rank that is predicted worst.

    Arguments as in :func:`macro_mae`.

    References:
        Cruz-Ramírez et al. (2014), Metrics to guide a multi-objective evolutionary algorithm for
        ordinal classification.

    Example:
        >>> max_mae([1, 1, 1, 5], [1, 1, 1, 1], ranks=[0, 0, 0, 4])
        4.0
    """
    return float(_mae_by_rank(y_true, y_pred, ranks).max())


def ranked_probability_score(ranks: ArrayLike, probabilities: ArrayLike) -> float:
    """Ranked probability score (RPS): the mean squared error of the cumulative probabilities.

    ``RPS = 1 / (M - 1) * sum_{k=1}^{M-1} (P(y <= k) - [rank <= k])^2``, averaged over the images:
    0 is perfect, and 1 is the worst.

    Args:
        ranks: ``(N,)`` true rank indices, 0 to M - 1.
        probabilities: ``(N, M)`` probabilities, rows summing to 1.

    References:
        Epstein (1969), A scoring system for probability forecasts of ranked categories.

    Example:
        >>> ranked_probability_score([0, 2], [[1, 0, 0], [0.5, 0.5, 0]])
        0.3125
    """
    return float(rps_per_image(ranks, probabilities).mean())


def rps_per_image(ranks: ArrayLike, probabilities: ArrayLike) -> np.ndarray:
    """``(N,)`` ranked probability scores; arguments as in :func:`ranked_probability_score`."""
    ranks, probabilities = _check(ranks, probabilities)
    num_ranks = probabilities.shape[1]
    is_reached = ranks[:, None] <= np.arange(num_ranks - 1)  # (N, M - 1)
    errors = probabilities.cumsum(axis=1)[:, :-1] - is_reached
    return np.square(errors).sum(axis=1) / (num_ranks - 1)


def expected_calibration_error(ranks: ArrayLike, probabilities: ArrayLike) -> float:
    """Expected calibration error (ECE) of the most probable rank, with 15 bins of equal width.

    The mean over the images of the difference between accuracy and mean confidence in a bin: 0 is
    calibrated. Arguments as in :func:`ranked_probability_score`.

    References:
        Guo et al. (2017), On calibration of modern neural networks, arXiv:1706.04599.

    Example:
        >>> expected_calibration_error([0, 1], [[0.75, 0.25], [0.75, 0.25]])
        0.25
    """
    ranks, probabilities = _check(ranks, probabilities)
    return ece_unchecked(probabilities.max(axis=1), probabilities.argmax(axis=1) == ranks)


def ece_unchecked(confidence: np.ndarray, is_correct: np.ndarray) -> float:
    """ECE of ``(N,)`` confidences and whether each is right."""
    bins = np.minimum((confidence * NUM_BINS).astype(int), NUM_BINS - 1)
    gaps = np.bincount(bins, is_correct - confidence, NUM_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def mae_by_rank_unchecked(errors: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """MAE of each rank that occurs, of ``(N,)`` absolute errors and int rank indices."""
    counts = np.bincount(ranks)
    return np.bincount(ranks, errors)[counts > 0] / counts[counts > 0]


def _mae_by_rank(y_true: ArrayLike, y_pred: ArrayLike, ranks: ArrayLike) -> np.ndarray:
    y_true, y_pred = check_1d_pair(y_true, y_pred)
    check_1d_pair(y_true, ranks)
    # Of the ranks that occur: an index may be large.
    ranks = np.unique(check_rank_indices(ranks, ranks)[0], return_inverse=True)[1]
    return mae_by_rank_unchecked(np.abs(y_true - y_pred), ranks)


def _check(ranks: ArrayLike, probabilities: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    probabilities = as_floats("probabilities", probabilities)
    num_ranks = probabilities.shape[1] if probabilities.ndim == 2 else 0
    if num_ranks == 1:
        raise ValueError("probabilities: of a single rank; an order needs at least 2")
    probabilities = validate_probabilities(probabilities, num_ranks)
    ranks = check_rank_indices(ranks, ranks, num_ranks)[0]
    if len(ranks) != len(probabilities):
        raise ValueError(f"probabilities: {len(probabilities)} rows for {len(ranks)} ranks")
    return ranks, probabilities
