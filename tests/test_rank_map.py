"""The map of ranks, against principal components by hand."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.text import Text

from ordlib.course import plots
from ordlib.tasks import OrdinalTask, load_task

COUNTING = load_task("counting")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def ranks(count):
    return OrdinalTask(name="steps", unit="steps", values=tuple(range(count)))


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape)


def arc(count, span=2.5):
    """Points along an arc on the sphere: the first component goes along it."""
    turns = np.linspace(0, span, count)
    return np.stack([np.cos(turns), np.sin(turns), np.full(count, 2.0)], axis=1)


def shown(ax):
    """Places of the ranks, as they are drawn."""
    return np.asarray(ax.collections[0].get_offsets())


def test_places_and_shares_are_those_of_principal_components():
    features = noise(20, 7) + 1
    rows = np.array([row / np.sqrt(sum(x * x for x in row)) for row in features])
    rows -= rows.mean(axis=0)
    variances, directions = np.linalg.eigh(rows.T @ rows)
    ax = plots.rank_map(features, COUNTING)
    for i, axis in enumerate((ax.xaxis, ax.yaxis)):
        places = rows @ directions[:, -1 - i]
        np.testing.assert_allclose(np.abs(shown(ax)[:, i]), np.abs(places), atol=1e-9)
        share = variances[-1 - i] / variances.sum()
        assert f"({share:.0%} of the variance)" in axis.get_label_text()


def test_neighbours_are_joined_and_coloured_by_rank():
    ax = plots.rank_map(noise(20, 7), COUNTING)
    np.testing.assert_allclose(ax.lines[0].get_xydata(), shown(ax))
    np.testing.assert_array_equal(ax.collections[0].get_array(), range(20))
    assert ax.collections[0].colorbar.ax.get_ylabel() == "objects"


@pytest.mark.parametrize("turn", [1, -1])
def test_order_runs_from_left_to_right_and_over_the_top(turn):
    features = arc(20) * [turn, -turn, 1]
    x, y = shown(plots.rank_map(features, COUNTING)).T
    assert (np.diff(x) > 0).all()
    assert y[10] > max(y[0], y[-1])
    x, y = shown(plots.rank_map(features[::-1], COUNTING)).T
    assert (np.diff(x) > 0).all()
    assert y[10] > max(y[0], y[-1])


def test_length_of_rows_does_not_matter():
    features = noise(20, 7)
    longer = features * np.arange(1, 21)[:, None]
    np.testing.assert_allclose(
        shown(plots.rank_map(longer, COUNTING)), shown(plots.rank_map(features, COUNTING))
    )


def test_a_tensor_with_gradient_is_as_good_as_an_array():
    features = torch.tensor(noise(20, 7), requires_grad=True)
    ax = plots.rank_map(features, COUNTING)
    np.testing.assert_allclose(shown(ax), shown(plots.rank_map(noise(20, 7), COUNTING)))
    assert features.requires_grad


def boxes(ax):
    """Where words stand, in pixels, without the lines to their points."""
    ax.figure.canvas.draw()
    return [Text.get_window_extent(text) for text in ax.texts]


def test_first_and_last_and_a_few_words_stand_by_their_points():
    ax = plots.rank_map(arc(20), COUNTING)
    assert [text.get_text() for text in ax.texts] == [
        "one", "five", "nine", "twelve", "sixteen", "twenty"
    ]  # fmt: skip
    for text in ax.texts:
        rank = COUNTING.words.index(text.get_text())
        np.testing.assert_allclose(text.xy, shown(ax)[rank])


@pytest.mark.parametrize("features", [arc(90), noise(90, 24), noise(90, 1) ** 2 + 1])
def test_words_stand_apart_and_inside(features):
    ax = plots.rank_map(features, load_task("ageing"))
    words = [text.get_text() for text in ax.texts]
    assert (words[0], words[-1]) == ("one", "ninety")
    found = boxes(ax)
    apart = [a.overlaps(b) for i, a in enumerate(found) for b in found[:i]]
    frame = ax.get_window_extent()
    assert not any(apart)
    assert all(frame.contains(*corner) for box in found for corner in (box.min, box.max))


@pytest.mark.parametrize("count", [2, 3, 101])
@pytest.mark.parametrize("width", [1, 2, 600])
def test_any_number_of_ranks_and_numbers(count, width):
    ax = plots.rank_map(noise(count, width), ranks(count))
    assert shown(ax).shape == (count, 2)
    assert np.isfinite(shown(ax)).all()
    assert ax.get_aspect() == 1
    assert ax.texts[0].get_text() == "0"
    assert ax.texts[-1].get_text() == str(count - 1)
    low, high = np.array([ax.get_xlim(), ax.get_ylim()]).T
    assert ((low < shown(ax)) & (shown(ax) < high)).all()


@pytest.mark.parametrize("jitter", [0, 1e-9])
def test_rounding_is_not_stretched_into_distance(jitter):
    ax = plots.rank_map(np.ones((5, 3)) + jitter * noise(5, 3), ranks(5))
    assert np.diff(ax.get_xlim()) >= 1e-3
    assert "(0% of the variance)" in ax.get_xlabel()


def test_it_draws_where_it_is_told():
    ax = plt.subplots()[1]
    assert plots.rank_map(noise(20, 7), COUNTING, ax) is ax


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.ones((1, 3)), "M >= 2"),
        (np.ones(3), "M >= 2"),
        (np.ones((2, 3)), "2 rows and counting 20 ranks"),
        ([[1, 0], [0, 0]], r"features\[1\] has length 0"),
        (torch.tensor([[torch.nan, 0], [0, 1]]), r"features\[0\] has length nan"),
    ],
)
def test_rank_map_refuses(features, message):
    with pytest.raises(ValueError, match=message):
        plots.rank_map(features, COUNTING)
    assert not plt.get_fignums()
