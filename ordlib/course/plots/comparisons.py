"""Compare methods and implementations: per-seed scores, few-shot curves, scaling curves."""

from collections.abc import Mapping
from typing import Literal

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from ...metrics import Interval
from ...tasks import OrdinalTask
from .style import PALETTE, method_colors, plain

# Axis label, and what a smaller value means.
QUANTITIES = {"seconds": ("seconds", "faster"), "peak_mib": ("peak memory (MiB)", "less memory")}
FORM_COLORS = {"pairwise": PALETTE["red"], "shortcut": PALETTE["blue"]}


def method_comparison(table: pd.DataFrame, task: OrdinalTask, ax: Axes | None = None) -> Axes:
    """Mean absolute error of each method: a dot per seed, a bar for the mean.

    The table has one row per trained model with columns method, task, seed and mae (in the task's
    unit); the task selects the rows. Methods keep their order in the table, the first on top; a
    deterministic method has one row.
    """
    rows = _select_task(table, task, ["method", "seed"])
    colors = method_colors(rows["method"].unique())
    ax = ax or plt.subplots(figsize=(7, 0.45 * len(colors) + 1.2))[1]
    kwargs = {"data": rows, "x": "mae", "y": "method", "hue": "method", "palette": colors, "ax": ax}
    sns.swarmplot(**kwargs, size=4.5, alpha=0.6, legend=False, warn_thresh=1)
    sns.pointplot(
        **kwargs, errorbar=None, marker="|", markersize=20, markeredgewidth=3, linestyle="none",
        legend=False,
    )  # fmt: skip
    ax.set(xlabel=f"mean absolute error ({plain(task.unit)})", ylabel=None)
    ax.set_title(f"{plain(task.name)}: seeds and their mean")
    return ax


def few_shot_curve(intervals: pd.DataFrame, task: OrdinalTask, ax: Axes | None = None) -> Axes:
    """Few-shot learning curves: mean absolute error against the number of labels per rank.

    Each line bears its method's name at its left end. Bands are the intervals.

    Args:
        intervals: one row per method and number of labels, with columns method, task, shots > 0
            and, in the task's unit, mae, mae_low and mae_high; the task selects the rows.
        task: the task of the rows to show.
        ax: axes to draw on.
    """
    check_columns(intervals, ["mae_low", "mae_high"])
    rows = _select_task(intervals, task, ["method", "shots"]).sort_values("shots")
    if (rows["shots"] <= 0).any():
        raise ValueError(
            f"shots = {rows['shots'].min()}: must be > 0 for a logarithmic axis; drop these rows"
        )
    ax = ax or plt.subplots(figsize=(6.5, 4.2))[1]
    colors = method_colors(rows["method"].unique())
    for method, line in rows.groupby("method", sort=False):
        ax.plot(line["shots"], line["mae"], "o-", color=colors[method], label=method)
        ax.fill_between(
            line["shots"], line["mae_low"], line["mae_high"], color=colors[method],
            alpha=0.12, linewidth=0,
        )  # fmt: skip
    shots = sorted(rows["shots"].unique())
    ax.set_xscale("log", base=2)
    ax.set_xticks(shots, [f"{number:g}" for number in shots])
    ax.set_xlim(left=shots[0] / 2.6)
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set(xlabel="labels per rank", ylabel=f"mean absolute error ({plain(task.unit)})")
    ax.set_title(plain(task.name))
    first = rows[rows["shots"] == shots[0]].sort_values("mae")
    gap, lowest = 0.055 * np.ptp(ax.get_ylim()), -np.inf
    for method, mae in zip(first["method"], first["mae"], strict=True):
        lowest = max(mae, lowest + gap)
        ax.annotate(
            method, (shots[0], lowest), (-8, 0), textcoords="offset points", ha="right",
            va="center", color=colors[method], fontsize=10,
        )  # fmt: skip
    return ax


def interval_plot(intervals: Mapping[str, Interval], xlabel: str, ax: Axes | None = None) -> Axes:
    """One dot and its interval per label, the first on top, with a line at zero.

    ``intervals`` are :class:`~ordlib.metrics.Interval` by label; ends may be NaN.
    """
    if not intervals:
        raise ValueError("intervals: is empty; pass at least one")
    ax = ax or plt.subplots(figsize=(6, 0.4 * len(intervals) + 1))[1]
    estimate, low, high = np.array([*intervals.values()], dtype=float).T
    position = np.arange(len(intervals))
    errors = np.nan_to_num([estimate - low, high - estimate])
    ax.errorbar(estimate, position, xerr=errors, fmt="o", color=PALETTE["blue"], capsize=3)
    ax.axvline(0, color=PALETTE["black"], linewidth=1)
    ax.set(yticks=position, yticklabels=list(intervals), xlabel=xlabel)
    ax.set_ylim(len(intervals) - 0.5, -0.5)
    return ax


def scaling_plot(
    table: pd.DataFrame,
    quantity: Literal["seconds", "peak_mib"] = "seconds",
    ax: Axes | None = None,
) -> Axes:
    """Scaling curves: time or peak memory against the number of images, on logarithmic axes.

    An arrow marks the ratio of both forms in training, at the largest common number of images.
    The table has columns form ("pairwise" or "shortcut"), pass ("forward" or "forward+backward"),
    num_images, and the quantity, time in seconds or peak memory in MiB; rows with NaN are dropped.
    """
    if quantity not in QUANTITIES:
        raise ValueError(f"quantity = {quantity!r}: must be one of {', '.join(QUANTITIES)}")
    keys = ["form", "pass", "num_images"]
    check_columns(table, [*keys, quantity])
    rows = table.dropna(subset=quantity)
    if rows.empty:
        raise ValueError(f"{quantity}: the table has no value; choose another quantity")
    _check_unique(rows, keys, "keep the rows of one setting")
    ax = ax or plt.subplots(figsize=(5, 4.2))[1]
    sns.lineplot(
        rows, x="num_images", y=quantity, hue="form", palette=FORM_COLORS, style="pass",
        marker="o", style_order=["forward+backward", "forward"], errorbar=None, ax=ax,
    )  # fmt: skip
    num_images = sorted(rows["num_images"].unique())
    ax.set(xscale="log", yscale="log", xlabel="images N", ylabel=QUANTITIES[quantity][0])
    ax.set_xticks(num_images, [f"{number:g}" for number in num_images])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    _annotate_ratio(ax, rows[rows["pass"] == "forward+backward"], quantity)
    # Below the axes, where it covers no line.
    kwargs = {"ncols": 2, "fontsize": 9, "handlelength": 4}
    sns.move_legend(ax, "upper center", bbox_to_anchor=(0.5, -0.15), **kwargs)
    return ax


def _annotate_ratio(ax: Axes, rows: pd.DataFrame, quantity: str) -> None:
    """Mark the ratio of both forms at the largest number of images that both have."""
    both = rows.pivot(index="num_images", columns="form", values=quantity).dropna()
    if both.empty or set(both) != set(FORM_COLORS):
        return
    num_images, (high, low) = both.index[-1], both.iloc[-1][list(FORM_COLORS)]
    # To the right of the points, so as not to cover them.
    x = 1.13 * num_images
    arrow = {"arrowstyle": "<->", "color": PALETTE["black"], "shrinkA": 0, "shrinkB": 8}
    ax.annotate("", (x, low), (x, high), arrowprops=arrow)
    ax.annotate(
        f"{high / low:.0f} times\n{QUANTITIES[quantity][1]}\nat N = {num_images:g}",
        (x, np.sqrt(high * low)), (8, 0), textcoords="offset points", va="center",
    )  # fmt: skip


def check_columns(table: pd.DataFrame, columns: list[str]) -> None:
    """Raise a ValueError if the table lacks one of the columns."""
    for name in columns:
        if name not in table:
            raise ValueError(f"the table has no column {name!r}; it has {', '.join(table)}")


def _check_unique(rows: pd.DataFrame, keys: list[str], remedy: str) -> None:
    duplicates = rows[rows.duplicated(keys)]
    if len(duplicates):
        model = ", ".join(f"{key} {duplicates.iloc[0][key]}" for key in keys)
        raise ValueError(f"{model}: has more than one row; {remedy}")


def _select_task(table: pd.DataFrame, task: OrdinalTask, keys: list[str]) -> pd.DataFrame:
    """Return the rows of a task; raise a ValueError if the keys do not identify each of them."""
    check_columns(table, ["task", "mae", *keys])
    rows = table[table["task"] == task.name]
    if rows.empty:
        available = ", ".join(map(str, table["task"].unique())) or "no task"
        raise ValueError(f"the table has no row of task {task.name!r}; it has {available}")
    _check_unique(rows, ["task", *keys], "keep the rows of one image encoder")
    return rows
