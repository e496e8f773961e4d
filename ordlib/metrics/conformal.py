"""Split-conformal prediction intervals, and temperature scaling."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar

from ..tasks import OrdinalTask
from ..utils.validation import is_number
from .bootstrap import check_confidence_level
from .prediction import Prediction

# A temperature of fewer images is mostly noise.
MIN_TEMPERATURE_IMAGES = 30
MIN_PROBABILITY = 1e-300


@dataclass(frozen=True)
class ConformalCalibration:
    """Split-conformal calibration by absolute residuals, and a temperature for probabilities.

    An interval ``value ± half_width`` covers the true value of a new image with the given
    probability on average, if the image is drawn like the calibration images.

    Attributes:
        residuals: sorted absolute errors on n calibration images, in the task's unit.
        temperature: divides the logarithms of probabilities; None for methods without them, and
            for fewer than 30 images.

    References:
        Vovk, Gammerman and Shafer (2005), Algorithmic Learning in a Random World; Lei et al.
        (2018), arXiv:1604.04173, for the split form. Guo et al. (2017), arXiv:1706.04599, for
        temperature scaling.

    Example:
        >>> calibration = ConformalCalibration(tuple(range(1, 20)))
        >>> calibration.half_width(0.9), calibration.half_width(0.99)
        (18.0, inf)
    """

    residuals: Sequence[float]
    temperature: float | None = None

    def __post_init__(self) -> None:
        given = np.asarray(self.residuals)
        in_order = given.dtype.kind in "iuf" and given.ndim == 1 and (np.diff(given) >= 0).all()
        if not in_order or not (given >= 0).all() or not np.isfinite(given).all():
            raise ValueError("residuals: must be numbers from 0, in increasing order")
        temperature = self.temperature
        if temperature is not None and not (is_number(temperature) and temperature > 0):
            raise ValueError(f"temperature = {temperature!r:.60}: must be above 0, or None")
        object.__setattr__(self, "residuals", tuple(self.residuals))

    @classmethod
    def fit(cls, task: OrdinalTask, y_true: ArrayLike, prediction: Prediction) -> Self:
        """Calibrate on ``(n,)`` true values and their predictions, unseen in training."""
        residuals = np.sort(np.abs(np.asarray(y_true, np.float64) - prediction.value))
        temperature = None
        if prediction.probabilities is not None and len(prediction) >= MIN_TEMPERATURE_IMAGES:
            temperature = _fit_temperature(task.rank_index(y_true), prediction.probabilities)
        return cls([float(f"{r:.6g}") for r in residuals], temperature)

    def half_width(self, confidence_level: float) -> float:
        """The ceil((n + 1) confidence_level)-th smallest residual; infinite if n is too small."""
        check_confidence_level(confidence_level)
        # Rounded: (19 + 1) * 0.95 is above 19 in floating point.
        index = math.ceil(round((len(self.residuals) + 1) * confidence_level, 9))
        return float(self.residuals[index - 1]) if index <= len(self.residuals) else math.inf

    def scale(self, probabilities: np.ndarray) -> np.ndarray:
        """Return ``(N, M)`` probabilities at the fitted temperature; as given without one."""
        return (
            probabilities if self.temperature is None else _scale(probabilities, self.temperature)
        )


def _scale(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    log = np.log(np.maximum(probabilities, MIN_PROBABILITY)) / temperature
    scaled = np.exp(log - log.max(axis=1, keepdims=True))
    return scaled / scaled.sum(axis=1, keepdims=True)


def _fit_temperature(ranks: np.ndarray, probabilities: np.ndarray) -> float:
    """Temperature with the least mean negative log-likelihood of the true ranks."""
    rows = np.arange(len(ranks))

    def loss(log_temperature: float) -> float:
        scaled = _scale(probabilities, math.exp(log_temperature))
        return -np.log(np.maximum(scaled[rows, ranks], MIN_PROBABILITY)).mean()

    return float(f"{math.exp(minimize_scalar(loss, bounds=(-4, 4), method='bounded').x):.6g}")
