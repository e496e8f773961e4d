"""Explorers of two methods: the edges of NumCLIP's bins, the share of RankFormer."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from ordlib import L2RCLIP, CoOp, OrdinalTask
from ordlib.clip import load_clip
from ordlib.course import widgets
from ordlib.course.widgets import methods
from ordlib.data import ImageData
from ordlib.metrics import ordinality_score
from ordlib.tasks import load_task

WORDS = ("one", "two", "three", "star", "photo")
THINGS = OrdinalTask(name="things", unit="things", values=(1, 2, 3, 4, 5), rank_names=WORDS)


@pytest.fixture(autouse=True)
def closed(tmp_path, monkeypatch):
    monkeypatch.setenv("ORDLIB_CACHE", str(tmp_path))
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, device="cpu")


# ---------------------------------------------------------------- bins
def shades(values, key, name="counting"):
    """Pictures whose brightness is their label, with a little noise."""
    rng = np.random.default_rng(0)
    values = np.asarray(values, dtype=float)
    images = 10 * values[:, None, None, None] + rng.integers(0, 9, (len(values), 64, 64, 3))
    return ImageData(
        task=load_task(name), images=images.astype(np.uint8), values=values, fingerprint=key,
        split="train", metadata=pd.DataFrame({"n": range(len(values))}),
    )  # fmt: skip


TRAIN, VAL = shades(np.tile(np.arange(1, 21), 2), "train"), shades(np.arange(1, 21), "val")


def test_nearest_means_measure_by_the_spread_within_bins():
    rng = np.random.default_rng(0)
    known_bins, true = np.arange(300) % 3, np.arange(30) % 3
    # Features wide along one axis, where bins do not differ: a plain nearest mean would err.
    known, features = (
        rng.normal(size=(len(bins), 2)) * [50, 0.1] + np.outer(bins, [0, 1])
        for bins in (known_bins, true)
    )
    midpoints = np.array([1.0, 4.0, 10.0])
    bins, values = methods.nearest_means(known, known_bins, features, midpoints)
    np.testing.assert_array_equal(bins, true)
    np.testing.assert_allclose(values, midpoints[true], atol=0.1)


def test_nearest_means_never_reads_a_bin_that_it_does_not_know():
    known, midpoints = np.arange(8.0)[:, None], np.array([0.0, 5.0, 9.0])
    bins, _ = methods.nearest_means(known, np.repeat([0, 2], 4), known, midpoints)
    assert set(bins) == {0, 2}
    bins, values = methods.nearest_means(known, np.full(8, 1), known, midpoints)
    assert (set(bins), set(values)) == ({1}, {5.0})
    with pytest.raises(ValueError, match="3 known pictures for 3 bins: give more"):
        methods.nearest_means(known[:3], np.arange(3), known, midpoints)


def test_bins_figure_tells_what_it_shows(clip):
    figure = widgets.bins_figure(clip, TRAIN, VAL, edges=(5, 11))
    told = figure.get_suptitle()
    assert "bins 1–4, 5–10, 11–20" in told
    assert "training pictures in each: 8, 12, 20\n" in told
    assert "stand-in for a learned phrase" in told
    confusion, points = figure.axes[:2]
    shown = points.collections[0].get_offsets()[:, 1]
    assert f"MAE {np.mean(abs(shown - VAL.values)):.2f} objects" in told
    table = confusion.collections[0].get_array().reshape(3, 3)
    share = np.diag(table) @ [4, 6, 10] / 20
    assert f"right bin for {share:.2f} of the pictures" in told
    # Brightness is easy even for random towers: reading the bins backwards would not do so well.
    assert share > 0.6
    assert [label.get_text() for label in confusion.get_xticklabels()] == ["1–4", "5–10", "11–20"]


def test_edges_that_meet_are_one(clip):
    for edges, bins in (
        (None, "1–2, 3–5, 6–9, 10–13, 14–20"),
        ((7, 7, 3, 14), "1–2, 3–6, 7–13, 14–20"),
        ((-5, 8, 60), "1, 2–7, 8–19, 20"),
    ):
        assert f"bins {bins}:" in widgets.bins_figure(clip, TRAIN, VAL, edges).get_suptitle()
    with pytest.raises(ValueError, match="no edges"):
        widgets.bins_figure(clip, TRAIN, VAL, ())


def test_other_tasks_and_bins_without_pictures(clip):
    lower = shades(np.tile(np.arange(1, 14), 2), "lower")
    told = widgets.bins_figure(clip, lower, VAL).get_suptitle()
    assert "in each: 4, 6, 8, 8, 0; a bin without pictures is never read" in told
    dating = shades(np.tile(np.arange(5), 4), "dating", "dating")
    told = widgets.bins_figure(clip, dating, dating).get_suptitle()
    assert "bins 1930s, 1940s, 1950s, 1960s, 1970s" in told
    with pytest.raises(ValueError, match="train is of 'counting', val of 'dating'"):
        widgets.bins_figure(clip, lower, dating)


@pytest.mark.parametrize("name", ["counting", "ageing", "dating", "quality"])
def test_bin_explorer_begins_within_its_sliders_and_follows(clip, name, monkeypatch):
    drawn = []
    monkeypatch.setattr(methods, "bins_figure", lambda c, t, v, edges: drawn.append(edges))
    data = shades(load_task(name).rank_values, name, name)
    sliders = widgets.explore_bins(clip, data, data).children[0].children
    own = data.task.bin_edges[1:]
    assert drawn == [own]
    if name == "counting":
        assert {(one.min, one.max, one.step) for one in sliders} == {(2, 20, 1)}
    sliders[1].value = own[0]
    assert drawn[1:] == [(own[0], own[0], *own[2:])]


# ---------------------------------------------------------------- blend
@pytest.fixture
def model(clip):
    return L2RCLIP(clip, THINGS, alpha=0.3)


def cosine_similarity_matrix(model, alpha):
    """Pair by pair."""
    rows = model.text_features(alpha).detach()
    return [[float(torch.cosine_similarity(a, b, dim=0)) for b in rows] for a in rows]


@pytest.mark.parametrize("alpha", [0.0, 0.8, 1, None])
def test_both_matrices_are_those_of_their_share(model, alpha):
    axes = widgets.blend_figure(model, alpha).axes[:2]
    for ax, share in zip(axes, (0.0, 0.3 if alpha is None else alpha), strict=True):
        shown, title = ax.collections[0].get_array().reshape(5, 5), ax.get_title(loc="left")
        expected = cosine_similarity_matrix(model, share)
        np.testing.assert_allclose(shown, expected, atol=1e-5)
        score = ordinality_score(model.text_features(share).detach()).chance_corrected
        assert f"ordinality {score:.2f}, least cosine {np.min(expected):.3f}" in title
        assert f"alpha = {share:g}" in title
    assert ("the model's own" in axes[1].get_title(loc="left")) == (alpha is None)
    assert [text.get_text() for text in axes[1].get_yticklabels()] == list(WORDS)
    assert (
        np.ptp([cosine_similarity_matrix(model, 0.0), cosine_similarity_matrix(model, 0.8)], axis=0)
        > 1e-3
    ).any()


def test_the_model_stays_as_it_is(model, monkeypatch):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    kept, own = [], model.text_features
    monkeypatch.setattr(model, "text_features", lambda a: kept.append(own(a)) or kept[-1])
    widgets.blend_figure(model, 0.8)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert modes == [module.training for module in model.modules()]
    assert [rows.requires_grad for rows in kept] == [False, False]
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("show", [widgets.blend_figure, widgets.explore_blend])
def test_a_model_without_rankformer_and_a_share_outside_0_to_1_are_refused(clip, model, show):
    with pytest.raises(ValueError, match=r"this L2RCLIP has no RankFormer.*not 'off'"):
        show(L2RCLIP(clip, THINGS, attention_over="off"))
    with pytest.raises(ValueError, match="this CoOp has no RankFormer"):
        show(CoOp(clip, THINGS))
    for alpha in (-0.01, 1.01, float("nan")):
        with pytest.raises(ValueError, match=f"alpha = {alpha}: must be 0 to 1"):
            widgets.blend_figure(model, alpha)


def test_blend_explorer_begins_at_the_models_own_share_and_follows(model, monkeypatch):
    drawn = []
    monkeypatch.setattr(methods, "blend_figure", lambda m, alpha: drawn.append((m, alpha)))
    with torch.no_grad():
        model.rankformer.alpha.fill_(0.0137)
    (one,) = widgets.explore_blend(model).children[0].children
    assert (one.min, one.max, one.description) == (0, 1, "alpha")
    one.value = 0.5
    assert [m for m, _ in drawn] == [model, model]
    assert [alpha for _, alpha in drawn] == pytest.approx([0.0137, 0.5])
