"""Predictions of a method: values, labels and probabilities."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .ordinal_checks import as_floats


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predictions for N images of an ordinal task.

    Attributes:
        value: ``(N,)`` float64 predicted values in the task's unit, possibly between ranks.
        label: ``(N,)`` float64 values of the predicted ranks: ``task.rank_index(label)`` is the
            rank index, ``task.rank_label(index)`` its name.
        probabilities: ``(N, M)`` float64 over the ranks, rows summing to 1, or None.

    Raises:
        ValueError: shapes do not match, a number is not finite, or probabilities of an image are
            no distribution.

    Example:
        >>> prediction = Prediction(value=[1.2, 3.9], label=[1, 4])
        >>> len(prediction), prediction.label
        (2, array([1., 4.]))
    """

    value: np.ndarray
    label: np.ndarray
    probabilities: np.ndarray | None = None

    def __post_init__(self) -> None:
        num_images = as_floats("value", self.value).size
        for field, ndim in (("value", 1), ("label", 1), ("probabilities", 2)):
            if field == "probabilities" and self.probabilities is None:
                continue
            array = as_floats(field, getattr(self, field))
            if array.ndim != ndim or len(array) != num_images:
                raise ValueError(
                    f"{field}: shape {array.shape}; expected {ndim} dimension(s) and "
                    f"{num_images} rows, one per value"
                )
            if not np.isfinite(array).all():
                row = int(np.argwhere(~np.isfinite(array))[0, 0])
                raise ValueError(f"{field}[{row}] = {array[row]}: must be finite")
            object.__setattr__(self, field, array)
        if self.probabilities is not None:
            validate_probabilities(self.probabilities, max(1, self.probabilities.shape[1]))

    def __len__(self) -> int:
        return len(self.value)

    def subset(self, indices: np.ndarray) -> "Prediction":
        """Predictions of some images, by index or mask."""
        probabilities = None if self.probabilities is None else self.probabilities[indices]
        return Prediction(self.value[indices], self.label[indices], probabilities)


def validate_probabilities(probabilities: ArrayLike, num_ranks: int) -> np.ndarray:
    """Validate ``(N, M)`` probabilities over ranks and return them as float64, rows summing to 1.

    Row sums may differ from 1 by 0.01, as in half precision.

    Raises:
        ValueError: another shape, a negative or undefined number, or a sum far from 1.

    Example:
        >>> validate_probabilities([[0.25, 0.75]], num_ranks=2)
        array([[0.25, 0.75]])
    """
    probabilities = as_floats("probabilities", probabilities)
    if probabilities.ndim != 2 or probabilities.shape[1] != num_ranks:
        raise ValueError(
            f"probabilities: shape {probabilities.shape}; expected (N, {num_ranks}), one column "
            "per rank"
        )
    sums = probabilities.sum(axis=1)
    valid = (probabilities >= 0).all(axis=1) & (np.abs(sums - 1) <= 0.01)
    if not valid.all():
        row = int(np.argmin(valid))
        raise ValueError(
            f"probabilities[{row}]: not a distribution over the ranks (sum {sums[row]:.4g}, "
            f"minimum {probabilities[row].min():.4g}); apply softmax to logits first"
        )
    return probabilities / sums[:, None]
