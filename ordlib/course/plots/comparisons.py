"""Methods side by side, with every seed shown."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ...tasks import OrdinalTask
from ._tables import method_colours, records_of


def methods_figure(table: pd.DataFrame, task: OrdinalTask, ax: Axes | None = None) -> Axes:
    """Draw the mean absolute error of each method: a dot for each seed, a bar for their mean.

    Args:
        table: with columns method, task, seed and mae (in the task's unit), a row for each
            trained model; methods stand in their order in it, the first on top. A method
            without randomness has one row.
        task: which rows to draw, and their unit.
        ax: where to draw; None makes a figure.

    Returns:
        The Axes.

    Raises:
        ValueError: a column is missing, no row is of the task, or a method has a seed twice
            (two blocks of a table are two figures).

    Example:
        >>> from ordlib.tasks import load_task
        >>> table = pd.DataFrame({"method": ["CoOp", "CoOp", "NumCLIP"], "seed": [0, 1, 0]})
        >>> table = table.assign(task="counting", mae=[2.0, 2.2, 1.7])
        >>> ax = methods_figure(table, load_task("counting"))
        >>> [label.get_text() for label in ax.get_yticklabels()]
        ['CoOp', 'NumCLIP']
        >>> plt.close(ax.figure)
    """
    rows = records_of(table, task, ["method", "seed"], "mae")
    methods = list(dict.fromkeys(rows["method"]))
    ax = ax or plt.subplots(figsize=(7, 0.45 * len(methods) + 1.2))[1]
    for place, (method, colour) in enumerate(method_colours(methods).items()):
        errors = rows.loc[rows["method"] == method, "mae"].to_numpy()
        # Seeds stand a little above and below the line, so that none hides another.
        beside = np.linspace(-0.2, 0.2, len(errors)) if len(errors) > 1 else np.zeros(1)
        ax.scatter(errors, place + beside, s=18, alpha=0.6, color=colour, linewidths=0)
        ax.plot([errors.mean()] * 2, [place - 0.32, place + 0.32], color=colour, linewidth=3)
    ax.set_yticks(range(len(methods)), methods)
    ax.set(ylim=(len(methods) - 0.5, -0.5), xlabel=f"mean absolute error ({task.unit})")
    ax.grid(visible=False, axis="y")
    ax.set_title(task.name)
    looks = [("o", 4, "a seed"), ("|", 12, "mean")]
    ax.legend(
        handles=[
            Line2D([], [], color="black", linestyle="none", marker=marker, markersize=size,
                   markeredgewidth=3 if marker == "|" else 0, label=words)
            for marker, size, words in looks
        ],
        loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=9,
    )  # fmt: skip
    return ax
