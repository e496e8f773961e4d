"""Evaluate a model: all metrics with bootstrap confidence intervals."""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Protocol

import numpy as np
import pandas as pd

from ..data import ImageData
from ..tasks import OrdinalTask
from ..tasks.validation import check_same_ranks
from ..utils.validation import check_count
from .bootstrap import Interval, bootstrap
from .ordinal import (
    check_prediction,
    compute_metrics,
    kappa_unchecked,
    metrics_by,
    pairwise_accuracy,
    pearson_unchecked,
    spearman_unchecked,
)
from .prediction import Prediction
from .skewed import ece_unchecked, mae_by_rank_unchecked, rps_per_image


class Model(Protocol):
    """Anything with ``predict(data) -> Prediction``."""

    def predict(self, data: ImageData) -> Prediction:
        """Predict the labels of the images."""


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """Metrics of a model on one dataset, with confidence intervals.

    Attributes:
        metrics: see `compute_metrics`, without ``rps`` and ``ece`` if there are no
            probabilities; ``mae``, ``macro_mae`` and ``max_mae`` are in ``unit``.
        intervals: 95 % bootstrap intervals over images (over groups, if the data has groups).
        prediction: the predictions of the model.
        y_true: ``(N,)`` true values.
        name: task and split.
        task: the task.
    """

    metrics: dict[str, float]
    intervals: dict[str, Interval]
    prediction: Prediction
    y_true: np.ndarray
    name: str
    task: OrdinalTask

    @property
    def unit(self) -> str:
        """Unit of the task."""
        return self.task.unit

    def table(self) -> pd.DataFrame:
        """Return one row per metric with the columns estimate, low and high."""
        return pd.DataFrame(
            [tuple(self.intervals[metric]) for metric in self.metrics],
            index=pd.Index(self.metrics, name="metric"),
            columns=["estimate", "low", "high"],
        )

    def by(self, metadata: pd.DataFrame, column: str) -> pd.DataFrame:
        """Return the metrics for each value of a metadata column, and their mean.

        Raises:
            ValueError: no such column.
        """
        check_column(metadata, column)
        by = pd.Series(metadata[column]).astype(str)
        return metrics_by(self.task, self.y_true, self.prediction, by)[["images", *self.metrics]]

    def __repr__(self) -> str:
        return f"{self._title()}\n{self.table().round(3).to_string()}"

    def _repr_html_(self) -> str:
        return f"<p>{escape(self._title())}</p>\n{self.table().round(3).to_html()}"

    def _title(self) -> str:
        return f"{self.name}: {len(self.y_true)} images, mae in {self.unit}"


def check_column(metadata: pd.DataFrame, column: str) -> None:
    """Raise ValueError if the metadata has no such column."""
    if metadata is None or column not in [*metadata]:
        metadata = () if metadata is None else metadata
        names = ", ".join(map(str, metadata)) or "none"
        raise ValueError(f"column = {column!r}: not in the metadata; its columns: {names}")


def evaluate(model: Model, data: ImageData, n_resamples: int = 1000, seed: int = 0) -> Evaluation:
    """Evaluate a model with bootstrap confidence intervals.

    The intervals cover other images (or groups) of the same kind, not another training run.

    Args:
        model: anything with ``predict(data) -> Prediction``.
        data: N labelled images.
        n_resamples: bootstrap resamples of each interval.
        seed: random seed of the bootstrap.

    Raises:
        TypeError: ``data`` is a dict of splits or no data, or the model none.
        ValueError: the model is trained on another task or on other ranks, or returns another
            number of predictions.

    Example:
        >>> from ordlib import load_data
        >>> from ordlib.synthetic.pixel_baselines import PixelRidge
        >>> data = load_data("counting", "train", image_size=64, num_images=50)
        >>> result = evaluate(PixelRidge(data.task).fit(data), data, n_resamples=100)
        >>> list(result.metrics)
        ['mae', 'accuracy', 'off_by_one', 'kappa', ..., 'pairwise', 'macro_mae', 'max_mae']
    """
    if isinstance(data, Mapping):
        raise TypeError(f"data = dict of {[*data]}: must be one split; pass data['test']")
    if not isinstance(data, ImageData):
        raise TypeError(f"data = {data!r:.80}: must be an ImageData, as load_folder returns")
    if isinstance(model, type) or not hasattr(model, "predict"):
        raise TypeError(f"model = {model!r:.80}: must be a model, such as load_component returns")
    check_count("n_resamples", n_resamples)
    check_count("seed", seed, 0)
    tasks = getattr(model, "tasks", {})  # of a RankingAdapter
    model_task = getattr(model, "task", tasks.get(data.task.name, data.task))
    if model_task.name != data.task.name:
        raise ValueError(
            f"data.task: the model predicts {model_task.name!r}, the images are labelled with "
            f"{data.task.name!r}; pass images of the model's task"
        )
    check_same_ranks(model_task, data.task, f"the {data.split} data")
    prediction = model.predict(data)
    check_prediction(data.task, prediction)
    if len(prediction) != len(data):
        raise ValueError(
            f"model = {type(model).__name__}: returned {len(prediction)} predictions for "
            f"{len(data)} images"
        )
    metrics = compute_metrics(data.task, data.values, prediction)
    if prediction.probabilities is None:
        del metrics["rps"], metrics["ece"]
    return Evaluation(
        metrics=metrics,
        intervals=_intervals(metrics, data, prediction, n_resamples, seed),
        prediction=prediction,
        y_true=data.values,
        name=f"{data.task.name}, {data.split}",
        task=data.task,
    )


def _intervals(
    metrics: dict[str, float], data: ImageData, prediction: Prediction, n_resamples: int, seed: int
) -> dict[str, Interval]:
    y_true, y_pred = data.values, prediction.value
    ranks, predicted_ranks = data.ranks, data.task.rank_index(prediction.label)
    errors, rank_errors = np.abs(y_true - y_pred), np.abs(ranks - predicted_ranks)
    # Means over images are resampled as means: equal numbers, ten times faster.
    statistics = {
        "mae": (np.mean, errors),
        "accuracy": (np.mean, rank_errors == 0),
        "off_by_one": (np.mean, rank_errors <= 1),
        "kappa": (kappa_unchecked, ranks, predicted_ranks),
        "spearman": (spearman_unchecked, y_true, y_pred),
        "pearson": (pearson_unchecked, y_true, y_pred),
        "pairwise": (pairwise_accuracy, ranks, y_pred),
        "macro_mae": (lambda *x: mae_by_rank_unchecked(*x).mean(), errors, ranks),
        "max_mae": (lambda *x: mae_by_rank_unchecked(*x).max(), errors, ranks),
    }
    if (probabilities := prediction.probabilities) is not None:
        confidence, is_correct = probabilities.max(1), probabilities.argmax(1) == ranks
        statistics["rps"] = (np.mean, rps_per_image(ranks, probabilities))
        statistics["ece"] = (ece_unchecked, confidence, is_correct)
    options = {"groups": data.groups, "n_resamples": n_resamples, "seed": seed}
    return {name: bootstrap(*statistics[name], **options) for name in metrics}
