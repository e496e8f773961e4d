"""The linear probe: what frozen features know of the label, whatever words can say."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Self

import numpy as np
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from ..data import ImageData
from ..metrics.prediction import Prediction
from ..tasks import OrdinalTask

Encoder = Callable[[ImageData], np.ndarray]

# Penalties tried; fixed here so that nobody tunes the baseline of a comparison by hand.
PENALTIES = tuple(10.0**power for power in np.arange(-1, 5.5, 0.5))
FOLDS = 5


class FeatureRegressor(ABC):
    """A scikit-learn regressor on features of pictures; what the probes have in common.

    Args:
        encode: turns an ImageData of N pictures into an ``(N, D)`` array.
        task: what is predicted.
    """

    def __init__(self, encode: Encoder, task: OrdinalTask) -> None:
        self.encode = encode
        self.task = task
        self._regressor: Pipeline | None = None

    @abstractmethod
    def _make_regressor(self, train: ImageData) -> Pipeline:
        """Return an unfitted regressor for these training pictures."""

    def fit(self, train: ImageData) -> Self:
        """Fit the regressor.

        Args:
            train: pictures with labels of this task.

        Returns:
            The model itself.

        Raises:
            TypeError: several splits in a dict instead of one.
            ValueError: labels of another task, or features that are not finite ``(N, D)``.
        """
        if isinstance(train, dict):
            raise TypeError(
                f"fit takes one split, not a dict of them: give data['train'] (of {[*train]})"
            )
        if train.task.name != self.task.name:
            raise ValueError(
                f"the model predicts {self.task.name!r}, the pictures are labelled with "
                f"{train.task.name!r}"
            )
        features = self._features(train)
        # A few thousand rows are too few to share out: on a busy machine the threads of a
        # second core waited for each other, and a fit of 2 seconds took 20.
        with threadpool_limits(1):
            self._regressor = self._make_regressor(train).fit(features, train.values)
        return self

    def predict(self, data: ImageData) -> Prediction:
        """Predict the label of every picture.

        Args:
            data: N pictures; their labels are not looked at.

        Returns:
            ``value`` clipped to the task's range, ``label`` the nearest rank, no probabilities.

        Raises:
            RuntimeError: not fitted yet.
            ValueError: features that are not finite ``(N, D)``.
        """
        if self._regressor is None:
            raise RuntimeError(f"{type(self).__name__} is not fitted: call fit(train) first")
        values = self._regressor.predict(self._features(data))
        return self.task.decode_values(values.clip(*self.task.range))

    def _features(self, data: ImageData) -> np.ndarray:
        features = np.asarray(self.encode(data), dtype=np.float64)
        if features.ndim != 2 or len(features) != len(data):
            raise ValueError(
                f"encode gave an array of shape {features.shape} for {len(data)} pictures; "
                f"it must be ({len(data)}, D)"
            )
        broken = np.flatnonzero(~np.isfinite(features).all(axis=1))
        if len(broken):
            raise ValueError(f"encode gave features that are not finite for picture {broken[0]}")
        return features


class LinearProbe(FeatureRegressor):
    """Ridge regression on standardised features of frozen pictures.

    The penalty is chosen on the training pictures alone: by leaving one out, or, where the
    pictures form groups, by leaving out a fifth of the groups.

    Args:
        encode: turns an ImageData of N pictures into an ``(N, D)`` array.
        task: what is predicted.

    Source:
        Alain and Bengio (2016), Understanding intermediate layers using linear classifier
        probes, arXiv 1610.01644; here for ordered labels.

    Example:
        >>> from ordlib import load_data
        >>> train = load_data("counting", "train", image_size=64, num_images=50)
        >>> probe = LinearProbe(lambda data: data.images.mean((1, 2)), train.task)
        >>> prediction = probe.fit(train).predict(train)
        >>> prediction.value.shape, prediction.probabilities is None
        ((50,), True)
    """

    def _make_regressor(self, train: ImageData) -> Pipeline:
        return make_pipeline(StandardScaler(), RidgeCV(PENALTIES, cv=_folds(train)))


def _folds(train: ImageData) -> list | None:
    """Leave whole groups out where there are groups; None lets RidgeCV leave one out."""
    count = 0 if train.groups is None else len(np.unique(train.groups))
    if count < 2:
        return None
    folds = GroupKFold(min(FOLDS, count))
    return list(folds.split(train.values, train.values, train.groups))
