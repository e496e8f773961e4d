"""Linear probe: ridge regression on frozen features."""

import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Self

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from ..clip import ClipBackbone
from ..clip.feature_cache import cached_image_features
from ..data import ImageData
from ..metrics.prediction import Prediction
from ..tasks import OrdinalTask
from .predictor import Paths, Predictor, as_backbone, as_task

if TYPE_CHECKING:
    from ..inference import FilePredictions

# Regularization strengths of RidgeCV, fixed so that every comparison uses the same baseline.
# Fewer need regularization.
MIN_IMAGES_PER_FEATURE = 2
ALPHAS = tuple(10.0**power for power in np.arange(-3, 8.5, 0.5))
CV_FOLDS = 5
# R2, the default, is undefined for a fold of one image.
SCORING = "neg_mean_squared_error"


class FeatureRegressor(Predictor, ABC):
    """Base class: a scikit-learn regressor on image features; arguments as in `LinearProbe`."""

    def __init__(self, encode: Callable[[ImageData], np.ndarray], task: OrdinalTask | str) -> None:
        self.encode, self.task = encode, as_task(task)
        self.calibrations = {}
        self._regressor: Pipeline | None = None

    @abstractmethod
    def _make_regressor(self, train: ImageData) -> Pipeline:
        """Return an unfitted regressor for this training split."""

    def fit(self, train: ImageData, calibration: ImageData | None = None) -> Self:
        """Fit the regressor to a training split, and calibrate intervals on another one."""
        if isinstance(train, dict):
            raise TypeError(f"train = dict of {[*train]}: must be one split; pass data['train']")
        if train.task.name != self.task.name:
            raise ValueError(f"train.task = {train.task.name!r}: must be {self.task.name!r}")
        features = self._features(train)
        # One thread: for a few thousand rows synchronization on a busy machine costs more.
        with threadpool_limits(1):
            self._regressor = self._make_regressor(train).fit(features, train.values)
        self._check_fitted(self._regressor, len(train))
        self.calibrations.clear()
        if calibration is not None:
            self.calibrate_intervals(calibration)
        return self

    def _check_fitted(self, regressor: Pipeline, num_images: int) -> None:
        """Warn of a doubtful fit; a hook for subclasses."""

    def predict(self, images: ImageData | Paths) -> "Prediction | FilePredictions":
        """Predict values clipped to the task's range, and the nearest ranks as labels.

        ``images`` may be a folder or paths of image files.
        """
        if self._regressor is None:
            raise RuntimeError(f"{type(self).__name__} is not fitted: call fit(train) first")
        if not isinstance(images, ImageData):
            return self.predict_files(images)
        values = self._regressor.predict(self._features(images))
        return self.task.decode_values(values.clip(*self.task.range))

    def _features(self, data: ImageData) -> np.ndarray:
        features = np.asarray(self.encode(data), dtype=np.float64)
        if features.ndim != 2 or len(features) != len(data):
            raise ValueError(f"encode(data): has shape {features.shape}, not ({len(data)}, D)")
        invalid = np.flatnonzero(~np.isfinite(features).all(axis=1))
        if len(invalid):
            raise ValueError(f"encode(data)[{invalid[0]}]: is not finite; check that image")
        return features


class LinearProbe(FeatureRegressor):
    """Linear probe (Alain and Bengio, 2016): ridge regression on standardized frozen features.

    The regularization strength is selected by leave-one-out cross-validation on the training
    split, or by 5-fold cross-validation over its groups.

    Args:
        encode: a CLIP backbone, or its name; or a function that maps an ImageData of N images
            to an ``(N, D)`` array.
        task: defines the ranks; or the name of a built-in task.

    Raises:
        ValueError: the features are not finite ``(N, D)``, or data belong to another task.

    References:
        Alain and Bengio (2016), Understanding intermediate layers using linear classifier
        probes, arXiv:1610.01644. Regression on ordinal labels is ours.

    Example:
        >>> from ordlib import load_data
        >>> train = load_data("counting", "train", image_size=64, num_images=50)
        >>> probe = LinearProbe(lambda data: data.images.mean((1, 2)), train.task)
        >>> probe.fit(train).predict(train).value.shape
        (50,)
    """

    def __init__(
        self,
        encode: ClipBackbone | str | os.PathLike | Callable[[ImageData], np.ndarray],
        task: OrdinalTask | str,
    ) -> None:
        if not callable(encode):
            encode = partial(cached_image_features, as_backbone(encode))
        super().__init__(encode, task)

    def _make_regressor(self, train: ImageData) -> Pipeline:
        return make_pipeline(
            StandardScaler(), RidgeCV(ALPHAS, cv=_group_folds(train), scoring=SCORING)
        )

    def _check_fitted(self, regressor: Pipeline, num_images: int) -> None:
        alpha, num_features = regressor[-1].alpha_, len(regressor[-1].coef_)
        # With many more images than features, none may be needed.
        few_images = num_images < MIN_IMAGES_PER_FEATURE * num_features
        if alpha == ALPHAS[-1] or (alpha == ALPHAS[0] and few_images):
            problem = "fits noise" if alpha == ALPHAS[0] else "predicts little but the mean"
            warnings.warn(
                f"LinearProbe: the best regularization strength, {alpha:g}, is the last of "
                f"{ALPHAS[0]:g} to {ALPHAS[-1]:g}: the probe {problem}; more labelled images or "
                "another backbone may help",
                stacklevel=3,
            )


def _group_folds(train: ImageData) -> list | None:
    """Return folds of whole groups; None selects RidgeCV's leave-one-out."""
    num_groups = 0 if train.groups is None else len(np.unique(train.groups))
    if num_groups < 2:
        return None
    folds = GroupKFold(min(CV_FOLDS, num_groups))
    return list(folds.split(train.values, train.values, train.groups))
