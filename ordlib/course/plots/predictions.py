"""Labels, and predictions beside them."""

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
from .style import FEW, PALETTE, matrix, method_colours, name_ranks, rank_names


def label_histogram(data: ImageData, ax: Axes | None = None) -> Axes:
    """Draw how many pictures each rank has."""
    ax = ax or plt.subplots()[1]
    task = data.task
    sns.countplot(x=data.ranks, order=range(task.num_ranks), color=PALETTE["sky"], ax=ax)
    name_ranks(ax.xaxis, task, 12)
    ax.set(xlabel=f"{task.name} ({task.unit})", ylabel="pictures", title=f"{task.name}: labels")
    return ax


def confusion(
    truth: np.ndarray, predicted: np.ndarray, task: OrdinalTask, ax: Axes | None = None
) -> Axes:
    """Draw the confusion matrix over ranks: rows are true, columns predicted, rows sum to 1.

    Of values on the task's number line, ``(N,)`` true and predicted, the nearest ranks count.
    """
    ax = ax or plt.subplots(figsize=(6, 5))[1]
    found = [task.rank_index(values) for values in (truth, predicted)]
    table = confusion_matrix(*found, labels=np.arange(task.num_ranks), normalize="true")
    look = {"vmin": 0, "cmap": "Blues", "annot": task.num_ranks <= FEW}
    matrix(table, rank_names(task), 10, "share of the row", ax, **look)
    ax.set(xlabel="predicted", ylabel="true")
    return ax


def predicted_against_true(
    truth: np.ndarray,
    predicted: np.ndarray,
    task: OrdinalTask,
    colour: str = PALETTE["blue"],
    ax: Axes | None = None,
) -> Axes:
    """Draw every prediction over its true value, with the line of perfect prediction.

    Both are ``(N,)`` values on the task's number line.
    """
    ax = ax or plt.subplots(figsize=(5, 5))[1]
    low, high = task.range
    # A little sideways spread keeps points of the same label apart; fixed, so that the
    # figure is the same every time.
    spread = np.random.default_rng(0).uniform(-0.25, 0.25, len(truth))
    step = np.diff(task.rank_values).min()
    ax.plot([low, high], [low, high], color="black", linewidth=1, linestyle="--", zorder=1)
    ax.scatter(truth + step * spread, predicted, s=12, alpha=0.35, color=colour, linewidths=0)
    margin = 0.05 * (high - low)
    ends = (low - margin, high + margin)
    ax.set(xlim=ends, ylim=ends, aspect="equal")
    ax.set(xlabel=f"true ({task.unit})", ylabel=f"predicted ({task.unit})")
    for axis in (ax.xaxis, ax.yaxis):
        name_ranks(axis, task, 8, task.rank_values)
    return ax


def per_rank_accuracy(
    truth: np.ndarray,
    predicted: Mapping[str, ArrayLike],
    task: OrdinalTask,
    ax: Axes | None = None,
) -> Axes:
    """Draw the share of pictures read right, for each true rank and method.

    Bars, on ranks of two pictures and more, are 95 % intervals of Wilson (1927). They take pictures
    for independent, so they are too short where pictures share a person or a scene. The dashed
    line is what guessing would get.

    Args:
        truth: ``(N,)`` values on the task's number line; the nearest rank counts.
        predicted: ``(N,)`` values on it by name of the method.
        task: says what the ranks are; those that no picture has stay empty.
    """
    if not predicted:
        raise ValueError("per_rank_accuracy needs predictions of at least one method")
    ranks, parts = task.rank_index(truth), []
    for name, values in predicted.items():
        if len(values) != len(ranks):
            raise ValueError(f"{name!r} has {len(values)} predictions for {len(ranks)} labels")
        right = task.rank_index(values) == ranks
        parts.append(pd.DataFrame({"rank": ranks, "right": right, "method": name}))
    ax = ax or plt.subplots(figsize=(8, 4))[1]
    sns.pointplot(
        pd.concat(parts), x="rank", y="right", hue="method", order=range(task.num_ranks),
        palette=method_colours(list(predicted)), errorbar=_wilson, linewidth=1, markersize=4,
        dodge=0.35 if len(predicted) > 1 else False, err_kws={"alpha": 0.4, "linewidth": 1.5},
        ax=ax,
    )  # fmt: skip
    ax.axhline(1 / task.num_ranks, color="black", linestyle="--", linewidth=1, label="chance")
    name_ranks(ax.xaxis, task, 12)
    ax.set(ylim=(-0.03, 1.03), xlabel=f"true ({task.unit})", ylabel="share right")
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    return ax


def _wilson(right: pd.Series) -> tuple[float, float]:
    return tuple(binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson"))
