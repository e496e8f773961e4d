"""The words of ranks and bins, as a model has them, and the weights that a loss gives bins."""

from collections.abc import Sequence

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
from .style import FEW, matrix, name_ranks

# The last tenth of viridis is too light to be seen on white.
COLOURS = ListedColormap(plt.get_cmap("viridis")(np.linspace(0, 0.9, 256)))
# Differences smaller than this are no structure: neither colours nor maps stretch further.
LEAST_SPAN = 1e-3


def similarity(features: ArrayLike, names: Sequence[str], ax: Axes | None = None) -> Axes:
    """Draw the cosine similarity of every rank's words with every other's.

    The diagonal is 1 whatever the model, and other entries often lie close together: so the
    colours span the entries off the diagonal, and the diagonal takes the last colour.

    Args:
        features: ``(M, D)``, one row a rank in order, any length (rows are normalised here);
            a tensor on the CPU will do.
        names: M of them, for both axes.
    """
    cosines = rank_similarity(features)
    if len(cosines) != len(names):
        raise ValueError(f"features has {len(cosines)} rows and names {len(names)}; give one a row")
    others = cosines[~np.eye(len(cosines), dtype=bool)]
    high = others.max()
    ax = ax or plt.subplots(figsize=(6, 5))[1]
    matrix(
        cosines, names, 20, "cosine similarity", ax, cmap="viridis", vmax=high,
        vmin=min(others.min(), high - LEAST_SPAN), cbar_kws={"extend": "max"},
    )  # fmt: skip
    return ax


def fcrc_weight_heatmap(weights: ArrayLike, names: Sequence[str], ax: Axes | None = None) -> Axes:
    """Draw how much every bin weighs for a picture of every bin.

    Weight 1 is what plain cross-entropy has everywhere: it is drawn white, more is red and less
    is blue.

    Args:
        weights: ``(d, d)``; row c has the weights of all bins for a picture of bin c. A tensor
            on the CPU will do.
        names: d phrases of the bins, for both axes.

    Example:
        >>> ax = fcrc_weight_heatmap([[1, 0.5], [0.5, 1]], ["few", "many"])
        >>> [text.get_text() for text in ax.texts]
        ['1.00', '0.50', '0.50', '1.00']
        >>> plt.close(ax.figure)
    """
    weights = np.asarray(weights)
    if weights.shape != (len(names), len(names)):
        raise ValueError(
            f"weights has shape {weights.shape} for {len(names)} names; give (d, d) and d"
        )
    ax = ax or plt.subplots(figsize=(6, 4.6))[1]
    look = {"center": 1, "cmap": "vlag", "linewidths": 1, "annot": len(names) <= FEW}
    matrix(weights, names, 20, "weight", ax, **look)
    ax.set(xlabel="bin that is weighed", ylabel="the picture's own bin")
    return ax


def rank_embedding_map(
    features: ArrayLike | Tensor, task: OrdinalTask, ax: Axes | None = None
) -> Axes:
    """Draw the words of ranks as points on a map, neighbours joined by a line.

    The map is the plane of the first two principal components of the normalised features, turned
    so that the last rank lies to the right of the first. Ordered ranks make a smooth curve,
    unordered ones a tangle. A plane shows a part of the truth: the axes say how large a part.
    Both ends have their words, and the colour bar names the ranks between.

    Args:
        features: ``(M, D)``, one row a rank in order, any length (rows are normalised here);
            an array or a tensor, with or without gradient.
        task: names the ranks, M of them.
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
    # A square around all places, with room for words.
    middle = (places.min(axis=0) + places.max(axis=0)) / 2
    half = 0.68 * max(LEAST_SPAN, *np.ptp(places, axis=0))
    (x, y), ends = middle, places[[0, -1]]
    ax.set(xlim=(x - half, x + half), ylim=(y - half, y + half), aspect="equal")
    ax.locator_params(nbins=5)
    close = abs(ends[0, 0] - ends[1, 0]) < 0.6 * half
    for i, word in enumerate((task.rank_names[0], task.rank_names[-1])):
        # Below, outside an arc; where both would meet, the higher one stands above.
        up = close and i == ends[:, 1].argmax()
        ax.annotate(
            word, ends[i], (0, 7 if up else -7), textcoords="offset points", ha="center",
            va="bottom" if up else "top", path_effects=[withStroke(linewidth=3, foreground="w")],
        )  # fmt: skip
    bar = ax.figure.colorbar(points, ax=ax, shrink=0.8, label=task.unit)
    name_ranks(bar.ax.yaxis, task, 10)
    ax.set_xlabel(f"first component ({shares[0]:.0%} of the variance)")
    ax.set_ylabel(f"second component ({shares[1]:.0%} of the variance)")
    return ax


def _project(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ``(M, 2)`` places in the plane, and the share of variance along each of its axes."""
    # One number a row spans no plane: a second one that is always 0 changes nothing.
    rows = np.pad(rows, ((0, 0), (0, max(0, 2 - rows.shape[1]))))
    if np.ptp(rows, axis=0).max() < 1e-7:
        return np.zeros((len(rows), 2)), np.zeros(2)
    found = PCA(2, svd_solver="full").fit(rows)
    places = found.transform(rows)
    # A component's sign has no meaning: ranks go from left to right, and over the top.
    away = np.arange(len(rows)) - (len(rows) - 1) / 2
    places *= np.where([away @ places[:, 0] < 0, np.abs(away) @ places[:, 1] > 0], -1, 1)
    return places, found.explained_variance_ratio_
