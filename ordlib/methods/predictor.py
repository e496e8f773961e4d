"""Base class of everything that predicts: prediction intervals, and prediction of image files."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from ..clip import ClipBackbone, load_clip
from ..data import ImageData
from ..metrics.conformal import ConformalCalibration
from ..metrics.prediction import Prediction
from ..tasks import OrdinalTask, load_task
from ..tasks.validation import check_same_ranks
from ..utils.reading import build, get_field

if TYPE_CHECKING:
    from ..inference import FilePredictions

Paths = str | os.PathLike | Sequence[str | os.PathLike]


class Predictor:
    """Mixin: ``predict`` of image files, and calibrated prediction intervals.

    Attributes:
        calibrations: :class:`~ordlib.metrics.conformal.ConformalCalibration` by task name.
    """

    calibrations: dict[str, ConformalCalibration]

    def calibrate_intervals(self, data: ImageData) -> None:
        """Calibrate the prediction intervals on labelled images that training has not seen.

        Also fits the temperature of the probabilities that ``predict`` reports for files.
        """
        if not isinstance(data, ImageData):
            raise TypeError(f"data = {data!r:.80}: must be an ImageData, as load_folder returns")
        tasks = getattr(self, "tasks", None) or {self.task.name: self.task}
        if data.task.name not in tasks:
            raise ValueError(
                f"data.task = {data.task.name!r}: must be a task of the model: {', '.join(tasks)}"
            )
        check_same_ranks(tasks[data.task.name], data.task, f"the {data.split} data")
        calibration = ConformalCalibration.fit(data.task, data.values, self.predict(data))
        self.calibrations[data.task.name] = calibration

    def intervals(
        self,
        prediction: Prediction,
        confidence_level: float = 0.9,
        task: OrdinalTask | str | None = None,
    ) -> np.ndarray:
        """Return ``(N, 2)`` split-conformal prediction intervals in the task's unit.

        They cover the true values of new images like those of the calibration with probability
        ``confidence_level``, and end at the task's range.

        Args:
            prediction: what ``predict`` returned for N images.
            confidence_level: between 0 and 1.
            task: None is the model's only task; also the name of one of its tasks.

        Raises:
            RuntimeError: the model is not calibrated.

        Example:
            >>> from ordlib import load_component, load_data
            >>> model, val = load_component("numclip-counting"), load_data("counting", "val")
            >>> model.intervals(model.predict(val)).shape
            (400, 2)
        """
        if not isinstance(prediction, Prediction):
            raise TypeError(
                f"prediction = {prediction!r}: must be a Prediction; pass model.predict(data)"
            )
        own = getattr(self, "tasks", None) or {self.task.name: self.task}
        if isinstance(task, str) and task in own:
            task = own[task]
        task = self.task if task is None else as_task(task)
        if task.name not in self.calibrations:
            raise RuntimeError(
                f"{type(self).__name__} is not calibrated for {task.name}: fit needs at least 200 "
                "validation images, or calibration=; or call calibrate_intervals"
            )
        half_width = self.calibrations[task.name].half_width(confidence_level)
        ends = prediction.value[:, None] + [-half_width, half_width]
        return ends.clip(*task.range)

    def calibrations_config(self) -> dict:
        """Calibrations by task name, JSON-serializable."""
        return {name: asdict(calibration) for name, calibration in self.calibrations.items()}

    def load_calibrations(self, config: dict) -> None:
        """Load the calibrations of a config; components of older versions have none."""
        calibrations = get_field(config, "calibrations", dict, default={}).items()
        self.calibrations = {
            name: build(ConformalCalibration, fields, f"calibrations.{name}")
            for name, fields in calibrations
        }

    def predict_files(self, paths: Paths, **options: Any) -> "FilePredictions":
        """Predict image files; arguments as for :func:`~ordlib.inference.predict_files`."""
        from ..inference import predict_files

        return predict_files(self, paths, **options)


def as_backbone(clip: ClipBackbone | str | os.PathLike) -> ClipBackbone:
    """Return a backbone, loaded if only its name is given.

    Raises:
        TypeError: neither a backbone nor a name.
    """
    if isinstance(clip, str | os.PathLike):
        return load_clip(clip)
    # Whatever has CLIP's weights will do, such as a backbone that a test wraps.
    if isinstance(clip, OrdinalTask) or not hasattr(clip, "weights_hash"):
        raise TypeError(
            f"clip = {clip!r}: must be a CLIP backbone or the name of one; the order of the "
            "arguments is clip, task"
        )
    return clip


def as_task(task: OrdinalTask | str) -> OrdinalTask:
    """Return a task, loaded if only its name is given.

    Raises:
        TypeError: neither a task nor a name.
    """
    if not isinstance(task, OrdinalTask | str):
        raise TypeError(f"task = {task!r}: must be an OrdinalTask or the name of a built-in one")
    return load_task(task) if isinstance(task, str) else task
