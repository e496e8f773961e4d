"""Predictions beside the truth."""

from collections.abc import Mapping
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from numpy.typing import ArrayLike
from scipy.stats import binomtest

from ...tasks import OrdinalTask
from .ranks import name_ranks, rank_names
from .style import METHOD_COLOURS, PALETTE


def confusion(
    truth: np.ndarray, predicted: np.ndarray, task: OrdinalTask, ax: Axes | None = None
) -> Axes:
    """Draw the confusion matrix over ranks: rows are true, columns predicted, rows sum to 1.

    Args:
        truth, predicted: ``(N,)`` values on the task's number line; the nearest rank counts.
        task: says what the ranks are.
        ax: where to draw; None makes a figure.

    Returns:
        The Axes.
    """
    from sklearn.metrics import confusion_matrix

    ax = ax or plt.subplots(figsize=(6, 5))[1]
    table = confusion_matrix(
        task.nearest_rank(truth),
        task.nearest_rank(predicted),
        labels=np.arange(task.num_ranks),
        normalize="true",
    )
    few = task.num_ranks <= 6
    sns.heatmap(
        table, vmin=0, cmap="Blues", square=True, annot=few, fmt=".2f", ax=ax,
        cbar_kws={"label": "share of the row"},
    )  # fmt: skip
    for axis in (ax.xaxis, ax.yaxis):
        name_ranks(axis, rank_names(task), 10, np.arange(task.num_ranks) + 0.5)
    ax.tick_params(axis="y", rotation=0)
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

    Args:
        truth, predicted: ``(N,)`` values on the task's number line.
        task: gives range, name and unit.
        colour: of the points.
        ax: where to draw; None makes a figure.

    Returns:
        The Axes.
    """
    ax = ax or plt.subplots(figsize=(5, 5))[1]
    low, high = task.range
    # A little sideways spread keeps points of the same label apart; fixed, so that the
    # figure is the same every time.
    spread = np.random.default_rng(0).uniform(-0.25, 0.25, len(truth))
    step = np.diff(task.levels).min()
    ax.plot([low, high], [low, high], color="black", linewidth=1, linestyle="--", zorder=1)
    ax.scatter(truth + step * spread, predicted, s=12, alpha=0.35, color=colour, linewidths=0)
    margin = 0.05 * (high - low)
    ax.set(
        xlim=(low - margin, high + margin),
        ylim=(low - margin, high + margin),
        xlabel=f"true ({task.unit})",
        ylabel=f"predicted ({task.unit})",
        aspect="equal",
    )
    for axis in (ax.xaxis, ax.yaxis):
        name_ranks(axis, rank_names(task), 8, task.levels)
    return ax


def per_rank_accuracy(
    truth: np.ndarray,
    predicted: Mapping[str, ArrayLike],
    task: OrdinalTask,
    ax: Axes | None = None,
) -> Axes:
    """Draw the share of pictures read right, for each true rank and method.

    Bars are 95 % Wilson intervals. They take pictures for independent, so they are too short
    where pictures share a person or a scene. The dashed line is what guessing would get.

    Args:
        truth: ``(N,)`` values on the task's number line; the nearest rank counts.
        predicted: ``(N,)`` values on it by name of the method; one that is in METHOD_COLOURS
            has its colour.
        task: says what the ranks are.
        ax: where to draw; None makes a figure.

    Returns:
        The Axes; ranks that no picture has stay empty.

    Raises:
        ValueError: no method, or another number of predictions than labels.

    Source:
        Wilson (1927), Probable inference, the law of succession, and statistical inference,
        Journal of the American Statistical Association 22(158).

    Example:
        >>> from ordlib.tasks import load_task
        >>> truth = np.array([0, 0, 1, 1])
        >>> ax = per_rank_accuracy(truth, {"zero-shot": [0, 4, 1, 1]}, load_task("dating"))
        >>> ax.lines[0].get_ydata()
        array([0.5, 1. , nan, nan, nan])
        >>> plt.close(ax.figure)
    """
    if not predicted:
        raise ValueError("per_rank_accuracy needs predictions of at least one method")
    ranks = task.nearest_rank(truth)
    ax = ax or plt.subplots(figsize=(8, 4))[1]
    spare = cycle(c for c in PALETTE.values() if c not in METHOD_COLOURS.values())
    # Methods stand beside each other within the room of a rank.
    shifts = np.linspace(-0.5, 0.5, 2 * len(predicted) + 1)[1::2] * 0.7
    for shift, (name, values) in zip(shifts, predicted.items(), strict=True):
        if len(values) != len(ranks):
            raise ValueError(f"{name!r} has {len(values)} predictions for {len(ranks)} labels")
        share, low, high = _shares(ranks, task.nearest_rank(values) == ranks, task.num_ranks).T
        drawn = ax.errorbar(
            np.arange(task.num_ranks) + shift, share, [share - low, high - share],
            fmt="-o", markersize=4, linewidth=1, elinewidth=1.5, label=name,
            color=METHOD_COLOURS.get(name) or next(spare),
        )  # fmt: skip
        for bars in drawn[2]:
            bars.set_alpha(0.4)
    ax.axhline(1 / task.num_ranks, color="black", linestyle="--", linewidth=1, label="chance")
    name_ranks(ax.xaxis, rank_names(task), 12)
    ax.grid(visible=False, axis="x")
    ax.set(ylim=(-0.03, 1.03), xlabel=f"true ({task.unit})", ylabel="share right")
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    return ax


def _shares(ranks: np.ndarray, right: np.ndarray, count: int) -> np.ndarray:
    """Return share, low and high for each rank, ``(M, 3)``, nan where there are no pictures."""
    table = np.full((count, 3), np.nan)
    for rank in np.unique(ranks):
        hits = right[ranks == rank]
        interval = binomtest(int(hits.sum()), len(hits)).proportion_ci(method="wilson")
        table[rank] = hits.mean(), interval.low, interval.high
    return table
