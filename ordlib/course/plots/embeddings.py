"""Similarity heatmap, FCRC weights and PCA map of rank text features."""

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
from .style import MAX_ANNOTATED, heatmap, plain, set_rank_ticks

# The last tenth of viridis is too light on a white background.
COLORMAP = ListedColormap(plt.get_cmap("viridis")(np.linspace(0, 0.9, 256)))
# Smaller differences are rounding noise: neither the colors nor the axes resolve them.
MIN_SPAN = 1e-3


def similarity_heatmap(features: ArrayLike, names: Sequence[str], ax: Axes | None = None) -> Axes:
    """Cosine similarity heatmap of rank text features.

    The color scale spans the entries off the diagonal; the diagonal is always 1. ``(M, D)``
    features have one row per rank in order, on the CPU, and are normalized here; the M names
    label both axes.
    """
    cosines = rank_similarity(features)
    if len(cosines) != len(names):
        raise ValueError(f"features has {len(cosines)} rows for {len(names)} names; pass M of each")
    off_diagonal = cosines[~np.eye(len(cosines), dtype=bool)]
    high = off_diagonal.max()
    ax = ax or plt.subplots(figsize=(6, 5))[1]
    heatmap(
        cosines, names, 20, "cosine similarity", ax, cmap="viridis", vmax=high,
        vmin=min(off_diagonal.min(), high - MIN_SPAN), cbar_kws={"extend": "max"},
    )  # fmt: skip
    return ax


def fcrc_weight_heatmap(weights: ArrayLike, names: Sequence[str], ax: Axes | None = None) -> Axes:
    """FCRC weight heatmap: weight of every bin for samples of every bin.

    Weight 1, that of plain cross-entropy, is white; larger weights are red, smaller ones blue.

    Row c of the ``(d, d)`` weights has those of all bins for a sample of bin c; a CPU tensor is
    accepted. The d names are bin phrases.

    Example:
        >>> ax = fcrc_weight_heatmap([[1, 0.5], [0.5, 1]], ["few", "many"])
        >>> [text.get_text() for text in ax.texts]
        ['1.00', '0.50', '0.50', '1.00']
        >>> plt.close(ax.figure)
    """
    weights = np.asarray(weights)
    if weights.shape != (len(names), len(names)):
        raise ValueError(f"weights has shape {weights.shape} for {len(names)} names; pass (d, d)")
    ax = ax or plt.subplots(figsize=(6, 4.6))[1]
    kwargs = {"center": 1, "cmap": "vlag", "linewidths": 1, "annot": len(names) <= MAX_ANNOTATED}
    heatmap(weights, names, 20, "weight", ax, **kwargs)
    ax.set(xlabel="weighted bin", ylabel="the image's own bin")
    return ax


def rank_embedding_map(
    features: ArrayLike | Tensor, task: OrdinalTask, ax: Axes | None = None
) -> Axes:
    """PCA map of rank text features, with consecutive ranks joined by a line.

    The axes are the first two principal components of the normalized features, with signs chosen
    so that ranks run from left to right; their labels state the explained variance. Ordered
    ranks form a smooth curve. ``(M, D)`` features have one row per rank of the task, in order; a
    tensor may require gradients.
    """
    if isinstance(features, Tensor):
        features = features.detach().cpu().numpy()
    rank_similarity(features)  # validates shape and values
    if len(features) != task.num_ranks:
        raise ValueError(
            f"features has {len(features)} rows for {task.num_ranks} ranks of {task.name}"
        )
    points, explained = _project(normalize(np.asarray(features, dtype=np.float64)))
    ax = ax or plt.subplots(figsize=(6.5, 5.5))[1]
    ax.plot(*points.T, color="0.8", linewidth=1, zorder=1)
    scatter = ax.scatter(
        *points.T, c=np.arange(len(points)), cmap=COLORMAP, s=36, edgecolors="white",
        linewidths=0.5, zorder=2,
    )  # fmt: skip
    # A square around all points, with room for the annotations.
    x, y = (points.min(axis=0) + points.max(axis=0)) / 2
    half = 0.68 * max(MIN_SPAN, *np.ptp(points, axis=0))
    ax.set(xlim=(x - half, x + half), ylim=(y - half, y + half), aspect="equal")
    ax.locator_params(nbins=5)
    _annotate_ends(ax, points[[0, -1]], (task.rank_names[0], task.rank_names[-1]), half)
    bar = ax.figure.colorbar(scatter, ax=ax, shrink=0.8, label=plain(task.unit))
    set_rank_ticks(bar.ax.yaxis, task, 10)
    ax.set_xlabel(f"PC 1 ({explained[0]:.0%} of the variance)")
    ax.set_ylabel(f"PC 2 ({explained[1]:.0%} of the variance)")
    return ax


def _annotate_ends(ax: Axes, ends: np.ndarray, names: tuple[str, str], half: float) -> None:
    """Name the first and the last rank below their points; the higher one above if they meet."""
    close = abs(ends[0, 0] - ends[1, 0]) < 0.6 * half
    for i, name in enumerate(names):
        above = close and i == ends[:, 1].argmax()
        ax.annotate(
            plain(name), ends[i], (0, 7 if above else -7), textcoords="offset points", ha="center",
            va="bottom" if above else "top", path_effects=[withStroke(linewidth=3, foreground="w")],
        )  # fmt: skip


def _project(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ``(M, 2)`` principal components and their explained variance ratios."""
    # One feature spans no plane; a constant second one changes nothing.
    rows = np.pad(rows, ((0, 0), (0, max(0, 2 - rows.shape[1]))))
    if np.ptp(rows, axis=0).max() < 1e-7:
        return np.zeros((len(rows), 2)), np.zeros(2)
    pca = PCA(2, svd_solver="full").fit(rows)
    points = pca.transform(rows)
    # The sign of a component is arbitrary: ranks run from left to right, and over the top.
    centered = np.arange(len(rows)) - (len(rows) - 1) / 2
    points *= np.where([centered @ points[:, 0] < 0, np.abs(centered) @ points[:, 1] > 0], -1, 1)
    return points, pca.explained_variance_ratio_
