"""What scores mean on a task's number line."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from ...tasks import OrdinalTask


@dataclass(frozen=True, kw_only=True)
class LabelScaler:
    """Between labels and standardised targets, and between scores and labels.

    Attributes:
        mean, std: of the training labels; targets are in units of the deviation.
        slope, intercept: of the line from scores to labels.

    Example:
        >>> scale = LabelScaler.fit(np.array([2.0, 4.0]))
        >>> scale.transform(np.array([4.0])), scale.inverse_transform(np.array([0.0]))
        (array([1.]), array([3.]))
    """

    mean: float
    std: float
    slope: float
    intercept: float

    @classmethod
    def fit(cls, labels: np.ndarray) -> Self:
        """Standardise ``(N,)`` training labels; scores are taken for targets."""
        mean, std = float(labels.mean()), float(labels.std())
        return cls(mean=mean, std=std, slope=std, intercept=mean)

    @classmethod
    def from_task_range(cls, task: OrdinalTask) -> Self:
        """Guess from a task's range, as if labels were even over it."""
        low, high = task.range
        mean, std = (low + high) / 2, (high - low) / 12**0.5
        return cls(mean=mean, std=std, slope=std, intercept=mean)

    def calibrated(self, scores: np.ndarray, labels: np.ndarray) -> Self:
        """Return the same with the line that fits ``(N,)`` labels best without falling.

        A line that falls would turn the order around: where that fits best, all get the mean.
        """
        varies = scores.std() > 0
        slope = max(float(np.polyfit(scores, labels, 1)[0]), 0.0) if varies else 0.0
        return replace(self, slope=slope, intercept=float(labels.mean() - slope * scores.mean()))

    def transform(self, labels: np.ndarray) -> np.ndarray:
        """Return ``(N,)`` standardised labels."""
        return (labels - self.mean) / self.std

    def inverse_transform(self, scores: np.ndarray) -> np.ndarray:
        """Return ``(N,)`` places on the number line, within its range or not."""
        return self.slope * scores + self.intercept
