import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_rgb

from ordlib.course import plots
from ordlib.data import ImageData
from ordlib.tasks import load_task


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def data(name="counting", values=(1, 3, 3, 20)):
    images = np.zeros((len(values), 8, 8, 3), np.uint8)
    frame = pd.DataFrame({"n": range(len(values))})
    return ImageData(
        task=load_task(name), images=images, values=np.array(values, float), records=frame,
        key="k", split="val",
    )  # fmt: skip


def test_contact_sheet_puts_every_picture_in_its_place():
    pictures = [np.full((16, 16, 3), shade, np.uint8) for shade in (10, 20, 30)]
    ax = plots.contact_sheet(pictures, columns=2)
    sheet = ax.images[0].get_array()
    assert [sheet[4, 4, 0], sheet[4, 22, 0], sheet[22, 4, 0]] == [10, 20, 30]
    assert sheet[22, 22, 0] == 255


def test_contact_sheet_refuses_a_mismatch():
    with pytest.raises(ValueError, match="2 pictures and 1 titles"):
        plots.contact_sheet([np.zeros((8, 8, 3), np.uint8)] * 2, ["a"])
    with pytest.raises(ValueError, match="at least one"):
        plots.contact_sheet([])


def test_label_histogram_counts():
    ax = plots.label_histogram(data())
    assert [p.get_height() for p in ax.patches if p.get_height()] == [1, 2, 1]


def test_confusion_rows_are_true_and_sum_to_one():
    task = load_task("dating")
    ax = plots.confusion(np.array([0, 0, 4]), np.array([0, 1, 4]), task)
    table = ax.collections[0].get_array().reshape(5, 5)
    np.testing.assert_allclose(table[0], [0.5, 0.5, 0, 0, 0])
    np.testing.assert_allclose(table[4], [0, 0, 0, 0, 1])
    assert [t.get_text() for t in ax.get_xticklabels()] == list(task.values)


def test_predicted_against_true_keeps_the_values():
    task = load_task("quality")
    ax = plots.predicted_against_true(np.array([1.0, 4.2]), np.array([2.0, 4.0]), task)
    np.testing.assert_allclose(ax.collections[0].get_offsets()[:, 1], [2.0, 4.0])
    assert ax.get_ylabel() == "predicted (points)"


def test_many_ranks_get_few_tick_labels():
    ax = plots.label_histogram(data("ageing", (1, 45, 90)))
    assert 5 <= len(ax.get_xticklabels()) <= 12


def test_every_method_has_a_colour_of_its_own():
    assert len(set(plots.METHOD_COLOURS.values())) == len(plots.METHOD_COLOURS)


def test_colours_are_left_for_methods_to_come():
    assert len(set(plots.PALETTE.values()) - set(plots.METHOD_COLOURS.values())) >= 2


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
@pytest.mark.parametrize("method", ["L2RCLIP", "L2RCLIP joint", "ranking adapter"])
def test_later_colours_stay_apart_for_every_eye(method, eye):
    own = plots.METHOD_COLOURS[method]
    others = [colour for colour in plots.PALETTE.values() if colour != own]
    # Colours of CIELAB that lie 20 apart cannot be mistaken for each other.
    assert min(np.linalg.norm(seen(own, eye) - seen(other, eye)) for other in others) > 20


def off_diagonal(features):
    """Cosines of distinct rows, pair by pair."""
    return [
        np.dot(a, b) / np.sqrt(np.dot(a, a) * np.dot(b, b))
        for i, a in enumerate(features) for j, b in enumerate(features) if i != j
    ]  # fmt: skip


def test_similarity_colours_span_what_lies_off_the_diagonal():
    features = np.random.default_rng(0).normal(size=(4, 6)) + 5
    ax = plots.similarity(torch.tensor(features), list("abcd"))
    mesh = ax.collections[0]
    np.testing.assert_allclose(np.diag(mesh.get_array().reshape(4, 4)), 1)
    expected = off_diagonal(features)
    np.testing.assert_allclose(mesh.get_clim(), (min(expected), max(expected)))
    assert mesh.colorbar.ax.get_ylabel() == "cosine similarity"
    assert ax.get_aspect() == 1


def test_similarity_does_not_stretch_rounding_into_structure():
    ax = plots.similarity(np.ones((3, 5)) + 1e-9 * np.eye(3, 5), list("abc"))
    low, high = ax.collections[0].get_clim()
    assert high - low == pytest.approx(1e-3)


def test_similarity_thins_names_and_turns_those_that_do_not_fit():
    features = np.random.default_rng(0).normal(size=(90, 4))
    for names, turned in (([str(n) for n in range(90)], 90), (["x"] * 90, 0)):
        labels = plots.similarity(features, names).get_xticklabels()
        assert 10 <= len(labels) <= 20
        assert labels[0].get_rotation() == turned


@pytest.mark.parametrize(
    ("features", "names", "message"),
    [
        (np.ones((1, 3)), "a", "M >= 2"),
        (np.ones((2, 3)), "abc", "2 rows and names 3"),
        ([[1, 0], [0, 0]], "ab", r"features\[1\] has length 0"),
        ([[np.nan, 0], [0, 1]], "ab", r"features\[0\] has length nan"),
    ],
)
def test_similarity_refuses(features, names, message):
    with pytest.raises(ValueError, match=message):
        plots.similarity(features, list(names))


def doses(**columns):
    """Two seeds of three doses and of both other arms."""
    rows = [("dose", dose, seed) for dose in (0.0, 0.01, 0.1) for seed in (0, 1)]
    rows += [(arm, 0.01, seed) for arm in ("spurious", "twice") for seed in (0, 1)]
    table = pd.DataFrame(rows, columns=["arm", "dose", "seed"])
    seen = 40_000 * table["dose"] * (1 + (table["arm"] == "twice"))
    accuracy = [0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.25, 0.26, 0.55, 0.56]
    return table.assign(counting_captions=seen, accuracy=accuracy, **columns)


def dots(ax):
    """Every dot of the figure, as (x, y) in data units."""
    return sorted(tuple(xy) for drawn in ax.collections for xy in drawn.get_offsets().tolist())


@pytest.mark.parametrize(("axis", "column"), [("share", "dose"), ("number", "counting_captions")])
def test_dose_response_shows_every_model_once_where_it_belongs(axis, column):
    table = doses()
    ax = plots.dose_response(table, axis=axis)
    expected = sorted(zip(table[column].tolist(), table["accuracy"].tolist(), strict=True))
    np.testing.assert_allclose(dots(ax), expected)
    ax.figure.canvas.draw()
    places = np.array([
        tuple(drawn.get_offset_transform().transform(xy).round(2))
        for drawn in ax.collections for xy in drawn.get_offsets()
    ])  # fmt: skip
    assert len(set(places[:, 0])) == len(table)
    assert all(ax.bbox.contains(*place) for place in places)


def test_dose_response_joins_the_means_of_doses_alone():
    dotted, solid = plots.dose_response(doses()).lines
    np.testing.assert_allclose(dotted.get_xydata(), [[0, 0.15], [0.01, 0.4]])
    np.testing.assert_allclose(solid.get_xydata(), [[0.01, 0.4], [0.1, 0.65]])
    assert (dotted.get_linestyle(), solid.get_linestyle()) == (":", "-")


def test_dose_response_shows_zero_apart_from_a_logarithmic_rest():
    for axis, names in (("share", ["0", "1 %", "10 %"]), ("number", ["0", "1,000"])):
        ax = plots.dose_response(doses(), axis=axis)
        ax.figure.canvas.draw()
        assert [label.get_text() for label in ax.get_xticklabels()] == names
        assert [text.get_text() for text in ax.texts] == ["//"]
        zero = ax.transData.transform((0, 0))[0]
        small, large = (ax.transData.transform((x, 0))[0] for x in ax.lines[1].get_xdata())
        assert ax.bbox.x0 < zero < small < large
        assert small - zero > 0.3 * (large - small)


def test_dose_response_of_several_metrics_has_a_colour_for_each():
    ax = plots.dose_response(doses(object_top1=0.9), ["accuracy", "object_top1"])
    legend = {text.get_text() for text in ax.get_legend().get_texts()}
    assert legend == {
        "exact count", "name of the object", "more numerals about other things", "twice the pairs"
    }  # fmt: skip
    assert len({line.get_color() for line in ax.lines}) == 2
    assert len(dots(ax)) == 20
    assert ax.get_ylabel() == "share right"


def test_dose_response_refuses():
    with pytest.raises(ValueError, match="'dose' is unknown"):
        plots.dose_response(doses(), axis="dose")
    with pytest.raises(ValueError, match="no column 'acuracy'; it has arm, dose"):
        plots.dose_response(doses(), "acuracy")
    with pytest.raises(ValueError, match="no model of the arm 'dose' with dose above 0"):
        plots.dose_response(doses().query("arm != 'dose'"))


def wilson(hits, total, z=1.959964):
    """The interval by its formula."""
    middle = (hits + z**2 / 2) / (total + z**2)
    half = z / (total + z**2) * np.sqrt(hits * (total - hits) / total + z**2 / 4)
    return middle - half, middle + half


def test_per_rank_accuracy_by_hand():
    task = load_task("quality")
    truth = np.array([1.0, 1.2, 1.4, 1.6, 5.0])
    ax = plots.per_rank_accuracy(truth, {"zero-shot": [1, 1.49, 3, 2.4, 4]}, task)
    line = ax.lines[0]
    np.testing.assert_allclose(line.get_ydata(), [2 / 3, 1, np.nan, np.nan, 0])
    bars = [bar for bar in ax.collections[0].get_segments() if len(bar)]
    ends = [bar[:, 1] for bar in bars if np.isfinite(bar).all()]
    np.testing.assert_allclose(ends, [wilson(2, 3), wilson(1, 1), wilson(0, 1)], atol=1e-6)
    assert line.get_color() == plots.METHOD_COLOURS["zero-shot"]
    assert ax.lines[-1].get_ydata() == [0.2, 0.2]


def test_per_rank_accuracy_keeps_methods_apart():
    truth = np.arange(5.0)
    names = ["mine", "linear probe", "yours"]
    ax = plots.per_rank_accuracy(truth, dict.fromkeys(names, truth), load_task("dating"))
    lines = ax.lines[:3]
    used = {line.get_color() for line in lines} | set(plots.METHOD_COLOURS.values())
    assert len(used) == len(plots.METHOD_COLOURS) + 2
    places = [line.get_xdata()[0] for line in lines]
    assert places == sorted(set(places))
    assert max(map(abs, places)) < 0.5
    told = [text.get_text() for text in ax.get_legend().get_texts()]
    assert sorted(told) == sorted([*names, "chance"])


def test_per_rank_accuracy_refuses():
    with pytest.raises(ValueError, match="at least one method"):
        plots.per_rank_accuracy(np.zeros(2), {}, load_task("dating"))
    with pytest.raises(ValueError, match="'a' has 1 predictions for 2 labels"):
        plots.per_rank_accuracy(np.zeros(2), {"a": [1]}, load_task("dating"))
