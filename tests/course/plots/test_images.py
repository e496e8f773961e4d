import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from figures import no_figures, texts, title
from matplotlib.colors import to_hex

from ordlib.course import plots
from ordlib.course.plots.images import rank_displacement
from ordlib.data import ImageData
from ordlib.tasks import load_task

IMAGE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)


def make_data(values, name="counting", size=(8, 8)):
    """Image k has the constant value k."""
    shades = np.arange(len(values), dtype=np.uint8)[:, None, None, None]
    images = np.broadcast_to(shades, (len(values), *size, 3)).copy()
    metadata = pd.DataFrame({"n": range(len(values))})
    return ImageData(load_task(name), images, np.array(values, float), metadata, "k", "val")


def test_contact_sheet_fills_rows():
    images = [np.full((16, 16, 3), shade, np.uint8) for shade in (10, 20, 30)]
    sheet = plots.contact_sheet(images, columns=2).images[0].get_array()
    assert [sheet[4, 4, 0], sheet[4, 22, 0], sheet[22, 4, 0]] == [10, 20, 30]
    assert sheet[22, 22, 0] == 255
    with pytest.raises(ValueError, match="titles has 1 entries for 3 images"):
        plots.contact_sheet(images, ["a"])
    with pytest.raises(ValueError, match="at least one"):
        plots.contact_sheet([])


def test_ranking_strip_sorts_by_score():
    ax = plots.ranking_strip(make_data([3, 1, 2]), [0.5, -1.0, 0.1])
    assert [image.get_array()[0, 0, 0] for image in ax.images] == [1, 2, 0]
    assert texts(ax) == ["1", "2", "3"]
    left = [image.get_extent()[0] for image in ax.images]
    assert left == sorted(left)
    assert not ax.patches
    assert "0 of 3 out of place; Spearman over all 3: +1.00" in title(ax)
    ax = plots.ranking_strip(make_data(np.arange(1, 21).repeat(5)), np.arange(100), num_images=5)
    assert [image.get_array()[0, 0, 0] for image in ax.images] == [0, 25, 50, 74, 99]
    assert "Spearman over all 100" in title(ax)


@pytest.mark.parametrize("seed", range(5))
def test_rank_displacement_equals_naive_search(seed):
    values = np.random.default_rng(seed).integers(0, 5, 12)
    ascending = sorted(values)
    for position, displacement in enumerate(rank_displacement(values)):
        candidates = [k - position for k in range(12) if ascending[k] == values[position]]
        assert displacement == min(candidates, key=abs)


def test_ranking_strip_marks_displaced_images():
    # In ascending order 9 is last; the others are displaced by one position, which is tolerated.
    ax = plots.ranking_strip(make_data([9, 1, 2, 3, 4]), np.arange(5))
    assert texts(ax) == ["9 →", "1", "2", "3", "4"]
    (frame,) = ax.patches
    assert frame.get_xy() == tuple(np.array(ax.images[0].get_extent())[[0, 2]])
    assert to_hex(frame.get_edgecolor()).upper() == plots.PALETTE["red"]
    assert "1 of 5 out of place" in title(ax)
    assert texts(plots.ranking_strip(make_data([2, 3, 1]), np.arange(3))) == ["2", "3", "← 1"]


def test_ranking_strip_accepts_wide_images_and_equal_labels_between_ranks():
    ax = plt.subplots()[1]
    data = make_data([1.25, 1.25], "quality", (10, 30))
    assert plots.ranking_strip(data, [1, 2], ax=ax) is ax
    assert texts(ax) == ["1.25", "1.25"]
    assert ax.images[0].get_array().shape == (10, 10, 3)
    assert "over all 2: undefined" in title(ax)


@pytest.mark.parametrize(
    ("scores", "num_images", "message"),
    [
        ([1, 2], 12, r"scores has shape \(2,\) for 3 images"),
        ([1, np.nan, 2], 12, r"scores\[1\] = nan"),
        ([1, 2, 3], 1, "num_images = 1"),
    ],
)
def test_ranking_strip_rejects_invalid_input(scores, num_images, message):
    with pytest.raises(ValueError, match=message):
        plots.ranking_strip(make_data([1, 2, 3]), scores, num_images)
    assert no_figures()


def test_occlusion_maps_share_one_scale():
    maps = {"stars": np.array([[1.0, 0.0], [0.0, -0.5]]), "cats": np.full((2, 2), 0.25)}
    ax = plots.occlusion_maps(IMAGE, maps)
    assert texts(ax) == ["the image", "stars", "cats"]
    image, grey, stars, _, cats = (np.asarray(image.get_array()) for image in ax.images)
    assert np.array_equal(image, IMAGE)
    assert (grey[..., 0] == grey[..., 1]).all()
    # Opacity is proportional to the magnitude; positive values are red, negative ones blue.
    np.testing.assert_allclose(stars[..., 3], 0.85 * abs(maps["stars"]))
    np.testing.assert_allclose(cats[..., 3], 0.85 * 0.25)
    assert stars[0, 0, 0] > stars[0, 0, 2]
    assert stars[1, 1, 0] < stars[1, 1, 2]
    extents = [image.get_extent() for image in ax.images]
    assert extents[1] == extents[2] != extents[3] == extents[4]
    assert extents[0][2:] == extents[2][2:]
    assert ax.images[2].origin == "upper"  # the first row is on top
    assert ax.get_ylim()[0] < ax.get_ylim()[1]
    color_bar = ax.figure.axes[1]
    assert color_bar.get_ylim() == (-1, 1)
    assert "adds to the score" in color_bar.get_ylabel()


def test_occlusion_maps_draws_zeros_and_long_prompts_with_dollars():
    ax = plots.occlusion_maps(IMAGE, {"$5} " * 30: np.zeros((3, 3))})
    ax.figure.canvas.draw()
    assert max(map(len, texts(ax)[1].split("\n"))) < 30


@pytest.mark.parametrize(
    "maps", [{}, {"a": np.ones((2, 3))}, {"a": np.ones(4)}, {"a": [[np.nan]]}], ids=str
)
def test_occlusion_maps_rejects_invalid_maps(maps):
    with pytest.raises(ValueError, match=r"maps\['a'\]" if maps else "at least one map"):
        plots.occlusion_maps(IMAGE, maps)
    assert no_figures()
