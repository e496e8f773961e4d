"""Pictures in the order of their scores, with those out of place marked."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from ...data import ImageData
from ...metrics import spearman
from .pictures import squared
from .ranks import value_name
from .style import PALETTE

# Of the room that a picture has, the part that it fills.
FILLED = 0.9
WRONG = PALETTE["red"]


def rank_strip(
    data: ImageData,
    scores: ArrayLike,
    count: int = 12,
    slack: int = 1,
    ax: Axes | None = None,
) -> Axes:
    """Draw pictures in the order of their scores, the lowest on the left, over their true labels.

    A picture is out of place if it stands more than ``slack`` places from where its label would
    put it among those shown (pictures with equal labels may stand in any order). It has a frame,
    and an arrow beside its label that says which way it belongs.

    Args:
        data: N labelled pictures.
        scores: ``(N,)``, of any scale; equal ones keep their order in the data.
        count: how many to show, evenly along the order, both ends among them.
        slack: how many places off are let pass.
        ax: where to draw; None makes a figure.

    Returns:
        The Axes; its title has Spearman's correlation of score and label over all N pictures.

    Raises:
        ValueError: another number of scores than pictures, one that is not finite, or ``count``
            below 2.

    Example:
        >>> from ordlib import load_data
        >>> data = load_data("counting", "val", side=64, size=20)
        >>> ax = rank_strip(data, data.values, count=5)
        >>> len(ax.images), len(ax.patches)
        (5, 0)
        >>> plt.close(ax.figure)
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.shape != (len(data),):
        raise ValueError(f"scores has shape {scores.shape} for {len(data)} pictures: give (N,)")
    if not np.isfinite(scores).all():
        raise ValueError(f"scores[{int(np.argmin(np.isfinite(scores)))}] is not finite")
    if count < 2:
        raise ValueError(f"count = {count}: show at least 2, the lowest and the highest")
    order = np.argsort(scores, kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)]
    off = places_off(data.values[chosen])
    ax = ax or plt.subplots(figsize=(len(chosen), 1.9), layout="constrained")[1]
    for place, (row, steps) in enumerate(zip(chosen, off, strict=True)):
        left = place - FILLED / 2
        ax.imshow(squared(data[int(row)]), extent=(left, left + FILLED, 0, FILLED))
        name = value_name(data.task, data.values[row])
        if abs(steps) > slack:
            name = f"{name} →" if steps > 0 else f"← {name}"
            frame = {"fill": False, "edgecolor": WRONG, "linewidth": 4}
            ax.add_patch(Rectangle((left, 0), FILLED, FILLED, **frame))
        colour = WRONG if abs(steps) > slack else "black"
        ax.text(place, -0.08, name, ha="center", va="top", fontsize=10, color=colour)
    ax.set(xlim=(-0.55, len(chosen) - 0.45), ylim=(-0.4, 0.95))
    ax.set_axis_off()
    told = spearman(data.values, scores)
    correlation = "undefined" if np.isnan(told) else f"{told:+.2f}"
    ax.set_title(
        f"{data.task.name}, lowest score on the left ({(abs(off) > slack).sum()} of {len(chosen)} "
        f"out of place; Spearman over all {len(data)}: {correlation})",
        fontsize=11, loc="left",
    )  # fmt: skip
    return ax


def places_off(values: ArrayLike) -> np.ndarray:
    """Say how far each of some values stands from its place in rising order.

    Args:
        values: ``(K,)`` as they stand.

    Returns:
        ``(K,)`` int steps to the nearest place that is its own; above 0 it belongs further right.

    Example:
        >>> places_off([5, 1, 2, 2, 9])
        array([ 3, -1,  0, -1,  0])
    """
    values = np.asarray(values)
    rising, places = np.sort(values), np.arange(len(values))
    first = np.searchsorted(rising, values, "left")
    last = np.searchsorted(rising, values, "right") - 1
    return places.clip(first, last) - places
