"""What every method returns for a set of pictures."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predictions of N pictures on a task's number line.

    Attributes:
        value: ``(N,)`` float64, the y_pred values, in the task's unit and possibly between
            ranks.
        label: ``(N,)`` float64, each value settled on a rank: the level of that rank.
            ``task.rank_index(label)`` gives its index, ``task.rank_label(index)`` its name.
        probabilities: ``(N, M)`` float64 over the ranks, rows summing to 1, or None for
            methods that have none.

    Raises:
        ValueError: shapes do not fit, or a number is not finite.

    Example:
        >>> prediction = Prediction(value=[1.2, 3.9], label=[1, 4])
        >>> len(prediction), prediction.label
        (2, array([1., 4.]))
    """

    value: np.ndarray
    label: np.ndarray
    probabilities: np.ndarray | None = None

    def __post_init__(self) -> None:
        for field, dimensions in (("value", 1), ("label", 1), ("probabilities", 2)):
            given = getattr(self, field)
            if given is None and field == "probabilities":
                continue
            array = np.asarray(given, dtype=np.float64)
            if array.ndim != dimensions or len(array) != np.size(self.value):
                raise ValueError(
                    f"{field} of a Prediction has shape {array.shape}; it needs one row for each "
                    f"of the {np.size(self.value)} values, in {dimensions} dimension(s)"
                )
            if not np.isfinite(array).all():
                row = int(np.argwhere(~np.isfinite(array))[0, 0])
                raise ValueError(f"{field}[{row}] of a Prediction is not finite: {array[row]}")
            object.__setattr__(self, field, array)

    def __len__(self) -> int:
        return len(self.value)


def validate_probabilities(probabilities: ArrayLike, ranks: int) -> np.ndarray:
    """Check ``(N, M)`` probabilities over ranks and make their rows sum to 1 exactly.

    Args:
        probabilities: as a model gave them; rows may miss 1 by 0.01, as in half precision.
        ranks: M.

    Returns:
        ``(N, M)`` float64.

    Raises:
        ValueError: another shape, a negative or undefined number, or a sum far from 1.
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if probabilities.ndim != 2 or probabilities.shape[1] != ranks:
        raise ValueError(
            f"probabilities must be (N, {ranks}), a column for each rank, not {probabilities.shape}"
        )
    sums = probabilities.sum(axis=1)
    good = (probabilities >= 0).all(axis=1) & (np.abs(sums - 1) <= 0.01)
    if not good.all():
        row = int(np.argmin(good))
        raise ValueError(
            f"probabilities[{row}] is no distribution over the ranks: its sum is {sums[row]:.4g}, "
            f"its lowest entry {probabilities[row].min():.4g}; apply softmax to logits first"
        )
    return probabilities / sums[:, None]
