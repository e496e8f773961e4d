"""The dose-response: what a CLIP can do against how many captions truly counted."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator
from matplotlib.transforms import offset_copy

from .style import METHOD_COLOURS, PALETTE


class Metric(NamedTuple):
    """How a column of the table is drawn."""

    name: str
    scale: str
    colour: str


_SHARE, _OBJECTS, _ORDER = "share right", "mean absolute error (objects)", "Spearman correlation"
_WORDS, _PROBE = METHOD_COLOURS["zero-shot"], METHOD_COLOURS["linear probe"]
# Asked without the object's name, the same method does worse: a darker shade of its colour.
_UNNAMED = "#7A3600"
METRICS = {
    "accuracy": Metric("exact count", _SHARE, _WORDS),
    "mae": Metric("zero-shot numerals", _OBJECTS, _WORDS),
    "spearman": Metric("zero-shot numerals", _ORDER, _WORDS),
    "count_accuracy": Metric("exact count", _SHARE, _WORDS),
    "count_mae": Metric("zero-shot numerals", _OBJECTS, _WORDS),
    "count_spearman": Metric("zero-shot numerals", _ORDER, _WORDS),
    "unnamed_count_accuracy": Metric("exact count, object unnamed", _SHARE, _UNNAMED),
    "unnamed_count_mae": Metric("zero-shot numerals, object unnamed", _OBJECTS, _UNNAMED),
    "unnamed_count_spearman": Metric("zero-shot numerals, object unnamed", _ORDER, _UNNAMED),
    "probe_mae": Metric("linear probe on pictures", _OBJECTS, _PROBE),
    "probe_spearman": Metric("linear probe on pictures", _ORDER, _PROBE),
    "phrase_accuracy": Metric("phrase for the count", _SHARE, PALETTE["orange"]),
    "object_top1": Metric("name of the object", _SHARE, PALETTE["blue"]),
    "colour_top1": Metric("name of the colour", _SHARE, PALETTE["green"]),
}
# The column and the words under each kind of axis.
AXES = {
    "share": ("dose", "dose: share of counting captions that state the true count"),
    "number": ("counting_captions", "captions seen that state the true count"),
}
# Marker and words of the arms that are no dose, and how far beside it they stand, in points.
ARMS = {
    "spurious": ("D", "more numerals about other things", -7),
    "twice": ("s", "twice the pairs", 7),
}


def dose_response(
    table: pd.DataFrame,
    metric: str | Sequence[str] = "accuracy",
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
        ax: where to draw; None makes a figure.

    Returns:
        The Axes.

    Raises:
        ValueError: no such axis, column, or no model with a dose above 0.

    Example:
        >>> table = pd.DataFrame({"dose": [0, 0.01, 0.1], "accuracy": [0.1, 0.2, 0.4]}).assign(
        ...     arm="dose"
        ... )
        >>> ax = dose_response(table)
        >>> [text.get_text() for text in ax.get_xticklabels()]
        ['0', '1 %', '10 %']
        >>> plt.close(ax.figure)
    """
    if axis not in AXES:
        raise ValueError(f"axis {axis!r} is unknown: choose one of {', '.join(AXES)}")
    column, words = AXES[axis]
    metrics = [metric] if isinstance(metric, str) else list(metric)
    _check(table, [column, *metrics], column)
    ax = ax or plt.subplots()[1]
    drawn = [METRICS.get(name, Metric(name, name, PALETTE["black"])) for name in metrics]
    _scale(ax, table, column)
    for name, look in zip(metrics, drawn, strict=True):
        _draw(ax, table, column, name, look)
    scales = " or ".join(dict.fromkeys(look.scale for look in drawn))
    ax.set(xlabel=words, ylabel=scales if len(drawn) > 1 else f"{drawn[0].name}: {scales}")
    if (table[metrics].min() >= 0).all():
        ax.set_ylim(bottom=0)
    _legend(ax, drawn if len(drawn) > 1 else [], set(table["arm"]))
    return ax


def _check(table: pd.DataFrame, needed: list[str], column: str) -> None:
    for name in ["arm", "dose", *needed]:
        if name not in table:
            raise ValueError(f"the table has no column {name!r}; it has {', '.join(table)}")
    if not (table.loc[table["arm"] == "dose", column] > 0).any():
        raise ValueError(f"the table has no model of the arm 'dose' with {column} above 0")


def _scale(ax: Axes, table: pd.DataFrame, column: str) -> None:
    """Make the axis logarithmic from the smallest dose on, and 0 visible, across a break."""
    doses = table[table["arm"] == "dose"].groupby("dose")[column].mean()
    least = doses[doses > 0].min()
    # The room between 0 and the smallest dose is two thirds of that of a factor of ten.
    ax.set_xscale("symlog", linthresh=least, linscale=0.6)
    ax.set_xlim(-0.4 * least, 1.7 * table[column].max())
    if column == "dose":
        ax.set_xticks(doses.index)
        ax.xaxis.set_major_formatter(FuncFormatter(lambda dose, _: _percent(dose)))
    else:
        decades = 10.0 ** np.arange(np.ceil(np.log10(least)), np.log10(ax.get_xlim()[1]))
        ax.set_xticks([0, *decades] if (doses == 0).any() else decades)
        ax.xaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,.0f}"))
    ax.xaxis.set_minor_locator(NullLocator())
    if (doses == 0).any():
        ax.text(
            least / 2, 0, "//", transform=ax.get_xaxis_transform(), ha="center", va="center",
            backgroundcolor="white", fontsize=9,
        )  # fmt: skip


def _percent(dose: float) -> str:
    return f"{100 * dose:g} %" if dose else "0"


def _draw(ax: Axes, table: pd.DataFrame, column: str, metric: str, look: Metric) -> None:
    doses = table[table["arm"] == "dose"]
    means = doses.groupby("dose")[[column, metric]].mean()
    across = means[means.index.isin([0, means.index[means.index > 0].min()])]
    ax.plot(*across.to_numpy().T, ":", color=look.colour, linewidth=1.5)
    ax.plot(*means[means.index > 0].to_numpy().T, "-", color=look.colour, linewidth=1.5)
    nth = doses.groupby("dose").cumcount()
    for place, models in doses.groupby(nth):
        _dots(ax, models, column, metric, look.colour, "o", 3 * (place - nth.max() / 2))
    for arm, (marker, _, shift) in ARMS.items():
        models = table[table["arm"] == arm]
        for place in range(len(models)):
            aside = shift + 3 * (place - (len(models) - 1) / 2)
            _dots(ax, models.iloc[[place]], column, metric, look.colour, marker, aside)


def _dots(
    ax: Axes, models: pd.DataFrame, column: str, metric: str, colour: str, marker: str, shift: float
) -> None:
    """Draw models, all moved aside by some points of the page."""
    beside = offset_copy(ax.transData, ax.figure, shift, units="points")
    face = colour if marker == "o" else "white"
    ax.scatter(
        models[column], models[metric], s=26, marker=marker, facecolor=face,
        edgecolor="white" if marker == "o" else colour, linewidth=0.6 if marker == "o" else 1.4,
        transform=beside, zorder=3,
    )  # fmt: skip
    # What is moved aside counts for nothing when the limits of the axes are chosen.
    ax.update_datalim(models[[column, metric]].to_numpy())
    ax.autoscale_view(scalex=False)


def _legend(ax: Axes, drawn: list[Metric], arms: set[str]) -> None:
    lines = [Line2D([], [], color=look.colour, marker="o", label=look.name) for look in drawn]
    markers = [
        Line2D([], [], color="black", marker=marker, markerfacecolor="white", linestyle="none",
               label=words)
        for arm, (marker, words, _) in ARMS.items() if arm in arms
    ]  # fmt: skip
    # Several flat lines leave no room inside.
    beside = {"loc": "upper left", "bbox_to_anchor": (1.01, 1)} if lines else {}
    if lines or markers:
        ax.legend(handles=lines + markers, fontsize=9, **beside)
