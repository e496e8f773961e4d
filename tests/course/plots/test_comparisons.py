import numpy as np
import pandas as pd
import pytest
from figures import texts, tick_labels
from matplotlib.colors import to_hex

from ordlib.course import plots
from ordlib.metrics import Interval
from ordlib.tasks import load_task

COUNTING = load_task("counting")
TABLE = pd.DataFrame({
    "method": ["NumCLIP"] * 3 + ["zero-shot"] + ["CoOp"] * 3,
    "task": ["counting"] * 2 + ["ageing"] + ["counting"] * 4, "image_encoder": "frozen",
    "seed": [0, 1, 0, 0, 0, 1, 2], "mae": [1.5, 1.9, 9.0, 4.9, 2.0, 2.7, 2.7],
})  # fmt: skip
FEW_SHOT = pd.DataFrame({
    "method": ["NumCLIP"] * 2 + ["CoOp"] * 3, "shots": [8, 1, 1, 2, 8], "task": "counting",
    "mae": [1.5, 4.0, 3.5, 3.0, 2.5], "mae_low": [1.0, 3.0, 3.0, 2.0, 2.0],
    "mae_high": [2.0, 5.0, 4.0, 4.0, 3.0],
})  # fmt: skip
_ROWS = [
    (form, mode, number, factor * step * number**power, factor * number)
    for form, power, factor in (("pairwise", 2, 1.0), ("shortcut", 1, 0.1))
    for mode, step in (("forward", 1), ("forward+backward", 3))
    for number in (64, 16)
]
SCALING = pd.DataFrame(_ROWS, columns=["form", "pass", "num_images", "seconds", "peak_mib"])


def test_method_comparison_shows_every_seed_and_the_mean():
    ax = plots.method_comparison(TABLE, COUNTING)
    ax.figure.canvas.draw()
    methods = ["NumCLIP", "zero-shot", "CoOp"]
    assert tick_labels(ax.yaxis) == methods
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first is on top
    expected = [[1.5, 1.9], [4.9], [2.0, 2.7, 2.7]]
    for position, (dots, errors) in enumerate(zip(ax.collections, expected, strict=True)):
        points = dots.get_offsets()
        np.testing.assert_allclose(sorted(points[:, 0]), errors)
        assert len(set(map(tuple, points))) == len(errors)  # no overlap
        assert max(abs(points[:, 1] - position)) < 0.5
    means = np.concatenate([line.get_xydata() for line in ax.lines])
    means = means[np.isfinite(means).all(axis=1)]
    np.testing.assert_allclose(means, [[np.mean(e), i] for i, e in enumerate(expected)])
    assert [line.get_color() for line in ax.lines] == [plots.METHOD_COLORS[m] for m in methods]
    assert ax.get_xlabel() == "mean absolute error (objects)"


def test_few_shot_curve_shows_means_and_intervals():
    ax = plots.few_shot_curve(FEW_SHOT, COUNTING)
    lines = {line.get_color(): line.get_xydata() for line in ax.lines}
    coop, numclip = (plots.METHOD_COLORS[name] for name in ("CoOp", "NumCLIP"))
    np.testing.assert_allclose(lines[numclip], [[1, 4], [8, 1.5]])
    np.testing.assert_allclose(lines[coop], [[1, 3.5], [2, 3], [8, 2.5]])
    (band,) = (c for c in ax.collections if to_hex(c.get_facecolor()[0]).upper() == numclip)
    corners = band.get_paths()[0].vertices
    for shots, low, high in ((1, 3, 5), (8, 1, 2)):
        y = corners[corners[:, 0] == shots, 1]
        assert (y.min(), y.max()) == (low, high)
    assert ax.get_xscale() == "log"
    assert tick_labels(ax.xaxis) == ["1", "2", "8"]
    assert ax.get_ylabel() == "mean absolute error (objects)"


def test_few_shot_curve_names_its_lines_without_overlap():
    level = FEW_SHOT.assign(mae=2.0)
    ax = plots.few_shot_curve(level, COUNTING)
    ax.figure.canvas.draw()
    one, other = ax.texts
    assert {text.get_text() for text in ax.texts} == {"CoOp", "NumCLIP"}
    assert not one.get_window_extent().overlaps(other.get_window_extent())
    with pytest.raises(ValueError, match="shots = 0"):
        plots.few_shot_curve(FEW_SHOT.iloc[:1].assign(shots=0), COUNTING)
    with pytest.raises(ValueError, match="no column 'mae_low'"):
        plots.few_shot_curve(FEW_SHOT.drop(columns="mae_low"), COUNTING)


@pytest.mark.parametrize(
    ("figure", "table", "column", "key"),
    [
        (plots.method_comparison, TABLE, "seed", "method NumCLIP.* rows of one image encoder"),
        (plots.few_shot_curve, FEW_SHOT, "shots", "method NumCLIP, shots 8: has more than one"),
    ],
)
def test_figures_of_tables_reject_invalid_tables(figure, table, column, key):
    with pytest.raises(ValueError, match=f"no column '{column}'; it has method, "):
        figure(table.drop(columns=column), COUNTING)
    with pytest.raises(ValueError, match="no row of task 'dating'; it has counting"):
        figure(table, load_task("dating"))
    with pytest.raises(ValueError, match=key):
        figure(pd.concat([table, table]), COUNTING)


def test_interval_plot_shows_estimates_and_intervals():
    intervals = {"a": Interval(0.5, 0.2, 0.9), "b": Interval(-1.0, np.nan, np.nan)}
    ax = plots.interval_plot(intervals, "difference")
    assert tick_labels(ax.yaxis) == ["a", "b"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    dots = ax.lines[0].get_xydata()
    np.testing.assert_allclose(dots, [[0.5, 0], [-1, 1]])
    (bars,) = ax.containers[0].lines[2]
    ends = [segment[:, 0] for segment in bars.get_segments()]
    np.testing.assert_allclose(ends, [[0.2, 0.9], [-1, -1]])
    with pytest.raises(ValueError, match="intervals: is empty"):
        plots.interval_plot({}, "difference")


@pytest.mark.parametrize("quantity", ["seconds", "peak_mib"])
def test_scaling_plot_has_a_line_for_each_form_and_pass(quantity):
    ax = plots.scaling_plot(SCALING, quantity)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert tick_labels(ax.xaxis) == ["16", "64"]
    lines = [line for line in ax.lines if len(line.get_xdata())]
    colors = {"pairwise": plots.PALETTE["red"], "shortcut": plots.PALETTE["blue"]}
    dashes = {"forward+backward": "-", "forward": "--"}
    curves = {(line.get_color(), line.get_linestyle()): line.get_xydata() for line in lines}
    assert len(curves) == len(lines) == 4
    for (form, mode), rows in SCALING.groupby(["form", "pass"]):
        expected = sorted(zip(rows["num_images"], rows[quantity], strict=True))
        np.testing.assert_allclose(curves[colors[form], dashes[mode]], expected)


def test_scaling_plot_annotates_the_ratio_at_the_largest_common_number():
    more = {"form": "shortcut", "pass": "forward+backward", "num_images": 256, "seconds": 9.0}
    ax = plots.scaling_plot(pd.concat([SCALING, pd.DataFrame([more])]))
    assert "640 times\nfaster\nat N = 64" in texts(ax)  # 3 * 64^2 against 0.3 * 64
    ax = plots.scaling_plot(SCALING, "peak_mib")
    assert "10 times\nless memory\nat N = 64" in texts(ax)
    assert not texts(plots.scaling_plot(SCALING[SCALING["form"] == "shortcut"]))


@pytest.mark.parametrize(
    ("table", "quantity", "message"),
    [
        (SCALING, "hours", "quantity = 'hours'"),
        (SCALING.drop(columns="peak_mib"), "peak_mib", "no column 'peak_mib'; it has form"),
        (SCALING.assign(peak_mib=None), "peak_mib", "peak_mib: the table has no value"),
        (pd.concat([SCALING, SCALING]), "seconds", "pass forward, num_images 64: has more than"),
    ],
)
def test_scaling_plot_rejects_invalid_input(table, quantity, message):
    with pytest.raises(ValueError, match=message):
        plots.scaling_plot(table, quantity)
