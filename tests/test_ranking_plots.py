"""Strips of ordered pictures, maps over patches, and what two forms cost."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from ordlib.course import plots
from ordlib.course.plots.ranked_strip import places_off
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
        task=load_task(name), images=images, values=np.array(values, float), records=frame,
        key="k", split="val",
    )  # fmt: skip


def shades(ax):
    return [int(image.get_array()[0, 0, 0]) for image in ax.images]


def words(ax):
    return [text.get_text() for text in ax.texts]


def title(ax):
    return ax.get_title(loc="left")


# ---------------------------------------------------------------- rank_strip
def test_a_strip_goes_from_the_lowest_score_to_the_highest():
    ax = plots.rank_strip(data([3, 1, 2]), [0.5, -1.0, 0.1])
    assert shades(ax) == [1, 2, 0]
    assert words(ax) == ["1", "2", "3"]
    lefts = [image.get_extent()[0] for image in ax.images]
    assert lefts == sorted(lefts)
    assert not ax.patches
    assert "0 of 3 out of place; Spearman over all 3: +1.00" in title(ax)
    assert [text.get_position()[1] < 0 for text in ax.texts] == [True] * 3


def test_a_strip_of_many_has_both_ends_and_is_even_between():
    values = np.arange(1, 21).repeat(5)
    ax = plots.rank_strip(data(values), np.arange(100), count=5)
    assert shades(ax) == [0, 25, 50, 74, 99]
    assert "Spearman over all 100" in title(ax)


def off_by_loops(values):
    """Steps to the nearest place where a value may stand."""
    rising = sorted(values)
    steps = []
    for place, value in enumerate(values):
        own = [k for k in range(len(values)) if rising[k] == value]
        steps.append(min((k - place for k in own), key=abs))
    return steps


@pytest.mark.parametrize("seed", range(5))
def test_places_off_are_steps_to_the_nearest_own_place(seed):
    values = np.random.default_rng(seed).integers(0, 5, 12)
    assert places_off(values).tolist() == off_by_loops(values.tolist())


def test_what_is_out_of_place_has_a_frame_and_an_arrow_to_where_it_belongs():
    # In rising order 9 stands last; 1 and 2 one place to the left, which is let pass.
    ax = plots.rank_strip(data([9, 1, 2, 3, 4]), np.arange(5))
    assert words(ax) == ["9 →", "1", "2", "3", "4"]
    (frame,) = ax.patches
    assert frame.get_xy() == tuple(np.array(ax.images[0].get_extent())[[0, 2]])
    assert to_hex(frame.get_edgecolor()).upper() == plots.PALETTE["red"]
    assert "1 of 5 out of place" in title(ax)
    ax = plots.rank_strip(data([9, 1, 2, 3, 4]), np.arange(5), slack=0)
    assert words(ax) == ["9 →", "← 1", "← 2", "← 3", "← 4"]


def test_equal_labels_may_stand_in_any_order():
    assert not plots.rank_strip(data([1, 1, 1, 1, 5]), [3, 2, 1, 0, 9], slack=0).patches


def test_a_strip_draws_wide_pictures_and_labels_between_ranks_where_it_is_told():
    ax = plt.subplots()[1]
    found = plots.rank_strip(data([1.25, 3], "quality", (10, 30)), [1, 2], ax=ax)
    assert found is ax
    assert words(ax) == ["1.25", "3"]
    assert ax.images[0].get_array().shape == (10, 10, 3)


def test_a_strip_of_one_label_has_no_correlation():
    assert "over all 3: undefined" in title(plots.rank_strip(data([2, 2, 2]), [1, 2, 3]))


@pytest.mark.parametrize(
    ("scores", "count", "message"),
    [
        ([1, 2], 12, r"shape \(2,\) for 3 pictures"),
        ([1, np.nan, 2], 12, r"scores\[1\] is not finite"),
        ([1, 2, 3], 1, "count = 1"),
    ],
)
def test_rank_strip_refuses(scores, count, message):
    with pytest.raises(ValueError, match=message):
        plots.rank_strip(data([1, 2, 3]), scores, count)
    assert not plt.get_fignums()


# ---------------------------------------------------------------- attention_maps
PICTURE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)


def test_maps_stand_beside_the_picture_on_one_scale():
    maps = {"stars": np.array([[1.0, 0.0], [0.0, -0.5]]), "cats": np.full((2, 2), 0.25)}
    ax = plots.attention_maps(PICTURE, maps)
    assert words(ax) == ["the picture", "stars", "cats"]
    picture, grey, stars, _, cats = (np.asarray(image.get_array()) for image in ax.images)
    assert np.array_equal(picture, PICTURE)
    assert (grey[..., 0] == grey[..., 1]).all()
    assert stars.shape == cats.shape == (2, 2, 4)
    # As strong as the number is large; above 0 red, below blue.
    np.testing.assert_allclose(stars[..., 3], 0.85 * abs(maps["stars"]))
    np.testing.assert_allclose(cats[..., 3], 0.85 * 0.25)
    assert stars[0, 0, 0] > stars[0, 0, 2]
    assert stars[1, 1, 0] < stars[1, 1, 2]
    extents = [image.get_extent() for image in ax.images]
    assert extents[1] == extents[2] != extents[3] == extents[4]
    scale = ax.figure.axes[1]
    assert scale.get_ylim() == (-1, 1)
    assert "adds to the score" in scale.get_ylabel()


def test_the_first_row_of_a_map_is_on_top():
    ax = plots.attention_maps(PICTURE, {"a": np.eye(2)})
    assert ax.images[2].origin == "upper"
    assert ax.get_ylim()[0] < ax.get_ylim()[1]
    assert ax.images[2].get_extent()[2:] == ax.images[0].get_extent()[2:]


def test_maps_of_nothing_and_long_sentences_with_dollars_are_drawn():
    ax = plots.attention_maps(PICTURE, {"$5} " * 30: np.zeros((3, 3))})
    ax.figure.canvas.draw()
    assert max(map(len, words(ax)[1].split("\n"))) < 30


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        ({}, "at least one map"),
        ({"a": np.ones((2, 3))}, r"'a' has shape \(2, 3\)"),
        ({"a": np.ones(4)}, r"'a' has shape \(4,\)"),
        ({"a": [[np.nan]]}, "not finite"),
    ],
)
def test_attention_maps_refuses(maps, message):
    with pytest.raises(ValueError, match=message):
        plots.attention_maps(PICTURE, maps)
    assert not plt.get_fignums()


# ---------------------------------------------------------------- cost_plot
def costs():
    rows = [
        (form, way, number, factor * step * number**power, factor * number)
        for form, power, factor in (("pairwise", 2, 1.0), ("shortcut", 1, 0.1))
        for way, step in (("forward", 1), ("forward+backward", 3))
        for number in (64, 16)
    ]
    return pd.DataFrame(rows, columns=["form", "pass", "pictures", "seconds", "mib"])


@pytest.mark.parametrize("quantity", ["seconds", "mib"])
def test_costs_have_a_line_for_each_form_and_pass(quantity):
    table = costs()
    ax = plots.cost_plot(table, quantity)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert [label.get_text() for label in ax.get_xticklabels()] == ["16", "64"]
    lines = {line.get_label(): line for line in ax.lines}
    assert len(lines) == 4
    for (form, way), part in table.groupby(["form", "pass"]):
        expected = sorted(zip(part["pictures"], part[quantity], strict=True))
        np.testing.assert_allclose(lines[f"{form}, {way}"].get_xydata(), expected)
    assert len({line.get_color() for line in ax.lines}) == 2
    assert lines["pairwise, forward"].get_linestyle() == "--"


def test_costs_are_compared_at_the_largest_number_that_both_have():
    table = costs()
    more = {"form": "shortcut", "pass": "forward+backward", "pictures": 256, "seconds": 9.0}
    ax = plots.cost_plot(pd.concat([table, pd.DataFrame([more])]))
    # 3 * 64^2 seconds against 0.3 * 64.
    assert "640 times\nfaster\nat N = 64" in words(ax)
    assert "10 times\nless memory\nat N = 64" in words(plots.cost_plot(table, "mib"))
    alone = plots.cost_plot(table[table["form"] == "shortcut"])
    assert not any("times" in word for word in words(alone))


def test_costs_refuse():
    with pytest.raises(ValueError, match="quantity = 'hours'"):
        plots.cost_plot(costs(), "hours")
    with pytest.raises(ValueError, match="no column 'mib'; it has form"):
        plots.cost_plot(costs().drop(columns="mib"), "mib")
    with pytest.raises(ValueError, match="no number of mib"):
        plots.cost_plot(costs().assign(mib=None), "mib")
    with pytest.raises(ValueError, match="pairwise, forward, 64 is there twice"):
        plots.cost_plot(pd.concat([costs(), costs()]))
    assert not plt.get_fignums()
