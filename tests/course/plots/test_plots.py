"""Figures of predictions and of words, and the colours of all."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from ordlib.course import plots
from ordlib.course.plots.style import method_colours
from ordlib.losses import ranking_weights
from ordlib.tasks import OrdinalTask, load_task

COUNTING = load_task("counting")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def names(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape)


# ---------------------------------------------------------------- colours
def test_every_method_has_a_colour_of_its_own_and_some_are_left():
    assert len(set(plots.METHOD_COLOURS.values())) == len(plots.METHOD_COLOURS)
    assert len(set(plots.PALETTE.values()) - set(plots.METHOD_COLOURS.values())) >= 2
    colours = method_colours(["mine", "NumCLIP", "yours"])
    assert colours["NumCLIP"] == plots.METHOD_COLOURS["NumCLIP"]
    used = {*colours.values(), *plots.METHOD_COLOURS.values()}
    assert len(used) == len(plots.METHOD_COLOURS) + 2


# What the eye makes of linear red, green and blue without one of its three kinds of cones:
# Machado et al. (2009), IEEE TVCG 15(6), severity 1.
EYES = {
    "all cones": np.eye(3),
    "no red": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "no green": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "no blue": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def seen(colour, eye):
    """CIELAB of a colour as the eye sees it."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    x, y, z = XYZ @ np.clip(EYES[eye] @ linear, 0, 1) / [0.9505, 1, 1.089]
    x, y, z = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("method", ["L2RCLIP", "L2RCLIP (single stage)", "ranking adapter"])
def test_later_colours_stay_apart_for_every_eye(method, eye):
    own = plots.METHOD_COLOURS[method]
    others = [colour for colour in plots.PALETTE.values() if colour != own]
    # Colours of CIELAB that lie 20 apart cannot be mistaken for each other.
    assert min(np.linalg.norm(seen(own, eye) - seen(other, eye)) for other in others) > 20


# ---------------------------------------------------------------- labels and predictions
def test_label_histogram_counts_and_names_a_few_ranks():
    data = SimpleNamespace(task=load_task("ageing"), ranks=np.array([0, 44, 44, 89]))
    ax = plots.label_histogram(data)
    assert [p.get_height() for p in ax.patches if p.get_height()] == [1, 2, 1]
    assert 5 <= len(names(ax.xaxis)) <= 12
    assert names(ax.xaxis)[0] == "1"


def test_confusion_rows_are_true_and_sum_to_one():
    ax = plots.confusion(np.array([0, 0, 4]), np.array([0, 1, 4]), load_task("dating"))
    table = ax.collections[0].get_array().reshape(5, 5)
    np.testing.assert_allclose(table[[0, 4]], [[0.5, 0.5, 0, 0, 0], [0, 0, 0, 0, 1]])
    assert names(ax.xaxis) == list(load_task("dating").values)


def test_predicted_against_true_keeps_the_values():
    ax = plots.predicted_against_true(np.array([1.0, 4.2]), np.array([2, 4]), load_task("quality"))
    points = ax.collections[0].get_offsets()
    np.testing.assert_allclose(points[:, 1], [2, 4])
    np.testing.assert_allclose(points[:, 0], [1.0, 4.2], atol=0.25)
    assert ax.get_ylabel() == "predicted (points)"


def wilson(hits, total, z=1.959964):
    """The interval by its formula."""
    middle = (hits + z**2 / 2) / (total + z**2)
    half = z / (total + z**2) * np.sqrt(hits * (total - hits) / total + z**2 / 4)
    return middle - half, middle + half


def test_per_rank_accuracy_by_hand():
    task = load_task("quality")
    truth = np.array([1.0, 1.2, 1.4, 1.6, 2.2, 5.0, 5.0])
    ax = plots.per_rank_accuracy(truth, {"zero-shot": [1, 1.49, 3, 2.4, 1.8, 4, 1]}, task)
    line, *bars, _, chance = ax.lines
    np.testing.assert_allclose(line.get_ydata(), [2 / 3, 1, np.nan, np.nan, 0])
    ends = [bar.get_ydata() for bar in bars if np.isfinite(bar.get_ydata()).all()]
    np.testing.assert_allclose(ends, [wilson(2, 3), wilson(2, 2), wilson(0, 2)], atol=1e-6)
    assert line.get_color() == plots.METHOD_COLOURS["zero-shot"]
    assert list(chance.get_ydata()) == [0.2, 0.2]


def test_per_rank_accuracy_keeps_methods_apart():
    truth, methods = np.arange(5.0), ["mine", "linear probe", "yours"]
    ax = plots.per_rank_accuracy(truth, dict.fromkeys(methods, truth), load_task("dating"))
    lines = [line for line in ax.lines if len(line.get_xdata()) == 5]
    assert [line.get_color() for line in lines] == list(method_colours(methods).values())
    places = [line.get_xdata()[0] for line in lines]
    assert places == sorted(set(places))
    assert max(map(abs, places)) < 0.5
    told = [text.get_text() for text in ax.get_legend().get_texts()]
    assert sorted(told) == sorted([*methods, "chance"])
    with pytest.raises(ValueError, match="'a' has 1 predictions for 5 labels"):
        plots.per_rank_accuracy(truth, {"a": [1]}, load_task("dating"))


# ---------------------------------------------------------------- matrices of words and bins
def test_similarity_colours_span_what_lies_off_the_diagonal():
    features = noise(4, 6) + 5
    ax = plots.similarity(torch.tensor(features), list("abcd"))
    mesh = ax.collections[0]
    expected = [[a @ b / np.sqrt((a @ a) * (b @ b)) for b in features] for a in features]
    np.testing.assert_allclose(mesh.get_array().reshape(4, 4), expected)
    others = [expected[i][j] for i in range(4) for j in range(4) if i != j]
    np.testing.assert_allclose(mesh.get_clim(), (min(others), max(others)))
    assert mesh.colorbar.ax.get_ylabel() == "cosine similarity"
    assert ax.get_aspect() == 1


@pytest.mark.parametrize(
    ("words", "turned"),
    [([str(n) for n in range(90)], 90), (["x"] * 90, 0), (["hardly any", "a crowd of"] * 2, 30)],
)
def test_matrices_thin_names_and_turn_those_that_do_not_fit(words, turned):
    labels = plots.similarity(noise(len(words), 4), words).get_xticklabels()
    assert len(labels) == len(words) or 10 <= len(labels) <= 20
    assert {label.get_rotation() for label in labels} == {turned}


def test_ranking_matrix_shows_rows_of_own_bins():
    weights = ranking_weights(torch.arange(5), 5)
    ax = plots.fcrc_weight_heatmap(weights, COUNTING.bin_phrases)
    assert [text.get_text() for text in ax.texts[5:10]] == ["0.57", "1.00", "0.57", "1.14", "1.71"]
    assert names(ax.xaxis) == names(ax.yaxis) == list(COUNTING.bin_phrases)
    np.testing.assert_allclose(ax.collections[0].get_array().reshape(5, 5), weights)
    assert ax.collections[0].get_facecolors()[0].min() > 0.95  # weight 1 is white
    assert not plots.fcrc_weight_heatmap(np.ones((20, 20)), COUNTING.rank_names).texts  # no room
    with pytest.raises(ValueError, match=r"shape \(2, 3\) for 2 names"):
        plots.fcrc_weight_heatmap(np.ones((2, 3)), "ab")


# ---------------------------------------------------------------- rank_embedding_map
def arc(count, span=2.5):
    """Points along an arc on the sphere: the first component goes along it."""
    turns = np.linspace(0, span, count)
    return np.stack([np.cos(turns), np.sin(turns), np.full(count, 2.0)], axis=1)


def shown(ax):
    return np.asarray(ax.collections[0].get_offsets())


def test_places_and_shares_are_those_of_principal_components():
    features = noise(20, 7) + 1
    rows = np.array([row / np.sqrt(sum(x * x for x in row)) for row in features])
    rows -= rows.mean(axis=0)
    variances, directions = np.linalg.eigh(rows.T @ rows)
    # Neither the length of rows nor a gradient matters.
    longer = torch.tensor(features * np.arange(1, 21)[:, None], requires_grad=True)
    ax = plots.rank_embedding_map(longer, COUNTING)
    for i, axis in enumerate((ax.xaxis, ax.yaxis)):
        places = rows @ directions[:, -1 - i]
        np.testing.assert_allclose(np.abs(shown(ax)[:, i]), np.abs(places), atol=1e-9)
        share = variances[-1 - i] / variances.sum()
        assert f"({share:.0%} of the variance)" in axis.get_label_text()
    np.testing.assert_allclose(ax.lines[0].get_xydata(), shown(ax))
    np.testing.assert_array_equal(ax.collections[0].get_array(), range(20))
    assert ax.collections[0].colorbar.ax.get_ylabel() == "objects"


@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize("step", [1, -1])
def test_order_runs_from_left_to_right_and_over_the_top(turn, step):
    x, y = shown(plots.rank_embedding_map((arc(20) * [turn, -turn, 1])[::step], COUNTING)).T
    assert (np.diff(x) > 0).all()
    assert y[10] > max(y[0], y[-1])


@pytest.mark.parametrize(
    "features",
    [arc(90), arc(90, 6.1), noise(90, 1) ** 2 + 1, noise(90, 24), noise(2, 1), np.ones((101, 600))],
)
def test_all_ranks_are_inside_and_words_of_both_ends_apart_from_each_other(features):
    count = len(features)
    ax = plots.rank_embedding_map(
        features, OrdinalTask(name="s", unit="s", values=tuple(range(count)))
    )
    ax.figure.canvas.draw()
    assert [text.get_text() for text in ax.texts] == ["0", str(count - 1)]
    np.testing.assert_allclose([text.xy for text in ax.texts], shown(ax)[[0, -1]])
    first, last = (Text.get_window_extent(text) for text in ax.texts)
    assert not first.overlaps(last)
    corners = np.array([*first.corners(), *last.corners(), *ax.transData.transform(shown(ax))])
    assert len(corners) == 8 + count
    assert all(ax.get_window_extent().contains(*corner) for corner in corners)
    assert ax.get_aspect() == 1


@pytest.mark.parametrize("jitter", [0, 1e-9])
def test_rounding_is_not_stretched_into_structure(jitter):
    features = np.ones((5, 3)) + jitter * noise(5, 3)
    ax = plots.rank_embedding_map(features, load_task("dating"))
    assert np.diff(ax.get_xlim()) >= 1e-3
    assert "(0% of the variance)" in ax.get_xlabel()
    low, high = plots.similarity(features, list("abcde")).collections[0].get_clim()
    assert high - low == pytest.approx(1e-3)


def test_what_are_no_features_of_ranks_is_refused():
    for features, message in (
        (np.ones((1, 3)), "M >= 2"),
        (np.ones((2, 3)), "has 2 rows and"),
        ([[1, 0], [0, 0]], r"features\[1\] has length 0"),
        (torch.tensor([[torch.nan, 0], [0, 1]]), r"features\[0\] has length nan"),
    ):
        for figure, names_them in (
            (plots.similarity, COUNTING.rank_names),
            (plots.rank_embedding_map, COUNTING),
        ):
            with pytest.raises(ValueError, match=message):
                figure(features, names_them)
    assert not plt.get_fignums()
