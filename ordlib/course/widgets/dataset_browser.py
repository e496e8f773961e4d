"""Pictures of the rendered world, by task and rank."""

import matplotlib.pyplot as plt
import numpy as np
from ipywidgets import Dropdown, IntSlider, VBox
from matplotlib.axes import Axes

from ...data import ImageData
from ..plots import contact_sheet
from .controls import NAME_WIDTH, explorer


def draw_rank(data: ImageData, rank: int, most: int = 8, ax: Axes | None = None) -> Axes:
    """Draw pictures of one rank.

    Args:
        data: labelled pictures.
        rank: index of the rank, 0 to M - 1.
        most: number of pictures at most.
        ax: where to draw; None makes a figure.

    Returns:
        The Axes; it says so if the data hold no picture of that rank.
    """
    found = np.flatnonzero(data.ranks == rank)[:most]
    name = data.task.label_of(rank)
    if not len(found):
        ax = ax or plt.subplots(figsize=(6, 1))[1]
        ax.set_axis_off()
        ax.set_title(f"{data.task.name}: no picture is labelled {name}")
        return ax
    ax = contact_sheet([data[i] for i in found], columns=most, ax=ax)
    ax.set_title(f"{data.task.name}: {name}")
    return ax


def explore_world(datasets: dict[str, ImageData]) -> VBox:
    """Browse pictures by task and rank.

    Args:
        datasets: labelled pictures by the name to show.

    Returns:
        A widget: a menu of tasks and a slider over ranks above the pictures.
    """
    names = list(datasets)
    menu = Dropdown(options=names, description="task", style=NAME_WIDTH)
    ranks = IntSlider(0, 0, datasets[names[0]].task.num_ranks - 1, description="rank")
    ranks.style = NAME_WIDTH

    def follow(change: dict) -> None:
        ranks.value, ranks.max = 0, datasets[change["new"]].task.num_ranks - 1

    menu.observe(follow, "value")

    def draw(task: str, rank: int) -> None:
        last = datasets[task].task.num_ranks - 1
        draw_rank(datasets[task], min(rank, last))

    return explorer(draw, {"task": menu, "rank": ranks})
