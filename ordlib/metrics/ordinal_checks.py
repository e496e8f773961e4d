"""Validation of the arguments of metrics."""

import numpy as np
from numpy.typing import ArrayLike

from ..utils.validation import check_count


def as_floats(name: str, values: ArrayLike) -> np.ndarray:
    """Numbers as a float64 array; ValueError with their name if they are none."""
    try:
        return np.asarray(values, dtype=np.float64)
    # RuntimeError: of torch, where gradients are required.
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ValueError(f"{name}: must be numbers, an array or a list ({error})") from error


def check_1d_pair(y_true: ArrayLike, y_pred: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Validate and return both arrays as ``(N,)`` float64."""
    y_true, y_pred = as_floats("y_true", y_true), as_floats("y_pred", y_pred)
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


def check_rank_indices(
    y_true: ArrayLike, y_pred: ArrayLike, num_ranks: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Validate and return both arrays as ``(N,)`` int64."""
    y_true, y_pred = check_1d_pair(y_true, y_pred)
    if num_ranks is not None:
        check_count("num_ranks", num_ranks)
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
