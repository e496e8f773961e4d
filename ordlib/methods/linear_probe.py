"""Linear probe: ridge regression on frozen features."""

import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from torch import Tensor

from ..clip import ClipBackbone
from ..clip.feature_cache import cached_image_features
from ..components.io import CONFIG, WEIGHTS, backbone_config, check_backbone, load_checkpoint
from ..data import ImageData
from ..metrics.ordinal_checks import as_floats
from ..metrics.prediction import Prediction
from ..tasks import OrdinalTask
from ..utils.reading import build, errors_name, get_field
from .predictor import Paths, Predictor, as_backbone, as_task
from .saving import SavedModel

if TYPE_CHECKING:
    from ..inference import FilePredictions

# Regularization strengths of RidgeCV, fixed so that every comparison uses the same baseline.
# Fewer need regularization.
MIN_IMAGES_PER_FEATURE = 2
ALPHAS = tuple(10.0**power for power in np.arange(-3, 8.5, 0.5))
CV_FOLDS = 5
# R2, the default, is undefined for a fold of one image.
SCORING = "neg_mean_squared_error"
TENSORS = ("mean", "scale", "coef", "intercept")


class FeatureRegressor(Predictor, SavedModel, ABC):
    """Base class: a scikit-learn regressor on image features; arguments as in `LinearProbe`."""

    def __init__(self, encode: Callable[[ImageData], np.ndarray], task: OrdinalTask | str) -> None:
        self.encode, self.task = encode, as_task(task)
        self.clip: ClipBackbone | None = None
        self.calibrations = {}
        self._regressor: Pipeline | None = None

    @abstractmethod
    def _make_regressor(self, train: ImageData) -> Pipeline:
        """Return an unfitted regressor for this training split."""

    def fit(self, train: ImageData, calibration: ImageData | None = None) -> Self:
        """Fit the regressor to a training split, and calibrate intervals on another one."""
        if isinstance(train, dict):
            raise TypeError(f"train = dict of {[*train]}: must be one split; pass data['train']")
        for name, data in {"train": train, "calibration": calibration or train}.items():
            if not isinstance(data, ImageData):
                raise TypeError(f"{name} = {data!r:.80}: must be an ImageData")
        if len(train) < 2:
            raise ValueError("train: has 1 image; a regression needs at least 2")
        if train.task.name != self.task.name:
            raise ValueError(f"train.task = {train.task.name!r}: must be {self.task.name!r}")
        features = self._features(train)
        # One thread: for a few thousand rows synchronization on a busy machine costs more.
        with threadpool_limits(1):
            self._regressor = self._make_regressor(train).fit(features, train.values)
        self._check_fitted(self._regressor, len(train))
        self.calibrations.clear()
        self.card = {}  # of another fit
        if calibration is not None:
            self.calibrate_intervals(calibration)
        return self

    def _check_fitted(self, regressor: Pipeline, num_images: int) -> None:
        """Warn of a doubtful fit; a hook for subclasses."""

    def saved_state_dict(self) -> dict[str, Tensor]:
        """Raise TypeError: scikit-learn stores what is not linear as pickles alone."""
        raise TypeError(
            f"{type(self).__name__} cannot be saved: scikit-learn stores such a regressor as a "
            "pickle, which can run code when it is loaded; fit it again, or save a LinearProbe"
        )

    def config(self) -> dict:
        """Return all but the coefficients, JSON-serializable."""
        return {
            "method": type(self).__name__,
            "task": asdict(self.task),
            "backbone": backbone_config(self.clip) if self.clip else None,
            "calibrations": self.calibrations_config(),
        }

    def predict(
        self, images: ImageData | Paths, batch_size: int = 64
    ) -> "Prediction | FilePredictions":
        """Predict values clipped to the task's range, and the nearest ranks as labels.

        Args:
            images: labelled images, or a folder or paths of image files.
            batch_size: images that CLIP encodes at once; features of other kinds have none.
        """
        if self._regressor is None:
            raise RuntimeError(f"{type(self).__name__} is not fitted: call fit(train) first")
        if not isinstance(images, ImageData):
            return self.predict_files(images, batch_size=batch_size)
        values = self._regressor.predict(self._features(images, batch_size))
        return self.task.decode_values(values.clip(*self.task.range))

    def _features(self, data: ImageData, batch_size: int = 64) -> np.ndarray:
        options = {"batch_size": batch_size} if self.clip else {}
        features = as_floats("encode(data)", self.encode(data, **options))
        if features.ndim != 2 or len(features) != len(data) or not features.size:
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
        clip = None if callable(encode) else as_backbone(encode)
        super().__init__(partial(cached_image_features, clip) if clip else encode, task)
        self.clip = clip

    def saved_state_dict(self) -> dict[str, Tensor]:
        """Return mean and scale of the features, coefficients and intercept, in float64."""
        if self._regressor is None:
            raise RuntimeError(f"{type(self).__name__} is not fitted: call fit(train) first")
        scaler, ridge = self._regressor
        arrays = (scaler.mean_, scaler.scale_, ridge.coef_, ridge.intercept_)
        return {name: torch.as_tensor(x) for name, x in zip(TENSORS, arrays, strict=True)}

    @classmethod
    def from_pretrained(
        cls,
        folder: str | os.PathLike,
        encode: ClipBackbone | Callable[[ImageData], np.ndarray] | None = None,
    ) -> Self:
        """Load a probe that `save_pretrained` wrote.

        Args:
            folder: the component.
            encode: the backbone or function that it was fitted with; None for a subclass that has
                features of its own.

        Raises:
            FileNotFoundError: the folder contains no component.
            ValueError: the component belongs to another class or backbone, needs ``encode``, or is
                damaged.
        """
        config, state = load_checkpoint(folder)
        with errors_name(Path(folder) / CONFIG):
            if (method := get_field(config, "method", str)) != cls.__name__:
                raise ValueError(f"holds a {method}, not a {cls.__name__}; use load_component")
            needs_clip = get_field(config, "backbone", dict, type(None)) is not None
            task = build(OrdinalTask, config.get("task"), "task")
        if needs_clip:
            encode = as_backbone(encode)
            check_backbone(folder, config, encode)
        elif cls is LinearProbe and not callable(encode):
            raise ValueError(
                f"{folder}: fitted on a function, which no component holds; pass it: "
                "LinearProbe.from_pretrained(folder, function)"
            )
        model = cls(encode, task) if cls is LinearProbe else cls(task)
        with errors_name(Path(folder) / CONFIG):
            model.load_calibrations(config)
            if unknown := config.keys() - model.config().keys() - {"sha256"}:
                raise ValueError(f"unknown field {min(unknown)!r}, perhaps of a newer ordlib")
        with errors_name(Path(folder) / WEIGHTS):
            model._regressor = _fitted(state, encode.embed_dim if needs_clip else None)
        return model

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


def _fitted(state: dict[str, Tensor], num_features: int | None) -> Pipeline:
    """Rebuild a fitted pipeline of the tensors of `saved_state_dict`."""
    if num_features is None:
        num_features = state["mean"].numel()
    shapes = {name: () if name == "intercept" else (num_features,) for name in TENSORS}
    for name in sorted(shapes.keys() | state.keys()):
        given = tuple(state[name].shape) if name in state else "missing"
        if given != shapes.get(name):
            raise ValueError(f"the tensor {name} is {given}; expected {shapes.get(name, 'none')}")
    if not (state["scale"] > 0).all():
        raise ValueError("the tensor scale must be above 0")
    scaler, ridge = StandardScaler(), Ridge()
    scaler.mean_, scaler.scale_, ridge.coef_, intercept = (state[n].numpy() for n in TENSORS)
    ridge.intercept_ = float(intercept)
    return make_pipeline(scaler, ridge)


def _group_folds(train: ImageData) -> list | None:
    """Return folds of whole groups; None selects RidgeCV's leave-one-out."""
    num_groups = 0 if train.groups is None else len(np.unique(train.groups))
    if num_groups < 2:
        return None
    folds = GroupKFold(min(CV_FOLDS, num_groups))
    return list(folds.split(train.values, train.values, train.groups))
