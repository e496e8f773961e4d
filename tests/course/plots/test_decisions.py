"""Grouped intervals, verdicts on pairs and decision trees."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex

from ordlib.course import plots
from ordlib.course.plots.decisions import VERDICT_COLORS


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def table(rows, names=("method", "encoder")):
    columns = [*names, "mae", "mae_low", "mae_high"]
    return pd.DataFrame(rows, columns=columns)


ROWS = [
    ("CORN", "frozen", 2.0, 1.0, 3.0), ("CORN", "lora", 2.5, 2.0, 3.0),
    ("NumCLIP", "frozen", 1.0, 0.5, 1.5),
]  # fmt: skip


def test_grouped_intervals_draws_every_row_where_it_belongs():
    ax = plots.grouped_intervals(table(ROWS), "mae", "method", "encoder")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["CORN", "NumCLIP"]
    dots = [points for points in ax.collections if isinstance(points, PathCollection)]
    heights = dict(tuple(dot) for points in dots for dot in points.get_offsets().tolist())
    assert sorted(heights) == [1.0, 2.0, 2.5]
    assert heights[2.0] < heights[2.5] < 0.5 < heights[1.0]
    low, high = ax.get_ylim()
    assert low > high


def test_grouped_intervals_fills_the_first_hue_and_colors_methods():
    ax = plots.grouped_intervals(table(ROWS), "mae", "method", "encoder")
    filled, hollow = (
        next(points for points in ax.collections if points.get_label() == name)
        for name in ("frozen", "lora")
    )
    assert to_hex(hollow.get_facecolor()[0]) == "#ffffff"
    assert to_hex(filled.get_facecolor()[0]) == "#000000"
    as_hue = plots.grouped_intervals(table(ROWS), "mae", "encoder", "method")
    legend = {p.get_label(): p for p in as_hue.collections if p.get_label() in ("CORN", "NumCLIP")}
    for method, points in legend.items():
        expected = plots.METHOD_COLORS[method].lower()
        assert to_hex(points.get_facecolor()[0]) == expected


def test_grouped_intervals_names_a_missing_column():
    with pytest.raises(ValueError, match="no column 'spearman'"):
        plots.grouped_intervals(table(ROWS), "spearman", "method", "encoder")


METHODS = ("A", "B", "C")
PAIRS = {
    ("B", "A"): (-0.3, -0.4, -0.2),
    ("C", "A"): (0.01, -0.02, 0.04),
    ("C", "B"): (0.2, -0.1, 0.5),
}


def test_verdict_matrix_shows_row_minus_column_and_its_verdict():
    rows = [(*pair, *numbers) for pair, numbers in PAIRS.items()]
    columns = ["method", "baseline", "difference", "difference_low", "difference_high"]
    ax = plots.verdict_matrix(pd.DataFrame(rows, columns=columns), METHODS, 0.05)
    texts = {(int(t.get_position()[0]), int(t.get_position()[1])): t.get_text() for t in ax.texts}
    assert texts == {(0, 0): "-0.30", (0, 1): "0.01", (1, 1): "0.20"}
    colors = {
        (int(patch.get_x()), int(patch.get_y())): to_hex(patch.get_facecolor())
        for patch in ax.patches
    }
    verdicts = {(0, 0): "far lower", (0, 1): "equivalent", (1, 1): "undecided"}
    assert colors == {cell: to_hex(VERDICT_COLORS[name]) for cell, name in verdicts.items()}
    assert [label.get_text() for label in ax.get_yticklabels()] == ["B", "C"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["A", "B"]
    assert ax.get_legend() is None


def test_verdict_legend_names_every_color():
    ax = plots.verdict_legend(plt.subplots()[1])
    shown = {
        text.get_text(): to_hex(patch.get_facecolor())
        for text, patch in zip(
            ax.get_legend().get_texts(), ax.get_legend().get_patches(), strict=True
        )
    }
    assert len(shown) == len(VERDICT_COLORS) == len(set(shown.values()))
    assert shown["equivalent"] == to_hex(VERDICT_COLORS["equivalent"])


TREE = ("Words?", {"yes": "adapter", "no": ("Labels?", {"few": "ridge", "many": "NumCLIP"})})


def test_decision_tree_has_all_questions_answers_and_leaves():
    ax = plots.decision_tree(TREE)
    shown = {text.get_text(): text.get_position() for text in ax.texts if text.get_text()}
    assert set(shown) == {"Words?", "yes", "adapter", "no", "Labels?", "few", "ridge", "many",
                          "NumCLIP"}  # fmt: skip
    heights = [shown[leaf][1] for leaf in ("adapter", "ridge", "NumCLIP")]
    assert heights == [0, 1, 2]
    assert shown["Labels?"][1] == 1.5
    assert shown["Words?"][0] < shown["Labels?"][0] < shown["NumCLIP"][0]


def test_decision_tree_nodes_do_not_overlap():
    ax = plots.decision_tree(TREE)
    ax.figure.canvas.draw()
    nodes = [text.get_bbox_patch().get_window_extent() for text in ax.texts if text.get_text()]
    names = [text.get_text() for text in ax.texts if text.get_text()]
    boxes = dict(zip(names, nodes, strict=True))
    questions_and_leaves = ["Words?", "adapter", "Labels?", "ridge", "NumCLIP"]
    for i, one in enumerate(questions_and_leaves):
        for other in questions_and_leaves[i + 1 :]:
            assert not boxes[one].overlaps(boxes[other]), (one, other)
