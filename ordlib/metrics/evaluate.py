"""One way to judge every model: all metrics, each with an interval."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from ..data import ImageData
from . import Interval, bootstrap, compute_metrics, pairwise_accuracy
from .ordinal import correlation, kappa_of_ranks, rank_correlation
from .prediction import Prediction


class Model(Protocol):
    """Whatever predicts labels of pictures."""

    def predict(self, data: ImageData) -> Prediction:
        """Predict the label of every picture."""


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """How good a model's predictions of one set of pictures are.

    Attributes:
        metrics: mae (in the task's unit), accuracy, off_by_one, kappa, spearman, pearson,
            pairwise.
        intervals: the same with 95 % bootstrap intervals over pictures, or over groups of
            pictures where the data has them.
        prediction: what the model said.
        y_true: ``(N,)`` labels on the task's number line.
        name: task and split, for headings.
        unit: the task's unit, which is that of ``mae``.
    """

    metrics: dict[str, float]
    intervals: dict[str, Interval]
    prediction: Prediction
    y_true: np.ndarray
    name: str
    unit: str

    def table(self) -> pd.DataFrame:
        """Return one row a metric: the estimate, and the low and high end of its interval."""
        return pd.DataFrame(
            [tuple(self.intervals[metric]) for metric in self.metrics],
            index=pd.Index(self.metrics, name="metric"),
            columns=["estimate", "low", "high"],
        )

    def __repr__(self) -> str:
        return f"{self._title()}\n{self.table().round(3).to_string()}"

    def _repr_html_(self) -> str:
        return f"<p>{self._title()}</p>\n{self.table().round(3).to_html()}"

    def _title(self) -> str:
        return f"{self.name}: {len(self.y_true)} pictures, mae in {self.unit}"


def evaluate(model: Model, data: ImageData, n_resamples: int = 1000, seed: int = 0) -> Evaluation:
    """Predict, compare with the y_true, and say how sure the numbers are.

    The intervals answer: how would these numbers vary with other pictures (or other groups) of
    the same kind? They do not cover another training run.

    Args:
        model: has ``predict(data) -> Prediction``.
        data: N labelled pictures.
        n_resamples: bootstrap draws for each interval.
        seed: of the bootstrap.

    Returns:
        Metrics, intervals, predictions and y_true. Where all pictures are of one group the ends
        of the intervals are ``nan``: one group tells nothing of others.

    Raises:
        ValueError: a model of another task, or another number of predictions than pictures.

    Example:
        >>> from ordlib import load_data
        >>> from ordlib.synthetic.pixel_baselines import PixelRidge
        >>> data = load_data("counting", "train", image_size=64, num_images=50)
        >>> result = evaluate(PixelRidge(data.task).fit(data), data, n_resamples=100)
        >>> list(result.metrics)
        ['mae', 'accuracy', 'off_by_one', 'kappa', 'spearman', 'pearson', 'pairwise']
        >>> result.table().columns.tolist()
        ['estimate', 'low', 'high']
    """
    own = getattr(model, "task", data.task)
    if own.name != data.task.name:
        raise ValueError(
            f"the model predicts {own.name!r}, the pictures are labelled with {data.task.name!r}: "
            "give pictures of the model's task"
        )
    prediction = model.predict(data)
    if len(prediction) != len(data):
        raise ValueError(
            f"{type(model).__name__} gave {len(prediction)} predictions for {len(data)} pictures"
        )
    scores = compute_metrics(data.task, data.values, prediction)
    return Evaluation(
        metrics=scores,
        intervals=_intervals(scores, data, prediction, n_resamples, seed),
        prediction=prediction,
        y_true=data.values,
        name=f"{data.task.name}, {data.split}",
        unit=data.task.unit,
    )


def _intervals(
    scores: dict[str, float], data: ImageData, prediction: Prediction, n_resamples: int, seed: int
) -> dict[str, Interval]:
    y_true, value = data.values, prediction.value
    ranks, labels = data.ranks, data.task.rank_index(prediction.label)
    rank_errors = np.abs(ranks - labels)
    # What is a mean over pictures is drawn as one: the same numbers ten times faster.
    statistics = {
        "mae": (np.mean, np.abs(y_true - value)),
        "accuracy": (np.mean, rank_errors == 0),
        "off_by_one": (np.mean, rank_errors <= 1),
        "kappa": (kappa_of_ranks, ranks, labels),
        "spearman": (rank_correlation, y_true, value),
        "pearson": (correlation, y_true, value),
        "pairwise": (pairwise_accuracy, ranks, value),
    }
    how = {"groups": data.groups, "n_resamples": n_resamples, "seed": seed}
    return {name: bootstrap(*statistics[name], **how) for name in scores}
