"""Pictures side by side: sheets, strips in order, maps over patches."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from ordlib.course import plots
from ordlib.course.plots.pictures import places_off
from ordlib.data import ImageData
from ordlib.tasks import load_task


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def data(values, name="counting", side=(8, 8)):
    """Picture k is of shade k throughout."""
    shades = np.arange(len(values), dtype=np.uint8)[:, None, None, None]
    images = np.broadcast_to(shades, (len(values), *side, 3)).copy()
    frame = pd.DataFrame({"n": range(len(values))})
    return ImageData(
        task=load_task(name), images=images, values=np.array(values, float), metadata=frame,
        fingerprint="k", split="val",
    )  # fmt: skip


def words(ax):
    return [text.get_text() for text in ax.texts]


def title(ax):
    return ax.get_title(loc="left")


def test_contact_sheet_puts_every_picture_in_its_place():
    pictures = [np.full((16, 16, 3), shade, np.uint8) for shade in (10, 20, 30)]
    ax = plots.contact_sheet(pictures, columns=2)
    sheet = ax.images[0].get_array()
    assert [sheet[4, 4, 0], sheet[4, 22, 0], sheet[22, 4, 0]] == [10, 20, 30]
    assert sheet[22, 22, 0] == 255
    with pytest.raises(ValueError, match="3 pictures and 1 titles"):
        plots.contact_sheet(pictures, ["a"])
    with pytest.raises(ValueError, match="at least one"):
        plots.contact_sheet([])


# ---------------------------------------------------------------- ranking_strip
def test_a_strip_goes_from_the_lowest_score_to_the_highest():
    ax = plots.ranking_strip(data([3, 1, 2]), [0.5, -1.0, 0.1])
    assert [image.get_array()[0, 0, 0] for image in ax.images] == [1, 2, 0]
    assert words(ax) == ["1", "2", "3"]
    lefts = [image.get_extent()[0] for image in ax.images]
    assert lefts == sorted(lefts)
    assert not ax.patches
    assert "0 of 3 out of place; Spearman over all 3: +1.00" in title(ax)
    ax = plots.ranking_strip(data(np.arange(1, 21).repeat(5)), np.arange(100), count=5)
    assert [image.get_array()[0, 0, 0] for image in ax.images] == [0, 25, 50, 74, 99]
    assert "Spearman over all 100" in title(ax)


@pytest.mark.parametrize("seed", range(5))
def test_places_off_are_steps_to_the_nearest_own_place(seed):
    values = np.random.default_rng(seed).integers(0, 5, 12)
    rising = sorted(values)
    for place, steps in enumerate(places_off(values)):
        own = [k - place for k in range(12) if rising[k] == values[place]]
        assert steps == min(own, key=abs)


def test_what_is_out_of_place_has_a_frame_and_an_arrow_to_where_it_belongs():
    # In rising order 9 stands last; 1 and 2 one place to the left, which is let pass.
    ax = plots.ranking_strip(data([9, 1, 2, 3, 4]), np.arange(5))
    assert words(ax) == ["9 →", "1", "2", "3", "4"]
    (frame,) = ax.patches
    assert frame.get_xy() == tuple(np.array(ax.images[0].get_extent())[[0, 2]])
    assert to_hex(frame.get_edgecolor()).upper() == plots.PALETTE["red"]
    assert "1 of 5 out of place" in title(ax)
    assert words(plots.ranking_strip(data([2, 3, 1]), np.arange(3))) == ["2", "3", "← 1"]


def test_a_strip_takes_wide_pictures_labels_between_ranks_and_equal_labels():
    ax = plt.subplots()[1]
    assert plots.ranking_strip(data([1.25, 1.25], "quality", (10, 30)), [1, 2], ax=ax) is ax
    assert words(ax) == ["1.25", "1.25"]
    assert ax.images[0].get_array().shape == (10, 10, 3)
    assert "over all 2: undefined" in title(ax)


def test_rank_strip_refuses():
    for scores, count, message in (
        ([1, 2], 12, r"shape \(2,\) for 3 pictures"),
        ([1, np.nan, 2], 12, r"scores\[1\] is not finite"),
        ([1, 2, 3], 1, "count = 1"),
    ):
        with pytest.raises(ValueError, match=message):
            plots.ranking_strip(data([1, 2, 3]), scores, count)
    assert not plt.get_fignums()


# ---------------------------------------------------------------- occlusion_maps
PICTURE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)


def test_maps_stand_beside_the_picture_on_one_scale():
    maps = {"stars": np.array([[1.0, 0.0], [0.0, -0.5]]), "cats": np.full((2, 2), 0.25)}
    ax = plots.occlusion_maps(PICTURE, maps)
    assert words(ax) == ["the picture", "stars", "cats"]
    picture, grey, stars, _, cats = (np.asarray(image.get_array()) for image in ax.images)
    assert np.array_equal(picture, PICTURE)
    assert (grey[..., 0] == grey[..., 1]).all()
    # As strong as the number is large; above 0 red, below blue.
    np.testing.assert_allclose(stars[..., 3], 0.85 * abs(maps["stars"]))
    np.testing.assert_allclose(cats[..., 3], 0.85 * 0.25)
    assert stars[0, 0, 0] > stars[0, 0, 2]
    assert stars[1, 1, 0] < stars[1, 1, 2]
    extents = [image.get_extent() for image in ax.images]
    assert extents[1] == extents[2] != extents[3] == extents[4]
    assert extents[0][2:] == extents[2][2:]
    # The first row is on top.
    assert ax.images[2].origin == "upper"
    assert ax.get_ylim()[0] < ax.get_ylim()[1]
    scale = ax.figure.axes[1]
    assert scale.get_ylim() == (-1, 1)
    assert "adds to the score" in scale.get_ylabel()


def test_maps_of_nothing_and_long_sentences_with_dollars_are_drawn():
    ax = plots.occlusion_maps(PICTURE, {"$5} " * 30: np.zeros((3, 3))})
    ax.figure.canvas.draw()
    assert max(map(len, words(ax)[1].split("\n"))) < 30


@pytest.mark.parametrize("grid", [np.ones((2, 3)), np.ones(4), [[np.nan]]])
def test_occlusion_maps_refuses(grid):
    with pytest.raises(ValueError, match="at least one map"):
        plots.occlusion_maps(PICTURE, {})
    with pytest.raises(ValueError, match="the map 'a' has"):
        plots.occlusion_maps(PICTURE, {"a": grid})
    assert not plt.get_fignums()
