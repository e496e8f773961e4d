"""Figures of the course: each function draws on one Axes and returns it."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis

from .data import ImageData
from .tasks import OrdinalTask

# Okabe and Ito's palette, told apart by colour-blind readers; one colour for one method,
# in every figure of the course.
PALETTE = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "red": "#D55E00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "yellow": "#F0E442",
    "grey": "#7A7A7A",
    "black": "#000000",
}
METHOD_COLOURS = {
    "middle": PALETTE["black"],
    "pixel ridge": PALETTE["grey"],
    "pixel trees": PALETTE["purple"],
    "linear probe": PALETTE["sky"],
    "zero-shot": PALETTE["red"],
}


def theme() -> None:
    """Set the look of every figure: white ground, light grid, readable type."""
    sns.set_theme("notebook", "whitegrid", palette=list(PALETTE.values()))
    plt.rcParams.update(
        {
            "figure.figsize": (7, 4),
            "figure.dpi": 72,
            "savefig.bbox": "tight",
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "grid.alpha": 0.4,
        }
    )


def contact_sheet(
    images: Sequence,
    titles: Sequence[str] | None = None,
    columns: int = 10,
    ax: Axes | None = None,
) -> Axes:
    """Tile pictures on one Axes, row by row, each with a short title.

    Args:
        images: ``(side, side, 3)`` uint8 arrays or square PIL pictures, all of one size.
        titles: one for each picture, drawn above it.
        columns: pictures in a row.
        ax: where to draw; None makes a figure that fits.

    Returns:
        The Axes.

    Raises:
        ValueError: no pictures, or another number of titles than pictures.

    Example:
        >>> ax = contact_sheet([np.zeros((8, 8, 3), np.uint8)] * 3, ["a", "b", "c"])
        >>> [text.get_text() for text in ax.texts]
        ['a', 'b', 'c']
        >>> plt.close(ax.figure)
    """
    if not len(images):
        raise ValueError("contact_sheet needs at least one picture")
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"contact_sheet got {len(images)} pictures and {len(titles)} titles")
    pixels = [np.asarray(image) for image in images]
    columns = min(columns, len(pixels))
    rows = -(-len(pixels) // columns)
    side = pixels[0].shape[0]
    gap, head = max(2, side // 16), side // 4 if titles is not None else 0
    sheet = np.full((rows * (side + gap + head), columns * (side + gap), 3), 255, np.uint8)
    if ax is None:
        width = min(12.0, 1.2 * columns + 0.5)
        _, ax = plt.subplots(figsize=(width, width * sheet.shape[0] / sheet.shape[1]))
    for i, picture in enumerate(pixels):
        top = (i // columns) * (side + gap + head) + head
        left = (i % columns) * (side + gap)
        sheet[top : top + side, left : left + side] = picture
        if titles is not None:
            ax.text(left + side / 2, top - gap, titles[i], ha="center", va="bottom", fontsize=9)
    ax.imshow(sheet, interpolation="antialiased")
    ax.set_axis_off()
    return ax


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
    _name_ranks(ax.xaxis, task, 12)
    ax.set(xlabel=f"{task.name} ({task.unit})", ylabel="pictures", title=f"{task.name}: labels")
    return ax


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
        _name_ranks(axis, task, 10, np.arange(task.num_ranks) + 0.5)
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
        _name_ranks(axis, task, 8, task.levels)
    return ax


def _name_ranks(axis: Axis, task: OrdinalTask, most: int, places: np.ndarray | None = None) -> None:
    """Label an axis with the ranks' own names, no more than fit.

    ``places`` says where the ranks stand on it; by default at 0, 1, ..., M - 1.
    """
    places = np.arange(task.num_ranks) if places is None else places
    shown = range(0, task.num_ranks, -(-task.num_ranks // most))
    axis.set_ticks([places[i] for i in shown], [task.label_of(i) for i in shown])
