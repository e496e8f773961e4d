import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from ordlib.clip import load_clip
from ordlib.course import widgets
from ordlib.course.widgets import bins
from ordlib.data import ImageData
from ordlib.tasks import load_task

TASK = load_task("counting")


@pytest.fixture(autouse=True)
def closed(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path))
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, device="cpu")


def shades(values, key, task=TASK):
    """Pictures whose brightness is their label, with a little noise."""
    rng = np.random.default_rng(0)
    values = np.asarray(values, dtype=float)
    images = 10 * values[:, None, None, None] + rng.integers(0, 9, (len(values), 64, 64, 3))
    return ImageData(
        task=task, images=images.astype(np.uint8), values=values, key=key, split="train",
        records=pd.DataFrame({"n": range(len(values))}),
    )  # fmt: skip


@pytest.fixture(scope="module")
def train():
    return shades(np.tile(np.arange(1, 21), 2), "train")


@pytest.fixture(scope="module")
def val():
    return shades(np.arange(1, 21), "val")


def discriminants(known, bins, features, count):
    """Nearest mean by the spread within bins, one picture at a time, without shrinkage."""
    means = [known[bins == i].mean(axis=0) for i in range(count)]
    spread = sum(
        np.outer(known[k] - means[bins[k]], known[k] - means[bins[k]]) for k in range(len(known))
    ) / len(known)
    rows = []
    for feature in features:
        logits = [
            np.log(np.mean(bins == i))
            - (feature - means[i]) @ np.linalg.inv(spread) @ (feature - means[i]) / 2
            for i in range(count)
        ]
        odds = np.exp(np.array(logits) - max(logits))
        rows.append(odds / odds.sum())
    return np.array(rows)


def test_nearest_means_by_hand():
    rng = np.random.default_rng(0)
    known_bins = rng.choice(3, 3000, p=[0.6, 0.3, 0.1])
    # Features wide along one axis, where bins do not differ: a plain nearest mean would err.
    known = rng.normal(size=(3000, 2)) * [5, 0.5] + np.outer(known_bins, [0, 1])
    features = rng.normal(size=(40, 2)) * [5, 1] + [0, 1]
    read = bins.nearest_means(known, known_bins, features, np.array([1.0, 4.0, 10.0]))
    expected = discriminants(known, known_bins, features, 3)
    assert np.mean(read.bins == expected.argmax(1)) > 0.95
    np.testing.assert_allclose(read.values, expected @ [1, 4, 10], atol=0.3)


def test_nearest_means_never_reads_a_bin_that_it_does_not_know():
    known = np.arange(8.0)[:, None]
    read = bins.nearest_means(known, np.repeat([0, 2], 4), known, np.array([0.0, 5.0, 9.0]))
    assert set(read.bins) == {0, 2}
    read = bins.nearest_means(known, np.full(8, 1), known, np.array([0.0, 5.0, 9.0]))
    assert set(read.bins) == {1}
    assert set(read.values) == {5.0}
    with pytest.raises(ValueError, match="3 known pictures for 3 bins: give more"):
        bins.nearest_means(known[:3], np.arange(3), known, np.array([0.0, 5.0, 9.0]))


@pytest.mark.parametrize(
    ("edges", "pushed"),
    [
        ((3, 6, 10, 14), [3, 6, 10, 14]),
        ((3, 3, 3, 14), [3, 4, 5, 14]),
        ((12, 6, 10, 14), [12, 13, 14, 15]),
        ((20, 20, 20, 20), [17, 18, 19, 20]),
        ((-5, 2, 50, 60), [2, 3, 19, 20]),
    ],
)
def test_edges_are_pushed_apart(edges, pushed):
    assert bins.push_apart(edges, 2, 20, 1) == pushed


def told(figure):
    return figure.get_suptitle()


def test_bins_figure_tells_what_it_shows(clip, train, val):
    figure = widgets.bins_figure(clip, train, val, edges=(5, 11))
    assert "bins 1–4, 5–10, 11–20" in told(figure)
    assert "training pictures in each: 8, 12, 20\n" in told(figure)
    assert "stand-in for a learned phrase" in told(figure)
    confusion, points = figure.axes[:2]
    shown = points.collections[0].get_offsets()[:, 1]
    assert f"MAE {np.mean(abs(shown - val.values)):.2f} objects" in told(figure)
    table = confusion.collections[0].get_array().reshape(3, 3)
    share = np.diag(table) @ [4, 6, 10] / 20
    assert f"right bin for {share:.2f} of the pictures" in told(figure)
    # Brightness is easy even for random towers: reading the bins backwards would not do so well.
    assert share > 0.6
    assert [label.get_text() for label in confusion.get_xticklabels()] == ["1–4", "5–10", "11–20"]


def test_none_takes_the_edges_of_the_task(clip, train, val):
    assert "bins 1–2, 3–5, 6–9, 10–13, 14–20" in told(widgets.bins_figure(clip, train, val))


def test_edges_that_collide_are_explained(clip, train, val):
    said = told(widgets.bins_figure(clip, train, val, edges=(7, 7, 3, 14)))
    assert "edges 7, 7, 3, 14 collide: pushed apart to 7, 8, 9, 14" in said
    assert "bins 1–6, 7, 8, 9–13, 14–20" in said


def test_a_bin_without_pictures_is_told(clip, val):
    lower = shades(np.tile(np.arange(1, 14), 2), "lower")
    said = told(widgets.bins_figure(clip, lower, val))
    assert "in each: 4, 6, 8, 8, 0; a bin without pictures is never read" in said


def test_a_bin_for_each_rank_is_as_good(clip):
    dating = shades(np.tile(np.arange(5), 4), "dating", load_task("dating"))
    said = told(widgets.bins_figure(clip, dating, dating))
    assert "bins 1930s, 1940s, 1950s, 1960s, 1970s" in said
    assert "collide" not in said


def test_bins_figure_refuses(clip, train, val):
    with pytest.raises(ValueError, match="train is of 'counting', val of 'dating'"):
        widgets.bins_figure(clip, train, shades(range(5), "other", load_task("dating")))
    for edges in ((), tuple(range(30))):
        with pytest.raises(ValueError, match=f"{len(edges)} given; give 1 to 19"):
            widgets.bins_figure(clip, train, val, edges)


def test_explorer_follows_its_sliders(clip, train, val, monkeypatch):
    drawn = []
    monkeypatch.setattr(bins, "bins_figure", lambda c, t, v, edges: drawn.append(edges))
    sliders = widgets.explore_bins(clip, train, val).children[0].children
    assert [one.value for one in sliders] == [3, 6, 10, 14]
    assert {(one.min, one.max, one.step) for one in sliders} == {(2, 20, 1)}
    sliders[1].value = 3
    assert drawn == [(3, 6, 10, 14), (3, 3, 10, 14)]


@pytest.mark.parametrize("name", ["ageing", "dating", "quality"])
def test_explorer_begins_within_its_sliders(clip, name, monkeypatch):
    drawn = []
    monkeypatch.setattr(bins, "bins_figure", lambda c, t, v, edges: drawn.append(edges))
    task = load_task(name)
    data = shades(task.levels, name, task)
    widgets.explore_bins(clip, data, data)
    assert drawn == [task.bin_edges[1:]]
