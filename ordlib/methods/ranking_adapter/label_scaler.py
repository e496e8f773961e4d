"""Label standardization and calibration of scores."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from ...tasks import OrdinalTask
from ...utils.reading import build, get_field
from ...utils.validation import is_number


@dataclass(frozen=True, kw_only=True)
class LabelScaler:
    """Standardize labels, and convert scores to labels by linear calibration.

    Attributes:
        mean, std: mean and standard deviation of the training labels.
        slope, intercept: from score to label; at first a score is taken as a standardized label.

    Example:
        >>> scaler = LabelScaler.fit(np.array([2.0, 4.0]))
        >>> scaler.standardize(np.array([4.0])), scaler.scores_to_labels(np.array([0.0]))
        (array([1.]), array([3.]))
    """

    mean: float
    std: float
    slope: float
    intercept: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not is_number(value) or (value < 0 and name in ("std", "slope")):
                raise ValueError(f"{name} = {value!r:.60}: must be a number; std and slope from 0")

    @classmethod
    def fit(cls, labels: np.ndarray) -> Self:
        """Fit mean and std to ``(N,)`` training labels."""
        mean, std = float(labels.mean()), float(labels.std())
        return cls(mean=mean, std=std, slope=std, intercept=mean)

    @classmethod
    def identity(cls) -> Self:
        """Return the scaler of raw labels: scores are in their unit."""
        return cls(mean=0.0, std=1.0, slope=1.0, intercept=0.0)

    @classmethod
    def from_task_range(cls, task: OrdinalTask) -> Self:
        """Return the scaler of labels that are uniform over the range of a task."""
        low, high = task.range
        mean, std = (low + high) / 2, (high - low) / 12**0.5
        return cls(mean=mean, std=std, slope=std, intercept=mean)

    def calibrated(self, scores: np.ndarray, labels: np.ndarray) -> Self:
        """Return a copy with the least-squares line from ``(N,)`` scores to ``(N,)`` labels."""
        # A negative slope would invert the order, so it is set to 0.
        slope = max(float(np.polyfit(scores, labels, 1)[0]), 0.0) if scores.std() > 0 else 0.0
        return replace(self, slope=slope, intercept=float(labels.mean() - slope * scores.mean()))

    def standardize(self, labels: np.ndarray) -> np.ndarray:
        """Return ``(N,)`` standardized labels, ``(label - mean) / std``."""
        return (labels - self.mean) / self.std

    def scores_to_labels(self, scores: np.ndarray) -> np.ndarray:
        """Convert ``(N,)`` scores to labels, not clipped to the range of the task."""
        return self.slope * scores + self.intercept


def read_label_scalers(config: dict, tasks: Collection[str]) -> dict[str, LabelScaler]:
    """Label scalers of a component's config; ValueError if they are not those of its tasks."""
    for name in ("label_scalers", "prompt_templates", "ood_thresholds"):
        given = get_field(config, name, dict).keys()
        # There may be fewer detectors.
        if given - set(tasks) or (len(given) < len(tasks) and name != "ood_thresholds"):
            raise ValueError(f"{name}: has {[*given]!r:.200}; the tasks are {', '.join(tasks)}")
    scalers = config["label_scalers"].items()
    return {name: build(LabelScaler, s, f"label_scalers.{name}") for name, s in scalers}
