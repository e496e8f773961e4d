"""The weights that a ranking loss puts on bins."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from .ranks import name_ranks

# Numbers in more cells than these cannot be read.
MOST_NUMBERS = 10


def ranking_matrix(weights: ArrayLike, names: Sequence[str], ax: Axes | None = None) -> Axes:
    """Draw how much every bin weighs for a picture of every bin.

    Weight 1 is what plain cross-entropy has everywhere: it is drawn white, more is red and less
    is blue.

    Args:
        weights: ``(d, d)``; row c has the weights of all bins for a picture of bin c. A tensor
            on the CPU will do.
        names: d phrases of the bins, for both axes.
        ax: where to draw; None makes a figure.

    Returns:
        The Axes.

    Raises:
        ValueError: not ``(d, d)``, or another number of names.

    Example:
        >>> import torch
        >>> from ordlib.losses import ranking_weights
        >>> ax = ranking_matrix(ranking_weights(torch.arange(3), 3), ["few", "some", "many"])
        >>> [text.get_text() for text in ax.texts[:3]]
        ['1.00', '0.67', '1.33']
        >>> plt.close(ax.figure)
    """
    shape = tuple(weights.shape) if hasattr(weights, "shape") else (len(weights), len(weights[0]))
    if shape != (len(names), len(names)):
        raise ValueError(f"weights has shape {shape} for {len(names)} names; give (d, d) and d")
    ax = ax or plt.subplots(figsize=(6, 4.6))[1]
    sns.heatmap(
        weights, center=1, cmap="vlag", square=True, annot=len(names) <= MOST_NUMBERS,
        fmt=".2f", linewidths=1, ax=ax, cbar_kws={"label": "weight"},
    )  # fmt: skip
    middles = [place + 0.5 for place in range(len(names))]
    for axis in (ax.xaxis, ax.yaxis):
        name_ranks(axis, names, 20, middles)
    ax.tick_params(axis="y", rotation=0)
    ax.tick_params(axis="x", rotation=30)
    for label in ax.get_xticklabels():
        label.set(ha="right", rotation_mode="anchor")
    ax.set(xlabel="bin that is weighed", ylabel="the picture's own bin")
    return ax
