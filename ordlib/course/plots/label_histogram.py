"""How the labels of a data set lie."""

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes

from ...data import ImageData
from .ranks import name_ranks, rank_names
from .style import PALETTE


def label_histogram(data: ImageData, ax: Axes | None = None) -> Axes:
    """Draw how many pictures each rank has.

    Args:
        data: labelled pictures.
        ax: where to draw; None makes a figure.

    Returns:
        The Axes.
    """
    ax = ax or plt.subplots()[1]
    task = data.task
    counts = np.bincount(data.ranks, minlength=task.num_ranks)
    sns.barplot(x=np.arange(task.num_ranks), y=counts, color=PALETTE["sky"], ax=ax)
    name_ranks(ax.xaxis, rank_names(task), 12)
    ax.set(xlabel=f"{task.name} ({task.unit})", ylabel="pictures", title=f"{task.name}: labels")
    return ax
