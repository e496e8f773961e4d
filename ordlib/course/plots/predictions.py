"""Label histogram, confusion matrix, predicted against true values, per-rank accuracy."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from numpy.typing import ArrayLike
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix

from ...data import ImageData
from ...tasks import OrdinalTask
from .style import (
    MAX_ANNOTATED,
    PALETTE,
    heatmap,
    method_colors,
    plain,
    rank_labels,
    set_rank_ticks,
)


def label_histogram(data: ImageData, ax: Axes | None = None) -> Axes:
    """Label histogram: number of images of each rank."""
    ax = ax or plt.subplots()[1]
    task = data.task
    sns.countplot(x=data.ranks, order=range(task.num_ranks), color=PALETTE["sky"], ax=ax)
    set_rank_ticks(ax.xaxis, task, 12)
    name = plain(task.name)
    ax.set(xlabel=f"{name} ({plain(task.unit)})", ylabel="images", title=f"{name}: labels")
    return ax


def confusion(
    y_true: np.ndarray, y_pred: np.ndarray, task: OrdinalTask, ax: Axes | None = None
) -> Axes:
    """Row-normalized confusion matrix over ranks.

    ``(N,)`` true and predicted values on the task's number line; assigned to the nearest rank.
    """
    ax = ax or plt.subplots(figsize=(6, 5))[1]
    ranks = [task.rank_index(values) for values in (y_true, y_pred)]
    table = confusion_matrix(*ranks, labels=np.arange(task.num_ranks), normalize="true")
    kwargs = {"vmin": 0, "cmap": "Blues", "annot": task.num_ranks <= MAX_ANNOTATED}
    heatmap(table, rank_labels(task), 10, "fraction of the row", ax, **kwargs)
    ax.set(xlabel="predicted", ylabel="true")
    return ax


def predicted_against_true(
    y_true: np.ndarray, y_pred: np.ndarray, task: OrdinalTask, color: str = PALETTE["blue"],
    ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Scatter plot of predicted against true values, with the identity line.

    Both are ``(N,)`` values on the task's number line.
    """
    ax = ax or plt.subplots(figsize=(5, 5))[1]
    low, high = task.range
    # Horizontal jitter separates points with equal labels; a fixed seed keeps figures identical.
    jitter = np.random.default_rng(0).uniform(-0.25, 0.25, len(y_true))
    step = np.diff(task.rank_values).min()
    ax.plot([low, high], [low, high], color="black", linewidth=1, linestyle="--", zorder=1)
    ax.scatter(y_true + step * jitter, y_pred, s=12, alpha=0.35, color=color, linewidths=0)
    margin = 0.05 * (high - low)
    limits = (low - margin, high + margin)
    ax.set(xlim=limits, ylim=limits, aspect="equal")
    unit = plain(task.unit)
    ax.set(xlabel=f"true ({unit})", ylabel=f"predicted ({unit})")
    for axis in (ax.xaxis, ax.yaxis):
        set_rank_ticks(axis, task, 8, task.rank_values)
    return ax


def per_rank_accuracy(
    y_true: np.ndarray, y_pred: Mapping[str, ArrayLike], task: OrdinalTask, ax: Axes | None = None
) -> Axes:
    """Accuracy of each method on each true rank, with 95 % Wilson intervals.

    Ranks with fewer than two images have no interval. The intervals assume independent images;
    they are too narrow where images share a person or a scene. The dashed line is chance level.

    ``(N,)`` true values, and ``(N,)`` predicted ones for each method name, are assigned to the
    nearest rank; ranks without images stay empty.

    References:
        Wilson (1927), Probable inference, the law of succession, and statistical inference.
    """
    if not y_pred:
        raise ValueError("y_pred = {}: is empty; pass the predictions of at least one method")
    ranks, frames = task.rank_index(y_true), []
    for name, values in y_pred.items():
        if len(values) != len(ranks):
            raise ValueError(f"y_pred[{name!r}] has {len(values)} values for {len(ranks)} labels")
        correct = task.rank_index(values) == ranks
        frames.append(pd.DataFrame({"rank": ranks, "correct": correct, "method": name}))
    ax = ax or plt.subplots(figsize=(8, 4))[1]
    sns.pointplot(
        pd.concat(frames), x="rank", y="correct", hue="method", order=range(task.num_ranks),
        palette=method_colors(list(y_pred)), errorbar=_wilson_interval, linewidth=1,
        markersize=4, dodge=0.35 if len(y_pred) > 1 else False,
        err_kws={"alpha": 0.4, "linewidth": 1.5}, ax=ax,
    )  # fmt: skip
    ax.axhline(1 / task.num_ranks, color="black", linestyle="--", linewidth=1, label="chance")
    set_rank_ticks(ax.xaxis, task, 12)
    ax.set(ylim=(-0.03, 1.03), xlabel=f"true ({plain(task.unit)})", ylabel="accuracy")
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    return ax


def _wilson_interval(correct: pd.Series) -> tuple[float, float]:
    return tuple(binomtest(int(correct.sum()), len(correct)).proportion_ci(method="wilson"))
