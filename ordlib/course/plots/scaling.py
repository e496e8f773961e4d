"""What two forms of the same cost as there is more to do."""

from typing import Literal, get_args

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from .style import PALETTE

Quantity = Literal["seconds", "mib"]
LABELS = {"seconds": ("seconds", "faster"), "mib": ("MiB at the peak", "less memory")}
COLOURS = {"pairwise": PALETTE["red"], "shortcut": PALETTE["blue"]}
LOOKS = {
    "forward+backward": {"linestyle": "-", "marker": "o"},
    "forward": {"linestyle": "--", "marker": "o", "markerfacecolor": "white"},
}


def cost_plot(table: pd.DataFrame, quantity: Quantity = "seconds", ax: Axes | None = None) -> Axes:
    """Draw time or memory against the number of pictures, a line for each form and pass.

    Both axes are logarithmic: a power of N is a straight line, and its slope the power. An arrow
    spans both forms in training, at the largest N that both have.

    Args:
        table: with columns form ("pairwise" or "shortcut"), pass ("forward" or
            "forward+backward"), pictures, and the quantity; rows without a number are left out.
        quantity: "seconds", or "mib" for the peak of memory.
        ax: where to draw; None makes a figure.

    Returns:
        The Axes.

    Raises:
        ValueError: an unknown quantity, a column that is missing, no number at all, or a form, a
            pass and a number of pictures that are there twice.

    Example:
        >>> table = pd.DataFrame({"pictures": [16, 32] * 2, "seconds": [1, 4, 0.5, 1]})
        >>> table["form"], table["pass"] = ["pairwise"] * 2 + ["shortcut"] * 2, "forward"
        >>> ax = cost_plot(table)
        >>> [line.get_label() for line in ax.lines]
        ['pairwise, forward', 'shortcut, forward']
        >>> plt.close(ax.figure)
    """
    if quantity not in get_args(Quantity):
        raise ValueError(f"quantity = {quantity!r}: must be one of {', '.join(get_args(Quantity))}")
    keys = ["form", "pass", "pictures"]
    for name in (*keys, quantity):
        if name not in table:
            raise ValueError(f"the table has no column {name!r}; it has {', '.join(table)}")
    rows = table.dropna(subset=quantity)
    if rows.empty:
        raise ValueError(f"the table has no number of {quantity}")
    if rows.duplicated(keys).any():
        twice = rows[rows.duplicated(keys)].iloc[0]
        named = ", ".join(str(twice[key]) for key in keys)
        raise ValueError(f"{named} is there twice; keep the rows of one setting")
    ax = ax or plt.subplots(figsize=(5, 4.2))[1]
    for (form, way), part in rows.groupby(["form", "pass"], sort=False):
        part = part.sort_values("pictures")
        label, look = f"{form}, {way}", LOOKS.get(way, {"marker": "s"})
        ax.plot(part["pictures"], part[quantity], label=label, color=COLOURS.get(form), **look)
    pictures = sorted(rows["pictures"].unique())
    ax.set(xscale="log", yscale="log", xlabel="pictures N", ylabel=LABELS[quantity][0])
    ax.set_xticks(pictures, [f"{number:g}" for number in pictures])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    _compare(ax, rows, quantity)
    # Below, where it hides no line.
    ax.legend(fontsize=9, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.15))
    return ax


def _compare(ax: Axes, rows: pd.DataFrame, quantity: Quantity) -> None:
    """Draw how far apart both forms are in training, at the largest number that both have."""
    training = rows[rows["pass"] == "forward+backward"]
    wide = training.pivot(index="pictures", columns="form", values=quantity)
    both = wide.dropna() if set(COLOURS) <= set(wide) else wide.iloc[:0]
    if both.empty:
        return
    pictures, most, least = both.index[-1], *both.iloc[-1][["pairwise", "shortcut"]]
    # Beside the points, which it would hide.
    x = 1.13 * pictures
    look = {"arrowstyle": "<->", "color": PALETTE["black"], "shrinkA": 0, "shrinkB": 8}
    ax.annotate("", (x, least), (x, most), arrowprops=look)
    ax.annotate(
        f"{most / least:.0f} times\n{LABELS[quantity][1]}\nat N = {pictures:g}",
        (x, np.sqrt(most * least)), (8, 0), textcoords="offset points", va="center",
    )  # fmt: skip
