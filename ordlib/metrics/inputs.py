"""What metrics accept, and the error for what they do not."""

import numpy as np
from numpy.typing import ArrayLike


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
