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

from ..metrics import rank_similarity
from ..tasks import OrdinalTask

# The last tenth of viridis is too light to be seen on white.
COLOURS = ListedColormap(plt.get_cmap("viridis")(np.linspace(0, 0.9, 256)))
# A map never shows less than this, so that rounding does not look like distance.
LEAST_SPAN = 1e-3
MOST_WORDS = 6


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
    ax = ax or plt.subplots(figsize=(6, 5.5))[1]
    ax.plot(*places.T, color="0.6", linewidth=1, zorder=1)
    ax.scatter(
        *places.T, c=np.arange(len(places)), cmap=COLOURS, s=36, edgecolors="white",
        linewidths=0.5, zorder=2,
    )  # fmt: skip
    _frame(ax, places)
    _annotate(ax, places, task.words)
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
    half = 0.62 * max(LEAST_SPAN, *(high - low))
    (x, y) = (low + high) / 2
    ax.set(xlim=(x - half, x + half), ylim=(y - half, y + half), aspect="equal")


def _annotate(ax: Axes, places: np.ndarray, words: tuple[str, ...]) -> None:
    """Write the first word, the last and a few in between beside their points."""
    shown = np.linspace(0, len(words) - 1, min(len(words), MOST_WORDS)).round().astype(int)
    middle = places.mean(axis=0)
    for rank in shown:
        outward = places[rank] - middle
        outward /= max(np.linalg.norm(outward), 1e-12)
        ax.annotate(
            words[rank], places[rank], 10 * outward, textcoords="offset points", fontsize=10,
            ha="left" if outward[0] >= 0 else "right", va="center", zorder=3,
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )  # fmt: skip
