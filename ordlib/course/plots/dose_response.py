"""Dose-response curves: CLIP's number sense against its pretraining captions with true counts."""

from collections import namedtuple
from collections.abc import Sequence
from typing import Literal

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator
from matplotlib.transforms import offset_copy

from .comparisons import check_columns
from .style import METHOD_COLORS, PALETTE

# Legend label, axis label and color of a column of the table.
Metric = namedtuple("Metric", "label unit color")
_SHARE, _OBJECTS = "accuracy", "mean absolute error (objects)"
METRICS = {
    "count_accuracy": Metric("exact count", _SHARE, METHOD_COLORS["zero-shot"]),
    "count_mae": Metric("zero-shot numerals", _OBJECTS, METHOD_COLORS["zero-shot"]),
    "probe_mae": Metric("linear probe on images", _OBJECTS, METHOD_COLORS["linear probe"]),
    "bin_accuracy": Metric("phrase for the count", _SHARE, PALETTE["orange"]),
    "object_top1": Metric("name of the object", _SHARE, PALETTE["blue"]),
    "color_top1": Metric("name of the colour", _SHARE, PALETTE["green"]),
}
# Column and axis label.
_STATE = "state the true count"
AXES = {
    "share": ("count_caption_fraction", f"dose: share of counting captions that {_STATE}"),
    "number": ("count_captions", f"captions seen that {_STATE}"),
}
# Marker, and horizontal offset of the first model in points; the curves are those of "dose".
CONDITIONS = {"dose": ("o", -1.5), "distractor numbers": ("D", -5), "twice the samples": ("s", 5)}


def dose_response(
    table: pd.DataFrame, metric: str | Sequence[str] = "count_accuracy",
    axis: Literal["share", "number"] = "share", ax: Axes | None = None,
) -> Axes:  # fmt: skip
    """Dose-response curve: metrics of a CLIP against the dose of its pretraining data.

    Every dot is a model; lines join the means of the doses. The x axis is logarithmic except for
    the dotted gap between 0 and the smallest dose. Models with the same dose are offset by a few
    points so that they do not overlap. The table is ``load_results("dose_response")``, and
    ``metric`` one of its columns, or several, each in its own color; the dose on the x axis is the
    "share" of the counting captions that state the true count, or the "number" of such captions.
    """
    if axis not in AXES:
        raise ValueError(f"axis = {axis!r}: must be one of {', '.join(AXES)}")
    column, xlabel = AXES[axis]
    names = [metric] if isinstance(metric, str) else list(metric)
    check_columns(table, ["condition", "count_caption_fraction", column, *names])
    if not (table.loc[table["condition"] == "dose", column] > 0).any():
        raise ValueError(f"the table has no model of the condition 'dose' with {column} above 0")
    ax = ax or plt.subplots()[1]
    _set_dose_axis(ax, table, column)
    metrics = [METRICS.get(name, Metric(name, name, PALETTE["black"])) for name in names]
    for name, style in zip(names, metrics, strict=True):
        _draw_metric(ax, table, column, name, style)
    units = " or ".join(dict.fromkeys(style.unit for style in metrics))
    ax.set(xlabel=xlabel, ylabel=units if len(metrics) > 1 else f"{metrics[0].label}: {units}")
    if (table[names].min() >= 0).all():
        ax.set_ylim(bottom=0)
    for condition, (marker, _) in CONDITIONS.items():
        if condition != "dose" and condition in set(table["condition"]):
            ax.plot([], [], marker, color="black", markerfacecolor="white", label=condition)
    # Outside: several flat lines leave no room for it.
    ax.legend(fontsize=9, loc="upper left", bbox_to_anchor=(1.01, 1))
    return ax


def _dose_means(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    doses = table[table["condition"] == "dose"]
    return doses.groupby("count_caption_fraction")[columns].mean()


def _set_dose_axis(ax: Axes, table: pd.DataFrame, column: str) -> None:
    """Make the x axis logarithmic above the smallest dose, with 0 at its left across a break."""
    doses = _dose_means(table, [column])[column]
    smallest = doses[doses > 0].min()
    # The distance between 0 and the smallest dose is two thirds of a decade.
    ax.set_xscale("symlog", linthresh=smallest, linscale=0.6)
    ax.set_xlim(-0.4 * smallest, 1.7 * table[column].max())
    zero = [0] if (doses == 0).any() else []
    if column == "count_caption_fraction":
        ax.set_xticks(doses.index, [f"{100 * dose:g} %" if dose else "0" for dose in doses.index])
    else:
        decades = 10.0 ** np.arange(np.ceil(np.log10(smallest)), np.log10(ax.get_xlim()[1]))
        ax.set_xticks([*zero, *decades])
        ax.xaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,.0f}"))
    ax.xaxis.set_minor_locator(NullLocator())
    if zero:
        style = {"ha": "center", "va": "center", "backgroundcolor": "white", "fontsize": 9}
        ax.text(smallest / 2, 0, "//", transform=ax.get_xaxis_transform(), **style)


def _draw_metric(ax: Axes, table: pd.DataFrame, column: str, metric: str, style: Metric) -> None:
    """Draw the means of the doses and every model."""
    means = _dose_means(table, [column, metric])
    positive = means[means.index > 0]
    ax.plot(*means[means.index <= positive.index[0]].to_numpy().T, ":", color=style.color)
    ax.plot(*positive.to_numpy().T, "-", color=style.color, label=style.label)
    repeat = table.groupby(["condition", "count_caption_fraction"]).cumcount()
    for (condition, index), models in table.groupby(["condition", repeat]):
        marker, offset = CONDITIONS[condition]
        filled = style.color, "white", 0.6
        face, edge, width = filled if condition == "dose" else ("white", style.color, 1.4)
        shifted = offset_copy(ax.transData, ax.figure, offset + 3 * index, units="points")
        ax.scatter(
            models[column], models[metric], s=26, marker=marker, facecolor=face, edgecolor=edge,
            linewidth=width, transform=shifted, zorder=3,
        )  # fmt: skip
    # Autoscaling ignores artists with another transform than transData.
    ax.update_datalim(table[[column, metric]].to_numpy())
    ax.autoscale_view(scalex=False)
