"""The rank attention's seconds and MiB against the number of pictures, both forms."""

import math
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from ordlib.plots.style import PALETTE, theme

PATH = Path("build/bench/rank_attention.png")
COLOURS = {"pairwise": PALETTE["red"], "shortcut": PALETTE["blue"]}
LOOKS = {
    "forward + backward": {"linestyle": "-", "marker": "o"},
    "forward": {"linestyle": "--", "marker": "o", "markerfacecolor": "white"},
}
PANELS = (("s", "seconds", "Time", "faster"), ("MiB", "MiB", "Peak memory", "less memory"))
COMPARED = 64


def draw(rows: pd.DataFrame, device: str) -> Path:
    """Write the plot of a sweep over numbers of pictures, and return where it is."""
    theme()
    # Memory is not told everywhere.
    panels = [panel for panel in PANELS if rows[f"{panel[0]} shortcut"].notna().any()]
    size = (5 * len(panels), 4.6)
    figure, axes = plt.subplots(1, len(panels), figsize=size, layout="constrained", squeeze=False)
    for axis, (quantity, unit, title, words) in zip(axes[0], panels, strict=True):
        _lines(axis, rows, quantity)
        _ratio(axis, rows, quantity, words)
        axis.set(title=title, ylabel=unit)
    lines = axes[0, 0].get_legend_handles_labels()
    figure.legend(*lines, loc="outside upper center", ncols=2 * len(panels))
    cores = f", {rows['threads'][0]} used" if rows["threads"].notna().all() else ""
    figure.supxlabel(f"{device}{cores}", fontsize="small", color=PALETTE["grey"])
    PATH.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PATH, dpi=150)
    plt.close(figure)
    return PATH


def _lines(axis: Axes, rows: pd.DataFrame, quantity: str) -> None:
    for form, colour in COLOURS.items():
        for way, look in LOOKS.items():
            part = rows[rows["pass"] == way].dropna(subset=f"{quantity} {form}")
            axis.plot(
                part["pictures"],
                part[f"{quantity} {form}"],
                color=colour,
                label=f"{form}, {way}",
                **look,
            )
    axis.set(xscale="log", yscale="log", xlabel="pictures N")
    axis.set_xticks(rows["pictures"].unique(), labels=rows["pictures"].unique())
    axis.xaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))


def _ratio(axis: Axes, rows: pd.DataFrame, quantity: str, words: str) -> None:
    """Draw how far apart the two are at one number of pictures, in training."""
    row = rows[(rows["pictures"] == COMPARED) & (rows["pass"] == "forward + backward")].iloc[0]
    most, least = row[f"{quantity} pairwise"], row[f"{quantity} shortcut"]
    # Beside the points, which it would hide.
    x = 1.13 * COMPARED
    axis.annotate(
        "",
        (x, least),
        (x, most),
        arrowprops={"arrowstyle": "<->", "color": PALETTE["black"], "shrinkA": 0, "shrinkB": 8},
    )
    axis.annotate(
        f"{most / least:.0f} times\n{words}\nat N = {COMPARED}",
        (x, math.sqrt(most * least)),
        (8, 0),
        textcoords="offset points",
        va="center",
    )
