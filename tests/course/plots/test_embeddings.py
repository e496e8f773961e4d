import numpy as np
import pytest
import torch
from figures import no_figures, texts, tick_labels
from matplotlib.text import Text

from ordlib.course import plots
from ordlib.losses import ranking_weights
from ordlib.tasks import OrdinalTask, load_task

COUNTING = load_task("counting")


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape)


def test_similarity_heatmap_scales_colors_to_off_diagonal_entries():
    features = noise(4, 6) + 5
    ax = plots.similarity_heatmap(torch.tensor(features), list("abcd"))
    mesh = ax.collections[0]
    expected = [[a @ b / np.sqrt((a @ a) * (b @ b)) for b in features] for a in features]
    np.testing.assert_allclose(mesh.get_array().reshape(4, 4), expected)
    off_diagonal = [expected[i][j] for i in range(4) for j in range(4) if i != j]
    np.testing.assert_allclose(mesh.get_clim(), (min(off_diagonal), max(off_diagonal)))
    assert mesh.colorbar.ax.get_ylabel() == "cosine similarity"
    assert ax.get_aspect() == 1


@pytest.mark.parametrize(
    ("names", "rotation"),
    [([str(n) for n in range(90)], 90), (["x"] * 90, 0), (["hardly any", "a crowd of"] * 2, 30)],
    ids=["many", "short", "few"],
)
def test_similarity_heatmap_thins_and_rotates_tick_labels(names, rotation):
    labels = plots.similarity_heatmap(noise(len(names), 4), names).get_xticklabels()
    assert len(labels) == len(names) or 10 <= len(labels) <= 20
    assert {label.get_rotation() for label in labels} == {rotation}


def test_fcrc_weight_heatmap_has_own_bins_as_rows():
    weights = ranking_weights(torch.arange(5), 5)
    ax = plots.fcrc_weight_heatmap(weights, COUNTING.bin_phrases)
    assert texts(ax)[5:10] == ["0.57", "1.00", "0.57", "1.14", "1.71"]
    assert tick_labels(ax.xaxis) == tick_labels(ax.yaxis) == list(COUNTING.bin_phrases)
    np.testing.assert_allclose(ax.collections[0].get_array().reshape(5, 5), weights)
    assert ax.collections[0].get_facecolors()[0].min() > 0.95  # weight 1 is white
    assert not plots.fcrc_weight_heatmap(np.ones((20, 20)), COUNTING.rank_names).texts  # no room
    with pytest.raises(ValueError, match=r"weights has shape \(2, 3\) for 2 names"):
        plots.fcrc_weight_heatmap(np.ones((2, 3)), "ab")


def arc(count, span=2.5):
    """Points on an arc of the sphere, which the first component follows."""
    angles = np.linspace(0, span, count)
    return np.stack([np.cos(angles), np.sin(angles), np.full(count, 2.0)], axis=1)


def points(ax):
    return np.asarray(ax.collections[0].get_offsets())


def test_rank_embedding_map_equals_eigendecomposition():
    features = noise(20, 7) + 1
    rows = np.array([row / np.sqrt(sum(x * x for x in row)) for row in features])
    rows -= rows.mean(axis=0)
    variances, directions = np.linalg.eigh(rows.T @ rows)
    # Neither the norm of the rows nor a gradient matters.
    scaled = torch.tensor(features * np.arange(1, 21)[:, None], requires_grad=True)
    ax = plots.rank_embedding_map(scaled, COUNTING)
    for i, axis in enumerate((ax.xaxis, ax.yaxis)):
        component = rows @ directions[:, -1 - i]
        np.testing.assert_allclose(np.abs(points(ax)[:, i]), np.abs(component), atol=1e-9)
        share = variances[-1 - i] / variances.sum()
        assert f"({share:.0%} of the variance)" in axis.get_label_text()
    np.testing.assert_allclose(ax.lines[0].get_xydata(), points(ax))
    np.testing.assert_array_equal(ax.collections[0].get_array(), range(20))
    assert ax.collections[0].colorbar.ax.get_ylabel() == "objects"


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("step", [1, -1])
def test_rank_embedding_map_runs_from_left_to_right_over_the_top(sign, step):
    x, y = points(plots.rank_embedding_map((arc(20) * [sign, -sign, 1])[::step], COUNTING)).T
    assert (np.diff(x) > 0).all()
    assert y[10] > max(y[0], y[-1])


@pytest.mark.parametrize(
    "features",
    [arc(90), arc(90, 6.1), noise(90, 1) ** 2 + 1, noise(90, 24), noise(2, 1), np.ones((101, 600))],
    ids=["arc", "closed", "line", "noise", "two", "constant"],
)
def test_rank_embedding_map_keeps_points_and_names_inside_without_overlap(features):
    count = len(features)
    task = OrdinalTask(name="s", unit="s", values=tuple(range(count)))
    ax = plots.rank_embedding_map(features, task)
    ax.figure.canvas.draw()
    assert texts(ax) == ["0", str(count - 1)]
    np.testing.assert_allclose([text.xy for text in ax.texts], points(ax)[[0, -1]])
    first, last = (Text.get_window_extent(text) for text in ax.texts)
    assert not first.overlaps(last)
    corners = np.array([*first.corners(), *last.corners(), *ax.transData.transform(points(ax))])
    assert len(corners) == 8 + count
    assert all(ax.get_window_extent().contains(*corner) for corner in corners)
    assert ax.get_aspect() == 1


@pytest.mark.parametrize("jitter", [0, 1e-9])
def test_figures_of_features_ignore_rounding_noise(jitter):
    features = np.ones((5, 3)) + jitter * noise(5, 3)
    ax = plots.rank_embedding_map(features, load_task("dating"))
    assert np.diff(ax.get_xlim()) >= 1e-3
    assert "(0% of the variance)" in ax.get_xlabel()
    low, high = plots.similarity_heatmap(features, list("abcde")).collections[0].get_clim()
    assert high - low == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.ones((1, 3)), "M >= 2"),
        (np.ones((2, 3)), "features has 2 rows"),
        ([[1, 0], [0, 0]], r"features\[1\]"),
        (torch.tensor([[torch.nan, 0], [0, 1]]), r"features\[0\]"),
    ],
)
def test_figures_of_features_reject_invalid_features(features, message):
    with pytest.raises(ValueError, match=message):
        plots.similarity_heatmap(features, COUNTING.rank_names)
    with pytest.raises(ValueError, match=message):
        plots.rank_embedding_map(features, COUNTING)
    assert no_figures()
