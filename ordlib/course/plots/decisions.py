"""Figures for decisions: intervals side by side, verdicts on pairs of methods, decision trees."""

from collections.abc import Mapping, Sequence
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from ...metrics import Interval, classify_difference
from .comparisons import check_columns
from .style import PALETTE, method_colors

# By the verdict; "far" if the whole interval lies beyond the margin.
VERDICT_COLORS = {
    "far lower": "#5DB998", "lower": "#BFE5D8", "equivalent": "#D9D9D9", "undecided": "white",
    "higher": "#F7D3BE", "far higher": "#E8935F",
}  # fmt: skip
VERDICT_LABELS = {
    "far lower": "row better by more than the margin", "lower": "row better",
    "equivalent": "equivalent", "undecided": "undecided", "higher": "row worse",
    "far higher": "row worse by more than the margin",
}  # fmt: skip
# A question with its answers, each of which leads to another question or to a leaf.
Tree = tuple[str, Mapping[str, "Tree | str"]]
TREE_WIDTH, COLUMN_WIDTH, LEAF_HEIGHT = 18, 2.75, 1.25


def grouped_intervals(
    intervals: pd.DataFrame, name: str, y: str, hue: str, ax: Axes | None = None
) -> Axes:
    """Dots with their intervals: a line for each value of ``y``, and on it one for each ``hue``.

    Methods have their colors, whichever of the two they are; if they are ``y``, all values of
    ``hue`` but the first are drawn hollow. Values keep their order in the table, the first on top.

    Args:
        intervals: columns ``y``, ``hue``, NAME, NAME_low and NAME_high; ends may be NaN.
        name: of the metric.
        y, hue: names of columns; together they identify a row.
        ax: axes to draw on.
    """
    check_columns(intervals, [y, hue, name, f"{name}_low", f"{name}_high"])
    lines, hues = list(intervals[y].unique()), list(intervals[hue].unique())
    ax = ax or plt.subplots(figsize=(7, 0.25 * len(lines) * len(hues) + 1))[1]
    colors = method_colors(lines if y == "method" else hues)
    for position, (value, rows) in enumerate(intervals.groupby(hue, sort=False)):
        estimate, low, high = (rows[name + end].to_numpy() for end in ("", "_low", "_high"))
        heights = np.array([lines.index(line) for line in rows[y]], dtype=float)
        heights += 0.7 * ((position + 0.5) / len(hues) - 0.5)
        of_rows = [colors[row] for row in (rows[y] if y == "method" else rows[hue])]
        ax.hlines(heights, low, high, colors=of_rows, linewidth=1.6)
        faces = "white" if y == "method" and position else of_rows
        ax.scatter(estimate, heights, s=34, facecolor=faces, edgecolor=of_rows, zorder=3)
        ax.scatter(
            [], [], s=34, label=value,
            facecolor="white" if y == "method" and position else colors.get(value, "black"),
            edgecolor=colors.get(value, "black"),
        )  # fmt: skip
    ax.set(yticks=range(len(lines)), yticklabels=lines, xlabel=name)
    ax.set_ylim(len(lines) - 0.5, -0.5)
    return ax


def verdict_matrix(
    differences: pd.DataFrame, methods: Sequence[str], margin: float, ax: Axes | None = None
) -> Axes:
    """Differences of an error between all pairs of methods, row minus column, colored by verdict.

    See :func:`~ordlib.metrics.classify_difference`.

    Args:
        differences: as :func:`~ordlib.experiments.results.paired_differences` returns them, of one
            metric and task.
        methods: in the order of the rows.
        margin: the largest difference that does not matter, in the unit of the metric.
        ax: axes to draw on.
    """
    check_columns(differences, ["method", "baseline", "difference"])
    found = differences.set_index(["method", "baseline"])
    ax = ax or plt.subplots(figsize=(6, 4.5))[1]
    columns = ["difference", "difference_low", "difference_high"]
    for row, method in enumerate(methods[1:]):
        for column, baseline in enumerate(methods[: row + 1]):
            interval = Interval(*found.loc[(method, baseline), columns])
            color = VERDICT_COLORS[_verdict(interval, margin)]
            ax.add_patch(plt.Rectangle((column, row), 1, 1, facecolor=color, edgecolor="#888888"))
            number = f"{round(interval.estimate, 2) + 0.0:.2f}"
            ax.text(column + 0.5, row + 0.5, number, ha="center", va="center", fontsize=9)
    count = len(methods) - 1
    ax.set(xlim=(0, count), ylim=(count, 0))
    ax.set_xticks(np.arange(count) + 0.5, methods[:-1], rotation=30, ha="right")
    ax.set_yticks(np.arange(count) + 0.5, methods[1:])
    ax.grid(visible=False)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    return ax


def verdict_legend(ax: Axes) -> Axes:
    """Draw the legend of :func:`verdict_matrix` on axes of its own."""
    handles = [
        Patch(facecolor=VERDICT_COLORS[name], edgecolor="#888888", label=label)
        for name, label in VERDICT_LABELS.items()
    ]
    ax.legend(handles=handles, loc="center", fontsize=11, frameon=False)
    ax.set_axis_off()
    return ax


def _verdict(interval: Interval, margin: float) -> str:
    verdict = classify_difference(interval, margin)
    is_far = interval.high < -margin or interval.low > margin
    return f"far {verdict}" if is_far else verdict


def decision_tree(tree: Tree, ax: Axes | None = None) -> Axes:
    """Draw a decision tree from left to right: questions, answers, and what to use.

    Args:
        tree: a question and, by answer, another tree or the text of a leaf.
        ax: axes to draw on.

    Example:
        >>> ax = decision_tree(("Many labels?", {"yes": "NumCLIP", "no": "ridge"}))
        >>> sorted(text.get_text() for text in ax.texts)
        ['Many labels?', 'NumCLIP', 'no', 'ridge', 'yes']
    """
    leaves, depth = _count_leaves(tree), _depth(tree)
    ax = ax or plt.subplots(figsize=(COLUMN_WIDTH * depth + 2.2, LEAF_HEIGHT * leaves + 0.3))[1]
    _draw_tree(ax, tree, depth=0, first_leaf=0)
    ax.set(xlim=(-0.05, depth + 0.75), ylim=(leaves - 0.45, -0.55))
    ax.set_axis_off()
    return ax


def _draw_tree(ax: Axes, tree: Tree | str, depth: int, first_leaf: int) -> float:
    """Draw a tree whose leaves have the heights from ``first_leaf`` on; return its own height."""
    if isinstance(tree, str):
        _draw_node(ax, depth, first_leaf, tree, PALETTE["green"], "#E3F4EC")
        return first_leaf
    question, answers = tree
    heights = {}
    for answer, child in answers.items():
        heights[answer] = _draw_tree(ax, child, depth + 1, first_leaf)
        first_leaf += _count_leaves(child)
    height = float(np.mean([*heights.values()]))
    for answer, of_child in heights.items():
        # From behind the question, which hides the beginning of the line.
        ax.plot([depth + 0.2, depth + 1], [height, of_child], color="#888888", lw=1.2, zorder=1)
        ax.text(
            depth + 0.77, height + 0.71 * (of_child - height), answer, ha="center", va="center",
            fontsize=9, zorder=2, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )  # fmt: skip
    _draw_node(ax, depth, height, question, "#7A7A7A", "white")
    return height


def _draw_node(ax: Axes, x: float, y: float, text: str, edge: str, face: str) -> None:
    box = {"boxstyle": "round,pad=0.4", "facecolor": face, "edgecolor": edge, "linewidth": 1.4}
    wrapped = "\n".join(fill(line, TREE_WIDTH) for line in text.splitlines())
    ax.text(x, y, wrapped, va="center", fontsize=9.5, color="black", bbox=box, zorder=3)


def _count_leaves(tree: Tree | str) -> int:
    return 1 if isinstance(tree, str) else sum(_count_leaves(child) for child in tree[1].values())


def _depth(tree: Tree | str) -> int:
    return 0 if isinstance(tree, str) else 1 + max(_depth(child) for child in tree[1].values())
