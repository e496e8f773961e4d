"""What figures share: colours, the look, axes along ranks, matrices."""

from collections.abc import Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis

from ...tasks import OrdinalTask

# Okabe and Ito's palette, told apart by colour-blind readers, and darker colours and violets
# that stay apart from it; one colour for one method, in every figure of the course.
PALETTE = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "red": "#D55E00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "grey": "#7A7A7A",
    "black": "#000000",
    "wine": "#882255",
    "indigo": "#332288",
    "moss": "#444411",
    "crimson": "#AA0011",
    "yellow": "#F0E442",
    "olive": "#999933",
    "rose": "#CC6677",
    "violet": "#9600F0",
    "lavender": "#9687FF",
    "plum": "#550055",
}
METHOD_COLOURS = {
    "middle": PALETTE["black"],
    "pixel ridge": PALETTE["grey"],
    "pixel trees": PALETTE["purple"],
    "linear probe": PALETTE["sky"],
    "zero-shot": PALETTE["red"],
    "zero-shot (bin phrases)": PALETTE["rose"],
    "pico-clip-counting": PALETTE["blue"],
    "CoOp": PALETTE["orange"],
    "CoOp (context only)": PALETTE["olive"],
    "OrdinalCLIP": PALETTE["wine"],
    "CORN": PALETTE["moss"],
    "fine-tuned CLIP": PALETTE["indigo"],
    "NumCLIP": PALETTE["green"],
    "L2RCLIP": PALETTE["violet"],
    "L2RCLIP (single stage)": PALETTE["lavender"],
    # Not crimson or yellow: some eyes take them for the colours of CORN and CoOp.
    "ranking adapter": PALETTE["plum"],
}
# Matrices of more rows than these have no numbers in their cells, and names stand upright under
# them; and more letters than those do not fit under one in a row.
FEW, MOST_LETTERS = 10, 25


def theme() -> None:
    """Set the look of every figure: white ground, light grid, readable type."""
    look = {
        "figure.figsize": (7, 4),
        "figure.dpi": 72,
        "savefig.bbox": "tight",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.alpha": 0.4,
    }
    sns.set_theme("notebook", "whitegrid", palette=list(PALETTE.values()), rc=look)


def method_colours(methods: Sequence[str]) -> dict[str, str]:
    """Give each method a colour: its own, or, for one that has none, a spare one.

    Example:
        >>> method_colours(["NumCLIP", "mine"])
        {'NumCLIP': '#009E73', 'mine': '#AA0011'}
    """
    spare = cycle(c for c in PALETTE.values() if c not in METHOD_COLOURS.values())
    return {name: METHOD_COLOURS.get(name) or next(spare) for name in methods}


def rank_names(task: OrdinalTask) -> list[str]:
    """The ranks' own names, in order."""
    return [task.rank_label(rank) for rank in range(task.num_ranks)]


def value_name(task: OrdinalTask, value: float) -> str:
    """A rank's own name, or the number of a label that lies between ranks."""
    rank = int(task.rank_index(value))
    return task.rank_label(rank) if task.rank_values[rank] == value else f"{value:.3g}"


def name_ranks(axis: Axis, task: OrdinalTask, most: int, places: np.ndarray | None = None) -> None:
    """Label an axis with at most so many ranks; without places they stand at 0, 1, ..., M - 1."""
    places = np.arange(task.num_ranks) if places is None else places
    shown = range(0, task.num_ranks, -(-task.num_ranks // most))
    axis.set_ticks([places[i] for i in shown], [task.rank_label(i) for i in shown])


def matrix(
    cells: np.ndarray, names: Sequence[str], most: int, label: str, ax: Axes, **look: object
) -> None:
    """Draw a matrix with the same names, as many as fit, along both sides of its square.

    The label is that of the colour bar; ``look`` goes to ``seaborn.heatmap``.
    """
    bar, step = {"label": label, **look.pop("cbar_kws", {})}, -(-len(names) // most)
    sns.heatmap(
        pd.DataFrame(cells, list(names), list(names)), square=True, fmt=".2f", ax=ax, cbar_kws=bar,
        xticklabels=step, yticklabels=step, **look,
    )  # fmt: skip
    ax.tick_params(axis="y", rotation=0)
    below = ax.get_xticklabels()
    row = sum(len(text.get_text()) for text in below) <= MOST_LETTERS
    slanted = len(below) <= FEW and not row
    ax.tick_params(axis="x", rotation=0 if row else 30 if slanted else 90)
    if slanted:
        plt.setp(below, ha="right", rotation_mode="anchor")
