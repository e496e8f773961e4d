"""Shared style of the figures: colors, theme, rank ticks and heatmaps."""

from collections.abc import Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis

from ...tasks import OrdinalTask

# The color-blind safe palette of Okabe and Ito (2008), extended by darker colors and violets that
# stay distinguishable from it. A method has the same color in every figure.
PALETTE = {
    "blue": "#0072B2", "orange": "#E69F00", "green": "#009E73", "red": "#D55E00",
    "purple": "#CC79A7", "sky": "#56B4E9", "grey": "#7A7A7A", "black": "#000000",
    "wine": "#882255", "indigo": "#332288", "moss": "#444411", "crimson": "#AA0011",
    "yellow": "#F0E442", "olive": "#999933", "rose": "#CC6677", "violet": "#9600F0",
    "lavender": "#9687FF", "plum": "#550055",
}  # fmt: skip
# Crimson and yellow are unused: hard to distinguish from CORN and CoOp with color blindness.
METHOD_COLORS = {method: PALETTE[color] for method, color in {
    "middle": "black", "pixel ridge": "grey", "pixel trees": "purple", "linear probe": "sky",
    "zero-shot": "red", "zero-shot (bin phrases)": "rose", "pico-clip-counting": "blue",
    "CoOp": "orange", "CoOp (context only)": "olive", "OrdinalCLIP": "wine", "CORN": "moss",
    "fine-tuned CLIP": "indigo", "NumCLIP": "green", "L2RCLIP": "violet",
    "L2RCLIP (single stage)": "lavender", "ranking adapter": "plum",
}.items()}  # fmt: skip
# Heatmaps with more rows have no cell annotations and vertical tick labels.
MAX_ANNOTATED = 10
# Tick labels with more characters in total are rotated.
MAX_TICK_CHARACTERS = 25


def set_theme() -> None:
    """Set the seaborn theme of all figures: white background, light grid, notebook font sizes."""
    rc = {
        "figure.figsize": (7, 4), "figure.dpi": 72, "savefig.bbox": "tight", "grid.alpha": 0.4,
        "axes.titlelocation": "left", "axes.spines.top": False, "axes.spines.right": False,
    }  # fmt: skip
    sns.set_theme("notebook", "whitegrid", palette=list(PALETTE.values()), rc=rc)


def method_colors(methods: Sequence[str]) -> dict[str, str]:
    """Map methods to their colors; methods without one get an unused color of the palette.

    Example:
        >>> method_colors(["NumCLIP", "mine"])
        {'NumCLIP': '#009E73', 'mine': '#AA0011'}
    """
    unused = cycle(c for c in PALETTE.values() if c not in METHOD_COLORS.values())
    return {name: METHOD_COLORS.get(name) or next(unused) for name in methods}


def plain(text: str) -> str:
    """Text for matplotlib in which dollar signs, of a unit such as "$/m²", are no formula.

    Example:
        >>> plain("$5 to $9")
        '\\\\$5 to \\\\$9'
    """
    return text.replace("$", r"\$")


def rank_labels(task: OrdinalTask) -> list[str]:
    """Labels of all ranks, in order."""
    return [task.rank_label(rank) for rank in range(task.num_ranks)]


def value_label(task: OrdinalTask, value: float) -> str:
    """Label of the rank with this value, or the formatted number for values between ranks."""
    rank = int(task.rank_index(value))
    return task.rank_label(rank) if task.rank_values[rank] == value else f"{value:.3g}"


def set_rank_ticks(
    axis: Axis, task: OrdinalTask, max_ticks: int, positions: np.ndarray | None = None
) -> None:
    """Label an axis with every k-th rank; positions default to 0, 1, ..., M - 1."""
    positions = np.arange(task.num_ranks) if positions is None else positions
    ranks = range(0, task.num_ranks, -(-task.num_ranks // max_ticks))
    axis.set_ticks([positions[i] for i in ranks], [plain(task.rank_label(i)) for i in ranks])


def heatmap(
    values: np.ndarray, names: Sequence[str], max_ticks: int, label: str, ax: Axes, **kwargs: object
) -> None:
    """Draw an ``(M, M)`` matrix with M names on both axes; kwargs go to ``seaborn.heatmap``."""
    names = [plain(name) for name in names]
    cbar_kws, step = {"label": label, **kwargs.pop("cbar_kws", {})}, -(-len(names) // max_ticks)
    sns.heatmap(
        pd.DataFrame(values, names, names), square=True, fmt=".2f", ax=ax,
        cbar_kws=cbar_kws, xticklabels=step, yticklabels=step, **kwargs,
    )  # fmt: skip
    ax.tick_params(axis="y", rotation=0)
    ticks = ax.get_xticklabels()
    horizontal = sum(len(text.get_text()) for text in ticks) <= MAX_TICK_CHARACTERS
    slanted = len(ticks) <= MAX_ANNOTATED and not horizontal
    ax.tick_params(axis="x", rotation=0 if horizontal else 30 if slanted else 90)
    if slanted:
        plt.setp(ticks, ha="right", rotation_mode="anchor")
