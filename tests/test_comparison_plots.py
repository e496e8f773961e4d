import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from ordlib.course import plots
from ordlib.course.plots._tables import method_colours
from ordlib.losses import ranking_weights
from ordlib.tasks import load_task

COUNTING = load_task("counting")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def records(*rows):
    return pd.DataFrame(rows, columns=["method", "task", "block", "seed", "mae"])


TABLE = records(
    ("NumCLIP", "counting", "frozen", 0, 1.5), ("NumCLIP", "counting", "frozen", 1, 1.9),
    ("NumCLIP", "ageing", "frozen", 0, 9.0), ("zero-shot", "counting", "frozen", 0, 4.9),
    ("CoOp", "counting", "frozen", 0, 2.0), ("CoOp", "counting", "frozen", 1, 2.5),
    ("CoOp", "counting", "frozen", 2, 2.7),
)  # fmt: skip


def names(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_methods_figure_shows_every_seed_and_the_mean():
    ax = plots.methods_figure(TABLE, COUNTING)
    assert names(ax.yaxis) == ["NumCLIP", "zero-shot", "CoOp"]
    expected = [[1.5, 1.9], [4.9], [2.0, 2.5, 2.7]]
    for place, (dots, line, errors) in enumerate(
        zip(ax.collections, ax.lines, expected, strict=True)
    ):
        shown = dots.get_offsets()
        np.testing.assert_allclose(shown[:, 0], errors)
        assert len(set(shown[:, 1])) == len(errors)
        assert max(abs(shown[:, 1] - place)) < 0.5
        np.testing.assert_allclose(line.get_xdata(), np.mean(errors))
        assert np.mean(line.get_ydata()) == place
    assert ax.get_xlabel() == "mean absolute error (objects)"


def test_the_first_method_stands_on_top():
    low, high = plots.methods_figure(TABLE, COUNTING).get_ylim()
    assert low > high


@pytest.mark.parametrize("method", ["NumCLIP", "CoOp", "zero-shot"])
def test_a_method_has_its_colour_in_both_figures(method):
    place = ["NumCLIP", "zero-shot", "CoOp"].index(method)
    assert (
        plots.methods_figure(TABLE, COUNTING).lines[place].get_color()
        == (plots.METHOD_COLOURS[method])
    )
    lines = plots.few_shot_curve(TABLE.assign(shots=2), COUNTING).lines
    (line,) = [line for line in lines if line.get_label() == method]
    assert line.get_color() == plots.METHOD_COLOURS[method]


def test_methods_without_a_colour_get_one_of_their_own():
    colours = method_colours(["mine", "NumCLIP", "yours"])
    assert len({*colours.values(), *plots.METHOD_COLOURS.values()}) == (
        len(plots.METHOD_COLOURS) + 2
    )


def shots(*rows):
    table = pd.DataFrame(rows, columns=["method", "shots", "seed", "mae"])
    return table.assign(task="counting")


FEW = shots(
    ("NumCLIP", 8, 0, 1.0), ("NumCLIP", 8, 1, 2.0), ("NumCLIP", 1, 0, 3.0),
    ("NumCLIP", 1, 1, 5.0), ("CoOp", 1, 0, 3.5), ("CoOp", 2, 0, 3.0), ("CoOp", 8, 0, 2.5),
)  # fmt: skip


def test_few_shot_curve_joins_means_in_the_order_of_shots():
    ax = plots.few_shot_curve(FEW, COUNTING)
    lines = {line.get_label(): line for line in ax.lines}
    np.testing.assert_allclose(lines["NumCLIP"].get_xydata(), [[1, 4], [8, 1.5]])
    np.testing.assert_allclose(lines["CoOp"].get_xydata(), [[1, 3.5], [2, 3], [8, 2.5]])
    assert ax.get_xscale() == "log"
    assert names(ax.xaxis) == ["1", "2", "8"]
    assert ax.get_ylabel() == "mean absolute error (objects)"


def test_few_shot_curve_shows_the_spread_of_the_seeds():
    ax = plots.few_shot_curve(FEW[FEW["method"] == "NumCLIP"], COUNTING)
    corners = ax.collections[0].get_paths()[0].vertices
    for number, low, high in ((1, 3, 5), (8, 1, 2)):
        at = corners[corners[:, 0] == number, 1]
        assert (at.min(), at.max()) == (low, high)


def test_the_legend_lists_methods_as_their_lines_end():
    for table, expected in (
        (FEW, ["CoOp", "NumCLIP"]),
        (FEW.replace({"mae": {2.5: 0.5}}), ["NumCLIP", "CoOp"]),
    ):
        legend = plots.few_shot_curve(table, COUNTING).get_legend()
        assert [text.get_text() for text in legend.get_texts()] == expected


@pytest.mark.parametrize("figure", [plots.methods_figure, plots.few_shot_curve])
def test_tables_that_will_not_do_are_refused(figure):
    table = TABLE.assign(shots=4)
    with pytest.raises(ValueError, match="no column 'seed'; it has method, task"):
        figure(table.drop(columns="seed"), COUNTING)
    with pytest.raises(ValueError, match="no row of task 'dating'; it has counting, ageing"):
        figure(table, load_task("dating"))
    doubled = pd.concat([table, table.assign(block="lora")])
    with pytest.raises(ValueError, match=r"counting: method NumCLIP.* keep the rows of one block"):
        figure(doubled, COUNTING)


def test_no_labels_have_no_place_on_a_logarithmic_axis():
    with pytest.raises(ValueError, match="shots = 0"):
        plots.few_shot_curve(FEW.assign(shots=0, seed=range(len(FEW))), COUNTING)


def test_ranking_matrix_shows_rows_of_own_bins():
    weights = ranking_weights(torch.arange(5), 5)
    ax = plots.ranking_matrix(weights, COUNTING.bin_phrases)
    assert [text.get_text() for text in ax.texts[5:10]] == ["0.57", "1.00", "0.57", "1.14", "1.71"]
    assert names(ax.xaxis) == names(ax.yaxis) == list(COUNTING.bin_phrases)
    np.testing.assert_allclose(ax.collections[0].get_array().reshape(5, 5), weights)
    colours = ax.collections[0].get_facecolors()
    assert colours[0].min() > 0.95  # weight 1 is white


def test_ranking_matrix_takes_lists_and_leaves_numbers_out_where_they_do_not_fit():
    assert len(plots.ranking_matrix([[1, 2], [2, 1]], "ab").texts) == 4
    weights = ranking_weights(torch.arange(20), 20)
    assert not plots.ranking_matrix(weights, COUNTING.words).texts


def test_ranking_matrix_refuses():
    with pytest.raises(ValueError, match=r"shape \(2, 3\) for 2 names"):
        plots.ranking_matrix(np.ones((2, 3)), "ab")
