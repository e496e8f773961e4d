"""The dose-response: what a CLIP can do against how many captions truly counted."""

from collections import namedtuple
from collections.abc import Sequence
from typing import Literal

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator
from matplotlib.transforms import offset_copy

from .comparisons import require
from .style import METHOD_COLOURS, PALETTE

# How a column of the table is drawn.
Metric = namedtuple("Metric", "name scale colour")
_SHARE, _OBJECTS = "share right", "mean absolute error (objects)"
METRICS = {
    "count_accuracy": Metric("exact count", _SHARE, METHOD_COLOURS["zero-shot"]),
    "count_mae": Metric("zero-shot numerals", _OBJECTS, METHOD_COLOURS["zero-shot"]),
    "probe_mae": Metric("linear probe on pictures", _OBJECTS, METHOD_COLOURS["linear probe"]),
    "bin_accuracy": Metric("phrase for the count", _SHARE, PALETTE["orange"]),
    "object_top1": Metric("name of the object", _SHARE, PALETTE["blue"]),
    "color_top1": Metric("name of the colour", _SHARE, PALETTE["green"]),
}
# The column and the words under each kind of axis.
AXES = {
    "share": (
        "count_caption_fraction",
        "dose: share of counting captions that state the true count",
    ),
    "number": ("count_captions", "captions seen that state the true count"),
}
# Marker, words in the legend, and how far aside its first model stands, in points.
ARMS = {
    "count_caption_fraction": ("o", None, -1.5),
    "distractor numbers": ("D", "more numerals about other things", -7),
    "twice the samples": ("s", "twice the pairs", 7),
}


def dose_response(
    table: pd.DataFrame,
    metric: str | Sequence[str] = "count_accuracy",
    axis: Literal["share", "number"] = "share",
    ax: Axes | None = None,
) -> Axes:
    """Draw what models can do over the dose they were pretrained with.

    Every dot is a model; the line joins the means of a dose. The axis is logarithmic but for
    the gap, drawn dotted, between 0 and the smallest dose. Models of one dose stand a few
    points apart, so that none hides another.

    Args:
        table: ``load_results("dose_response")``.
        metric: the column to draw, or several columns, each in a colour of its own.
        axis: "share" of the counting captions that state the true count, or the "number" of
            such captions that a model saw.
    """
    if axis not in AXES:
        raise ValueError(f"axis {axis!r} is unknown: choose one of {', '.join(AXES)}")
    column, words = AXES[axis]
    metrics = [metric] if isinstance(metric, str) else list(metric)
    require(table, ["condition", "count_caption_fraction", column, *metrics])
    if not (table.loc[table["condition"] == "dose", column] > 0).any():
        raise ValueError(f"the table has no model of the condition 'dose' with {column} above 0")
    ax = ax or plt.subplots()[1]
    _scale(ax, table, column)
    looks = [METRICS.get(name, Metric(name, name, PALETTE["black"])) for name in metrics]
    for name, look in zip(metrics, looks, strict=True):
        _draw(ax, table, column, name, look)
    scales = " or ".join(dict.fromkeys(look.scale for look in looks))
    ax.set(xlabel=words, ylabel=scales if len(looks) > 1 else f"{looks[0].name}: {scales}")
    if (table[metrics].min() >= 0).all():
        ax.set_ylim(bottom=0)
    for condition, (marker, told, _) in ARMS.items():
        if told and condition in set(table["condition"]):
            ax.plot([], [], marker, color="black", markerfacecolor="white", label=told)
    # Beside the lines: several that are flat leave no room between them.
    ax.legend(fontsize=9, loc="upper left", bbox_to_anchor=(1.01, 1))
    return ax


def _scale(ax: Axes, table: pd.DataFrame, column: str) -> None:
    """Make the axis logarithmic from the smallest dose on, and 0 visible, across a break."""
    doses = table[table["condition"] == "dose"].groupby("count_caption_fraction")[column].mean()
    least = doses[doses > 0].min()
    # The room between 0 and the smallest dose is two thirds of that of a factor of ten.
    ax.set_xscale("symlog", linthresh=least, linscale=0.6)
    ax.set_xlim(-0.4 * least, 1.7 * table[column].max())
    zero = [0] if (doses == 0).any() else []
    if column == "count_caption_fraction":
        ax.set_xticks(doses.index, [f"{100 * dose:g} %" if dose else "0" for dose in doses.index])
    else:
        decades = 10.0 ** np.arange(np.ceil(np.log10(least)), np.log10(ax.get_xlim()[1]))
        ax.set_xticks([*zero, *decades])
        ax.xaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,.0f}"))
    ax.xaxis.set_minor_locator(NullLocator())
    if zero:
        ax.text(
            least / 2, 0, "//", transform=ax.get_xaxis_transform(), ha="center", va="center",
            backgroundcolor="white", fontsize=9,
        )  # fmt: skip


def _draw(ax: Axes, table: pd.DataFrame, column: str, metric: str, look: Metric) -> None:
    """Draw one metric: the means of doses, joined, and every model."""
    means = (
        table[table["condition"] == "dose"]
        .groupby("count_caption_fraction")[[column, metric]]
        .mean()
    )
    above = means[means.index > 0]
    ax.plot(*means[means.index <= above.index[0]].to_numpy().T, ":", color=look.colour)
    ax.plot(*above.to_numpy().T, "-", color=look.colour, label=look.name)
    nth = table.groupby(["condition", "count_caption_fraction"]).cumcount()
    for (condition, place), models in table.groupby(["condition", nth]):
        marker, told, shift = ARMS[condition]
        face, edge, width = ("white", look.colour, 1.4) if told else (look.colour, "white", 0.6)
        aside = offset_copy(ax.transData, ax.figure, shift + 3 * place, units="points")
        ax.scatter(
            models[column], models[metric], s=26, marker=marker, facecolor=face, edgecolor=edge,
            linewidth=width, transform=aside, zorder=3,
        )  # fmt: skip
    # What is moved aside counts for nothing when the limits of the axes are chosen.
    ax.update_datalim(table[[column, metric]].to_numpy())
    ax.autoscale_view(scalex=False)
