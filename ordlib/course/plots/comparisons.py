"""Methods, and forms of one method, side by side: what they get wrong and what they cost."""

from typing import Literal

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from ...tasks import OrdinalTask
from .style import PALETTE, method_colours

# Words under the axis, and for a smaller number.
QUANTITIES = {"seconds": ("seconds", "faster"), "peak_mib": ("MiB at the peak", "less memory")}
FORMS = {"pairwise": PALETTE["red"], "shortcut": PALETTE["blue"]}


def method_comparison(table: pd.DataFrame, task: OrdinalTask, ax: Axes | None = None) -> Axes:
    """Draw the mean absolute error of each method: a dot for each seed, a bar for their mean.

    Args:
        table: with columns method, task, seed and mae (in the task's unit), a row for each
            trained model; methods stand in their order in it, the first on top. A method
            without randomness has one row.
        task: which rows to draw, and their unit.
    """
    rows = _of_task(table, task, ["method", "seed"])
    colours = method_colours(rows["method"].unique())
    ax = ax or plt.subplots(figsize=(7, 0.45 * len(colours) + 1.2))[1]
    drawn = {"data": rows, "x": "mae", "y": "method", "hue": "method", "palette": colours, "ax": ax}
    sns.swarmplot(**drawn, size=4.5, alpha=0.6, legend=False, warn_thresh=1)
    sns.pointplot(
        **drawn, errorbar=None, marker="|", markersize=20, markeredgewidth=3, linestyle="none",
        legend=False,
    )  # fmt: skip
    ax.set(xlabel=f"mean absolute error ({task.unit})", ylabel=None)
    ax.set_title(f"{task.name}: a dot a seed, a bar their mean")
    return ax


def few_shot_curve(table: pd.DataFrame, task: OrdinalTask, ax: Axes | None = None) -> Axes:
    """Draw the mean absolute error over the labels for each rank, a line for each method.

    Lines join the means over seeds; the band goes from the best seed to the worst. The legend
    lists methods from the highest line to the lowest, at the most labels.

    Args:
        table: as for :func:`method_comparison`, with one more column: shots, the labels for each
            rank, above 0.
        task: which rows to draw, and their unit.
    """
    rows = _of_task(table, task, ["method", "shots", "seed"])
    if (rows["shots"] <= 0).any():
        least = rows["shots"].min()
        raise ValueError(f"shots = {least}: a logarithmic axis has no place for it; leave it out")
    ax = ax or plt.subplots(figsize=(6.5, 4.2))[1]
    last = rows["shots"] == rows.groupby("method")["shots"].transform("max")
    ends = rows[last].groupby("method")["mae"].mean().sort_values(ascending=False)
    sns.lineplot(
        rows, x="shots", y="mae", hue="method", hue_order=list(ends.index), marker="o",
        palette=method_colours(rows["method"].unique()), errorbar=("pi", 100),
        err_kws={"alpha": 0.12, "linewidth": 0}, ax=ax,
    )  # fmt: skip
    ax.set_xscale("log", base=2)
    shots = sorted(rows["shots"].unique())
    ax.set_xticks(shots, [f"{number:g}" for number in shots])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set(xlabel="labels for each rank", ylabel=f"mean absolute error ({task.unit})")
    ax.set_title(task.name)
    sns.move_legend(ax, "upper left", bbox_to_anchor=(1.01, 1), title=None)
    return ax


def scaling_plot(
    table: pd.DataFrame,
    quantity: Literal["seconds", "peak_mib"] = "seconds",
    ax: Axes | None = None,
) -> Axes:
    """Draw time or memory against the number of pictures, a line for each form and pass.

    Both axes are logarithmic: a power of N is a straight line, and its slope the power. An arrow
    spans both forms in training, at the largest N that both have.

    Args:
        table: with columns form ("pairwise" or "shortcut"), pass ("forward" or
            "forward+backward"), pictures, and the quantity; rows without a number are left out.
        quantity: "seconds", or "peak_mib" for the peak of memory.
    """
    if quantity not in QUANTITIES:
        raise ValueError(f"quantity = {quantity!r}: must be one of {', '.join(QUANTITIES)}")
    keys = ["form", "pass", "num_images"]
    require(table, [*keys, quantity])
    rows = table.dropna(subset=quantity)
    if rows.empty:
        raise ValueError(f"the table has no number of {quantity}")
    _once(rows, keys, "keep the rows of one setting")
    ax = ax or plt.subplots(figsize=(5, 4.2))[1]
    sns.lineplot(
        rows, x="num_images", y=quantity, hue="form", palette=FORMS, style="pass", marker="o",
        style_order=["forward+backward", "forward"], errorbar=None, ax=ax,
    )  # fmt: skip
    pictures = sorted(rows["num_images"].unique())
    ax.set(xscale="log", yscale="log", xlabel="pictures N", ylabel=QUANTITIES[quantity][0])
    ax.set_xticks(pictures, [f"{number:g}" for number in pictures])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    _span(ax, rows[rows["pass"] == "forward+backward"], quantity)
    # Below, where it hides no line.
    look = {"ncols": 2, "fontsize": 9, "handlelength": 4}
    sns.move_legend(ax, "upper center", bbox_to_anchor=(0.5, -0.15), **look)
    return ax


def _span(ax: Axes, training: pd.DataFrame, quantity: str) -> None:
    """Draw how far apart both forms are, at the largest number of pictures that both have."""
    both = training.pivot(index="num_images", columns="form", values=quantity).dropna()
    if both.empty or set(both) != set(FORMS):
        return
    pictures, (most, least) = both.index[-1], both.iloc[-1][list(FORMS)]
    # Beside the points, which it would hide.
    x = 1.13 * pictures
    look = {"arrowstyle": "<->", "color": PALETTE["black"], "shrinkA": 0, "shrinkB": 8}
    ax.annotate("", (x, least), (x, most), arrowprops=look)
    ax.annotate(
        f"{most / least:.0f} times\n{QUANTITIES[quantity][1]}\nat N = {pictures:g}",
        (x, np.sqrt(most * least)), (8, 0), textcoords="offset points", va="center",
    )  # fmt: skip


def require(table: pd.DataFrame, columns: list[str]) -> None:
    """Complain of a table that lacks a column."""
    for name in columns:
        if name not in table:
            raise ValueError(f"the table has no column {name!r}; it has {', '.join(table)}")


def _once(rows: pd.DataFrame, keys: list[str], advice: str) -> None:
    twice = rows[rows.duplicated(keys)]
    if len(twice):
        model = ", ".join(f"{key} {twice.iloc[0][key]}" for key in keys)
        raise ValueError(f"{model} is there twice; {advice}")


def _of_task(table: pd.DataFrame, task: OrdinalTask, keys: list[str]) -> pd.DataFrame:
    """Return the rows of a task, each model, as its keys name it, in them once."""
    require(table, ["task", "mae", *keys])
    rows = table[table["task"] == task.name]
    if rows.empty:
        known = ", ".join(map(str, table["task"].unique())) or "no task"
        raise ValueError(f"the table has no row of task {task.name!r}; it has {known}")
    _once(rows, ["task", *keys], "keep the rows of one block")
    return rows
