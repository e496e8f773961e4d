"""Ranks as points on a map: do their words lie along a curve?"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.patheffects import withStroke
from numpy.typing import ArrayLike
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize
from torch import Tensor

from ...metrics import rank_similarity
from ...tasks import OrdinalTask
from .ranks import name_ranks, rank_names

# The last tenth of viridis is too light to be seen on white.
COLOURS = ListedColormap(plt.get_cmap("viridis")(np.linspace(0, 0.9, 256)))
# A map never shows less than this, so that rounding does not look like distance.
LEAST_SPAN = 1e-3
MOST_WORDS = 6
# Size of letters, in points.
LETTER = 10


def rank_map(features: ArrayLike | Tensor, task: OrdinalTask, ax: Axes | None = None) -> Axes:
    """Draw the words of ranks as points on a map, neighbours joined by a line.

    The map is the plane of the first two principal components of the normalised features, turned
    so that the last rank lies to the right of the first. Ordered ranks make a smooth curve,
    unordered ones a tangle. A plane shows a part of the truth: the axes say how large a part.

    Args:
        features: ``(M, D)``, one row a rank in order, any length (rows are normalised here);
            an array or a tensor, with or without gradient.
        task: names the ranks, M of them.
        ax: where to draw; None makes a figure.

    Returns:
        The Axes, of equal scale along both axes.

    Raises:
        ValueError: not ``(M, D)`` with M of 2 or more, another number of ranks in the task than
            rows, or a row that is not finite or all 0.

    Example:
        >>> from ordlib.tasks import load_task
        >>> turns = np.linspace(0, 2, 5)
        >>> circle = np.stack([np.cos(turns), np.sin(turns)], axis=1)
        >>> ax = rank_map(circle, load_task("dating"))
        >>> len(ax.collections[0].get_offsets()), ax.texts[0].get_text()
        (5, '1930s')
        >>> plt.close(ax.figure)
    """
    if isinstance(features, Tensor):
        features = features.detach().cpu().numpy()
    rank_similarity(features)  # complains of what are no features of ranks
    if len(features) != task.num_ranks:
        raise ValueError(
            f"features has {len(features)} rows and {task.name} {task.num_ranks} ranks; "
            "give one row a rank"
        )
    places, shares = _project(normalize(np.asarray(features, dtype=np.float64)))
    ax = ax or plt.subplots(figsize=(6.5, 5.5))[1]
    ax.plot(*places.T, color="0.8", linewidth=1, zorder=1)
    points = ax.scatter(
        *places.T, c=np.arange(len(places)), cmap=COLOURS, s=36, edgecolors="white",
        linewidths=0.5, zorder=2,
    )  # fmt: skip
    _frame(ax, places)
    _annotate(ax, places, task.words)
    bar = ax.figure.colorbar(points, ax=ax, shrink=0.8, label=task.unit)
    name_ranks(bar.ax.yaxis, rank_names(task), 10)
    ax.set_xlabel(f"first component ({shares[0]:.0%} of the variance)")
    ax.set_ylabel(f"second component ({shares[1]:.0%} of the variance)")
    return ax


def _project(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ``(M, 2)`` places in the plane, and the share of variance along each of its axes."""
    # One number a row spans no plane: a second one that is always 0 changes nothing.
    rows = np.pad(rows, ((0, 0), (0, max(0, 2 - rows.shape[1]))))
    variance = rows.var(axis=0, ddof=1).sum()
    if np.ptp(rows, axis=0).max() < 1e-7:
        return np.zeros((len(rows), 2)), np.zeros(2)
    found = PCA(2, svd_solver="full").fit(rows)
    places = found.transform(rows)
    # A component's sign has no meaning: ranks go from left to right, and over the top.
    away = np.arange(len(rows)) - (len(rows) - 1) / 2
    places *= np.where([away @ places[:, 0] < 0, np.abs(away) @ places[:, 1] > 0], -1, 1)
    return places, found.explained_variance_ / variance


def _frame(ax: Axes, places: np.ndarray) -> None:
    """Show a square around all places, with room for words."""
    low, high = places.min(axis=0), places.max(axis=0)
    half = 0.65 * max(LEAST_SPAN, *(high - low))
    x, y = (low + high) / 2
    ax.set(xlim=(x - half, x + half), ylim=(y - half, y + half), aspect="equal")
    ax.locator_params(nbins=5)
    ax.apply_aspect()


def _annotate(ax: Axes, places: np.ndarray, words: tuple[str, ...]) -> None:
    """Write the first word, the last and a few in between where they hide the least."""
    shown = np.linspace(0, len(words) - 1, min(len(words), MOST_WORDS)).round().astype(int)
    # In points, as letters are measured: all ranks, and the line between them.
    scale = 72 / ax.figure.dpi
    spots = scale * ax.transData.transform(places)
    along = np.linspace(0, len(spots) - 1, 8 * len(spots))
    drawn = np.stack([np.interp(along, np.arange(len(spots)), axis) for axis in spots.T], axis=1)
    frame, taken = scale * ax.bbox.get_points(), []
    for rank in shown:
        size = np.array([0.6 * len(words[rank]) + 0.4, 1.4]) * LETTER
        middles = spots[rank] + _around(size)
        costs = [_cost(middle, size, drawn, taken, frame) for middle in middles]
        middle = middles[int(np.argmin(costs))]
        taken.append((middle, size))
        ax.annotate(
            words[rank], places[rank], middle - spots[rank], textcoords="offset points",
            fontsize=LETTER, ha="center", va="center", zorder=3,
            path_effects=[withStroke(linewidth=3, foreground="white")],
            arrowprops={"arrowstyle": "-", "color": "0.3", "lw": 0.6, "shrinkA": 1, "shrinkB": 3},
        )  # fmt: skip


def _around(size: np.ndarray) -> np.ndarray:
    """Return places for the middle of a word around its point, the nearest first."""
    turns = np.linspace(0, 2 * np.pi, 16, endpoint=False) + np.pi / 4
    ring = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    return np.concatenate([ring * (size / 2 + gap) for gap in (6, 14, 24, 36)])


def _cost(
    middle: np.ndarray, size: np.ndarray, drawn: np.ndarray, taken: list, frame: np.ndarray
) -> float:
    """Return how much a word hides: other words most, then what is drawn, and how far it is."""
    hidden = (np.abs(drawn - middle) < size / 2).all(axis=1).mean()
    words = sum((np.abs(other - middle) < (size + its) / 2).all() for other, its in taken)
    outside = (middle - size / 2 < frame[0]).any() or (middle + size / 2 > frame[1]).any()
    return 10 * words + 10 * outside + hidden
