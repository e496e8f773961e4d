"""How many labels a method needs."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from ...tasks import OrdinalTask
from ._tables import method_colours, records_of


def few_shot_curve(table: pd.DataFrame, task: OrdinalTask, ax: Axes | None = None) -> Axes:
    """Draw the mean absolute error over the labels for each rank, a line for each method.

    Lines join the means over seeds; the band goes from the best seed to the worst. The legend
    lists methods from the highest line to the lowest, at the most labels.

    Args:
        table: with columns method, task, shots (labels for each rank, above 0), seed and mae
            (in the task's unit), a row for each trained model.
        task: which rows to draw, and their unit.
        ax: where to draw; None makes a figure.

    Returns:
        The Axes; the axis of labels is logarithmic.

    Raises:
        ValueError: a column is missing, no row is of the task, a model occurs twice, or a
            number of shots is not above 0.

    Example:
        >>> from ordlib.tasks import load_task
        >>> table = pd.DataFrame({"method": "CoOp", "shots": [1, 1, 4], "seed": [0, 1, 0]})
        >>> table = table.assign(task="counting", mae=[4.0, 3.0, 2.0])
        >>> few_shot_curve(table, load_task("counting")).lines[0].get_ydata()
        array([3.5, 2. ])
        >>> plt.close()
    """
    rows = records_of(table, task, ["method", "shots", "seed"], "mae")
    if (rows["shots"] <= 0).any():
        least = rows["shots"].min()
        raise ValueError(f"shots = {least}: a logarithmic axis has no place for it; leave it out")
    ax = ax or plt.subplots(figsize=(6.5, 4.2))[1]
    shots = sorted(rows["shots"].unique())
    last = rows.groupby("method")["shots"].max()
    ends = rows[rows["shots"] == rows["method"].map(last)].groupby("method")["mae"].mean()
    colours = method_colours(list(dict.fromkeys(rows["method"])))
    for method in ends.sort_values(ascending=False).index:
        by_shots = rows[rows["method"] == method].groupby("shots")["mae"]
        spread = by_shots.agg(["min", "mean", "max"])
        colour = colours[method]
        ax.plot(spread.index, spread["mean"], "-o", color=colour, markersize=5, label=method)
        ax.fill_between(
            spread.index, spread["min"], spread["max"], color=colour, alpha=0.12, linewidth=0
        )
    ax.set_xscale("log", base=2)
    ax.set_xticks(shots, [f"{number:g}" for number in shots])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set(xlabel="labels for each rank", ylabel=f"mean absolute error ({task.unit})")
    ax.set_title(task.name)
    ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1))
    return ax
