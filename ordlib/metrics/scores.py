"""All metrics of one prediction at once."""

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from .agreement import accuracy, mae, off_by_one_accuracy, quadratic_kappa
from .inputs import numbers
from .order import pairwise_accuracy, pearson, spearman


class _Task(Protocol):
    """The part of an `OrdinalTask` that `score` needs."""

    num_ranks: int

    def nearest_rank(self, values: ArrayLike) -> np.ndarray: ...


class _Prediction(Protocol):
    """The part of a `Prediction` that `score` needs."""

    value: np.ndarray
    label: np.ndarray


def score(task: _Task, truth: ArrayLike, prediction: _Prediction) -> dict[str, float]:
    """Compute every metric of a prediction.

    ``mae``, ``spearman`` and ``pearson`` compare real values; ``accuracy``, ``off_by_one`` and
    ``kappa`` compare the ranks nearest to the true values and to the predicted labels;
    ``pairwise`` asks whether the predicted values order the pairs of different true rank.

    Args:
        task: an `OrdinalTask`.
        truth: ``(N,)`` true values on the task's number line.
        prediction: a `Prediction` of the same N pictures.

    Returns:
        ``mae`` in the task's unit, ``accuracy``, ``off_by_one``, ``kappa``, ``spearman``,
        ``pearson`` and ``pairwise``, in this order.

    Raises:
        ValueError: lengths differ, nothing is given, or a value is not finite.

    Example:
        >>> from ordlib.tasks import load_task
        >>> task = load_task("dating")
        >>> scores = score(task, [0, 1, 4], task.read_values([0.2, 1.9, 4.0]))
        >>> round(scores["mae"], 3), round(scores["accuracy"], 3), scores["off_by_one"]
        (0.367, 0.667, 1.0)
    """
    truth, value = numbers(truth, prediction.value)
    ranks, labels = task.nearest_rank(truth), task.nearest_rank(prediction.label)
    return {
        "mae": mae(truth, value),
        "accuracy": accuracy(ranks, labels),
        "off_by_one": off_by_one_accuracy(ranks, labels),
        "kappa": quadratic_kappa(ranks, labels, task.num_ranks),
        "spearman": spearman(truth, value),
        "pearson": pearson(truth, value),
        "pairwise": pairwise_accuracy(ranks, value),
    }
