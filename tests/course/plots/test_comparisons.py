"""Figures of tables of results: methods, labels, costs, doses."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from ordlib.course import plots
from ordlib.tasks import load_task

COUNTING = load_task("counting")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def names(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def told(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


# ---------------------------------------------------------------- methods and labels
TABLE = pd.DataFrame({
    "method": ["NumCLIP"] * 3 + ["zero-shot"] + ["CoOp"] * 3,
    "task": ["counting"] * 2 + ["ageing"] + ["counting"] * 4,
    "image_encoder": "frozen", "seed": [0, 1, 0, 0, 0, 1, 2], "mae": [1.5, 1.9, 9.0, 4.9, 2.0, 2.7, 2.7],
})  # fmt: skip
FEW = pd.DataFrame({
    "method": ["NumCLIP"] * 4 + ["CoOp"] * 3, "shots": [8, 8, 1, 1, 1, 2, 8], "task": "counting",
    "seed": [0, 1, 0, 1, 0, 0, 0], "mae": [1.0, 2.0, 3.0, 5.0, 3.5, 3.0, 2.5],
})  # fmt: skip


def test_methods_figure_shows_every_seed_and_the_mean():
    ax = plots.method_comparison(TABLE, COUNTING)
    ax.figure.canvas.draw()
    assert names(ax.yaxis) == ["NumCLIP", "zero-shot", "CoOp"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first stands on top
    expected = [[1.5, 1.9], [4.9], [2.0, 2.7, 2.7]]
    for place, (dots, errors) in enumerate(zip(ax.collections, expected, strict=True)):
        drawn = dots.get_offsets()
        np.testing.assert_allclose(sorted(drawn[:, 0]), errors)
        assert len(set(map(tuple, drawn))) == len(errors)  # none hides another
        assert max(abs(drawn[:, 1] - place)) < 0.5
    means = np.concatenate([line.get_xydata() for line in ax.lines])
    means = means[np.isfinite(means).all(axis=1)]
    np.testing.assert_allclose(means, [[np.mean(e), i] for i, e in enumerate(expected)])
    assert [line.get_color() for line in ax.lines] == [
        plots.METHOD_COLOURS[name] for name in names(ax.yaxis)
    ]
    assert ax.get_xlabel() == "mean absolute error (objects)"


def test_few_shot_curve_joins_means_and_shows_the_spread_of_the_seeds():
    ax = plots.few_shot_curve(FEW, COUNTING)
    lines = {line.get_color(): line.get_xydata() for line in ax.lines if len(line.get_xdata())}
    coop, numclip = (plots.METHOD_COLOURS[name] for name in ("CoOp", "NumCLIP"))
    np.testing.assert_allclose(lines[numclip], [[1, 4], [8, 1.5]])
    np.testing.assert_allclose(lines[coop], [[1, 3.5], [2, 3], [8, 2.5]])
    (band,) = (c for c in ax.collections if to_hex(c.get_facecolor()[0]).upper() == numclip)
    corners = band.get_paths()[0].vertices
    for number, low, high in ((1, 3, 5), (8, 1, 2)):
        at = corners[corners[:, 0] == number, 1]
        assert (at.min(), at.max()) == (low, high)
    assert ax.get_xscale() == "log"
    assert names(ax.xaxis) == ["1", "2", "8"]
    assert ax.get_ylabel() == "mean absolute error (objects)"


def test_the_legend_lists_methods_as_their_lines_end():
    assert told(plots.few_shot_curve(FEW, COUNTING)) == ["CoOp", "NumCLIP"]
    lower = FEW.replace({"mae": {2.5: 0.5}})
    assert told(plots.few_shot_curve(lower, COUNTING)) == ["NumCLIP", "CoOp"]
    with pytest.raises(ValueError, match="shots = 0"):
        plots.few_shot_curve(FEW.assign(shots=0, seed=range(len(FEW))), COUNTING)


@pytest.mark.parametrize("figure", [plots.method_comparison, plots.few_shot_curve])
def test_tables_that_will_not_do_are_refused(figure):
    table = TABLE.assign(shots=4)
    with pytest.raises(ValueError, match="no column 'seed'; it has method, task"):
        figure(table.drop(columns="seed"), COUNTING)
    with pytest.raises(ValueError, match="no row of task 'dating'; it has counting, ageing"):
        figure(table, load_task("dating"))
    doubled = pd.concat([table, table.assign(block="lora")])
    with pytest.raises(ValueError, match=r"counting, method NumCLIP.* keep the rows of one block"):
        figure(doubled, COUNTING)


# ---------------------------------------------------------------- costs
def costs():
    rows = [
        (form, way, number, factor * step * number**power, factor * number)
        for form, power, factor in (("pairwise", 2, 1.0), ("shortcut", 1, 0.1))
        for way, step in (("forward", 1), ("forward+backward", 3))
        for number in (64, 16)
    ]
    return pd.DataFrame(rows, columns=["form", "pass", "num_images", "seconds", "peak_mib"])


@pytest.mark.parametrize("quantity", ["seconds", "peak_mib"])
def test_costs_have_a_line_for_each_form_and_pass(quantity):
    table = costs()
    ax = plots.scaling_plot(table, quantity)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert names(ax.xaxis) == ["16", "64"]
    lines = [line for line in ax.lines if len(line.get_xdata())]
    looks = {"pairwise": plots.PALETTE["red"], "shortcut": plots.PALETTE["blue"]}
    dashes = {"forward+backward": "-", "forward": "--"}
    drawn = {(line.get_color(), line.get_linestyle()): line.get_xydata() for line in lines}
    assert len(drawn) == len(lines) == 4
    for (form, way), part in table.groupby(["form", "pass"]):
        expected = sorted(zip(part["num_images"], part[quantity], strict=True))
        np.testing.assert_allclose(drawn[looks[form], dashes[way]], expected)


def test_costs_are_compared_at_the_largest_number_that_both_have():
    def words(ax):
        return [text.get_text() for text in ax.texts]

    table = costs()
    more = {"form": "shortcut", "pass": "forward+backward", "num_images": 256, "seconds": 9.0}
    # 3 * 64^2 seconds against 0.3 * 64.
    both = plots.scaling_plot(pd.concat([table, pd.DataFrame([more])]))
    assert "640 times\nfaster\nat N = 64" in words(both)
    assert "10 times\nless memory\nat N = 64" in words(plots.scaling_plot(table, "peak_mib"))
    assert not words(plots.scaling_plot(table[table["form"] == "shortcut"]))


def test_costs_refuse():
    with pytest.raises(ValueError, match="quantity = 'hours'"):
        plots.scaling_plot(costs(), "hours")
    with pytest.raises(ValueError, match="no column 'peak_mib'; it has form"):
        plots.scaling_plot(costs().drop(columns="peak_mib"), "peak_mib")
    with pytest.raises(ValueError, match="no number of peak_mib"):
        plots.scaling_plot(costs().assign(peak_mib=None), "peak_mib")
    with pytest.raises(ValueError, match="pairwise, pass forward, num_images 64 is there twice"):
        plots.scaling_plot(pd.concat([costs(), costs()]))


# ---------------------------------------------------------------- doses
def doses(**columns):
    """Two seeds of three doses and of both other arms."""
    rows = [("dose", dose, seed) for dose in (0.0, 0.01, 0.1) for seed in (0, 1)]
    rows += [
        (condition, 0.01, seed)
        for condition in ("distractor numbers", "twice the samples")
        for seed in (0, 1)
    ]
    table = pd.DataFrame(rows, columns=["condition", "count_caption_fraction", "seed"])
    seen = (
        40_000 * table["count_caption_fraction"] * (1 + (table["condition"] == "twice the samples"))
    )
    shares = [0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.25, 0.26, 0.55, 0.56]
    return table.assign(count_captions=seen, count_accuracy=shares, **columns)


def dots(ax):
    """Every dot of the figure, as (x, y) in data units."""
    return sorted(tuple(xy) for drawn in ax.collections for xy in drawn.get_offsets().tolist())


@pytest.mark.parametrize(
    ("axis", "column"), [("share", "count_caption_fraction"), ("number", "count_captions")]
)
def test_dose_response_shows_every_model_once_where_it_belongs(axis, column):
    table = doses()
    ax = plots.dose_response(table, axis=axis)
    expected = sorted(zip(table[column].tolist(), table["count_accuracy"].tolist(), strict=True))
    np.testing.assert_allclose(dots(ax), expected)
    ax.figure.canvas.draw()
    places = np.array([
        tuple(drawn.get_offset_transform().transform(xy).round(2))
        for drawn in ax.collections for xy in drawn.get_offsets()
    ])  # fmt: skip
    assert len(set(places[:, 0])) == len(table)
    assert all(ax.bbox.contains(*place) for place in places)


def test_dose_response_joins_the_means_of_doses_alone():
    dotted, solid = plots.dose_response(doses()).lines[:2]
    np.testing.assert_allclose(dotted.get_xydata(), [[0, 0.15], [0.01, 0.4]])
    np.testing.assert_allclose(solid.get_xydata(), [[0.01, 0.4], [0.1, 0.65]])
    assert (dotted.get_linestyle(), solid.get_linestyle()) == (":", "-")


def test_dose_response_shows_zero_apart_from_a_logarithmic_rest():
    for axis, ticks in (("share", ["0", "1 %", "10 %"]), ("number", ["0", "1,000"])):
        ax = plots.dose_response(doses(), axis=axis)
        ax.figure.canvas.draw()
        assert names(ax.xaxis) == ticks
        assert [text.get_text() for text in ax.texts] == ["//"]
        zero = ax.transData.transform((0, 0))[0]
        small, large = (ax.transData.transform((x, 0))[0] for x in ax.lines[1].get_xdata())
        assert ax.bbox.x0 < zero < small < large
        assert small - zero > 0.3 * (large - small)


def test_dose_response_of_several_metrics_has_a_colour_for_each():
    ax = plots.dose_response(doses(object_top1=0.9), ["count_accuracy", "object_top1"])
    arms = ["more numerals about other things", "twice the pairs"]
    assert told(ax) == ["exact count", "name of the object", *arms]
    assert len({line.get_color() for line in ax.lines if len(line.get_xdata())}) == 2
    assert len(dots(ax)) == 20
    assert ax.get_ylabel() == "share right"


def test_dose_response_refuses():
    with pytest.raises(ValueError, match="'dose' is unknown"):
        plots.dose_response(doses(), axis="dose")
    with pytest.raises(
        ValueError, match="no column 'acuracy'; it has condition, count_caption_fraction"
    ):
        plots.dose_response(doses(), "acuracy")
    with pytest.raises(
        ValueError, match="no model of the condition 'dose' with count_caption_fraction above 0"
    ):
        plots.dose_response(doses().query("condition != 'dose'"))
