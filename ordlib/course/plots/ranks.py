"""Axes along the ranks of a task."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axis import Axis

from ...tasks import OrdinalTask


def rank_names(task: OrdinalTask) -> list[str]:
    """Return the ranks' own names, in order.

    Example:
        >>> from ordlib.tasks import load_task
        >>> rank_names(load_task("dating"))
        ['1930s', '1940s', '1950s', '1960s', '1970s']
    """
    return [task.label_of(rank) for rank in range(task.num_ranks)]


def value_name(task: OrdinalTask, value: float) -> str:
    """Return a rank's own name, or the number of a label that lies between ranks.

    Example:
        >>> from ordlib.tasks import load_task
        >>> value_name(load_task("dating"), 1.0), value_name(load_task("quality"), 2.25)
        ('1940s', '2.25')
    """
    rank = int(task.nearest_rank(value))
    return task.label_of(rank) if task.levels[rank] == value else f"{value:.3g}"


def name_ranks(
    axis: Axis, names: Sequence[str], most: int, places: np.ndarray | None = None
) -> None:
    """Label an axis with names of ranks, no more than fit.

    Args:
        axis: ``ax.xaxis`` or ``ax.yaxis``.
        names: M of them, in order.
        most: how many fit.
        places: ``(M,)`` where the ranks stand on it; None puts them at 0, 1, ..., M - 1.
    """
    places = np.arange(len(names)) if places is None else places
    shown = range(0, len(names), -(-len(names) // most))
    axis.set_ticks([places[i] for i in shown], [names[i] for i in shown])
