"""What the words of ranks look like to a text tower."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from ...metrics import rank_similarity
from .ranks import name_ranks

# Differences smaller than this are no structure: the colours never stretch further.
LEAST_SPAN = 1e-3
# More than these do not fit under the matrix in a row.
MOST_LETTERS = 25


def similarity(features: ArrayLike, names: Sequence[str], ax: Axes | None = None) -> Axes:
    """Draw the cosine similarity of every rank's words with every other's.

    The diagonal is 1 whatever the model, and other entries often lie close together: so the
    colours span the entries off the diagonal, and the diagonal takes the last colour.

    Args:
        features: ``(M, D)``, one row a rank in order, any length (rows are normalised here);
            a tensor on the CPU will do.
        names: M of them, for both axes.
        ax: where to draw; None makes a figure.

    Returns:
        The Axes.

    Raises:
        ValueError: not ``(M, D)`` with M of 2 or more, another number of names than rows, or a
            row that is not finite or all 0.

    Example:
        >>> ax = similarity(np.random.default_rng(0).normal(size=(3, 8)), ["one", "two", "three"])
        >>> [text.get_text() for text in ax.get_yticklabels()]
        ['one', 'two', 'three']
        >>> plt.close(ax.figure)
    """
    cosines = rank_similarity(features)
    if len(cosines) != len(names):
        raise ValueError(f"features has {len(cosines)} rows and names {len(names)}; give one a row")
    others = cosines[~np.eye(len(cosines), dtype=bool)]
    high = others.max()
    low = min(others.min(), high - LEAST_SPAN)
    ax = ax or plt.subplots(figsize=(6, 5))[1]
    sns.heatmap(
        cosines, vmin=low, vmax=high, cmap="viridis", square=True, ax=ax,
        cbar_kws={"label": "cosine similarity", "extend": "max"},
    )  # fmt: skip
    middles = np.arange(len(names)) + 0.5
    for axis in (ax.xaxis, ax.yaxis):
        name_ranks(axis, names, 20, middles)
    ax.tick_params(axis="y", rotation=0)
    letters = sum(len(label.get_text()) for label in ax.get_xticklabels())
    ax.tick_params(axis="x", rotation=90 if letters > MOST_LETTERS else 0)
    return ax
