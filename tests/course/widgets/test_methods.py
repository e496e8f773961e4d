import numpy as np
import pandas as pd
import pytest
import torch
from figures import tick_labels, title

from ordlib import L2RCLIP, CoOp, OrdinalTask
from ordlib.course import widgets
from ordlib.course.widgets import methods
from ordlib.data import ImageData
from ordlib.metrics import ordinality_score
from ordlib.tasks import load_task

NAMES = ("one", "two", "three", "star", "photo")
TASK = OrdinalTask(name="things", unit="things", values=(1, 2, 3, 4, 5), rank_names=NAMES)


def make_data(values, fingerprint, name="counting"):
    """Images whose brightness is their label, with a little noise."""
    rng = np.random.default_rng(0)
    values = np.asarray(values, dtype=float)
    images = 10 * values[:, None, None, None] + rng.integers(0, 9, (len(values), 64, 64, 3))
    metadata = pd.DataFrame({"n": range(len(values))})
    return ImageData(load_task(name), np.uint8(images), values, metadata, fingerprint, "train")


TRAIN, VAL = make_data(np.tile(np.arange(1, 21), 2), "train"), make_data(np.arange(1, 21), "val")


def test_lda_predict_uses_the_covariance_within_bins():
    rng = np.random.default_rng(0)
    train_bins, bins = np.arange(300) % 3, np.arange(30) % 3
    # The first feature has a large variance that does not depend on the bin, so that the nearest
    # mean in Euclidean distance would be wrong.
    train, features = (
        rng.normal([0, 1] * index[:, None], [50, 0.1]) for index in (train_bins, bins)
    )
    midpoints = np.array([1.0, 4.0, 10.0])
    predicted, values = methods.lda_predict(train, train_bins, features, midpoints)
    np.testing.assert_array_equal(predicted, bins)
    np.testing.assert_allclose(values, midpoints[bins], atol=0.1)


def test_lda_predict_never_predicts_bins_without_images():
    features, midpoints = np.arange(8.0)[:, None], np.array([0.0, 5.0, 9.0])
    bins, _ = methods.lda_predict(features, np.repeat([0, 2], 4), features, midpoints)
    assert set(bins) == {0, 2}
    bins, values = methods.lda_predict(features, np.full(8, 1), features, midpoints)
    assert (set(bins), set(values)) == ({1}, {5.0})
    with pytest.raises(ValueError, match="train_features has 3 images for 3 bins"):
        methods.lda_predict(features[:3], np.arange(3), features, midpoints)


def test_bins_figure_title_agrees_with_its_panels(clip):
    figure = widgets.bins_figure(clip, TRAIN, VAL, edges=(5, 11))
    shown = figure.get_suptitle()
    assert "bins 1–4, 5–10, 11–20" in shown
    assert "training images in each: 8, 12, 20\n" in shown
    assert "stand-in for a learned phrase" in shown
    confusion, scatter = figure.axes[:2]
    y_pred = scatter.collections[0].get_offsets()[:, 1]
    assert f"MAE {np.mean(abs(y_pred - VAL.values)):.2f} objects" in shown
    table = confusion.collections[0].get_array().reshape(3, 3)
    accuracy = np.diag(table) @ [4, 6, 10] / 20
    assert f"right bin for {accuracy:.2f} of the images" in shown
    # Brightness is easy even for random encoders; a reversed order of bins would fail.
    assert accuracy > 0.6
    assert tick_labels(confusion.xaxis) == ["1–4", "5–10", "11–20"]


@pytest.mark.parametrize(
    ("edges", "bins"),
    [
        (None, "1–2, 3–5, 6–9, 10–13, 14–20"),
        ((7, 7, 3, 14), "1–2, 3–6, 7–13, 14–20"),
        ((-5, 8, 60), "1, 2–7, 8–19, 20"),
    ],
)
def test_bins_figure_merges_sorts_and_clips_edges(clip, edges, bins):
    assert f"bins {bins}:" in widgets.bins_figure(clip, TRAIN, VAL, edges).get_suptitle()


def test_bins_figure_handles_empty_bins_and_rejects_invalid_input(clip):
    lower = make_data(np.tile(np.arange(1, 14), 2), "lower")
    shown = widgets.bins_figure(clip, lower, VAL).get_suptitle()
    assert "in each: 4, 6, 8, 8, 0; a bin without images is never predicted" in shown
    dating = make_data(np.tile(np.arange(5), 4), "dating", "dating")
    shown = widgets.bins_figure(clip, dating, dating).get_suptitle()
    assert "bins 1930s, 1940s, 1950s, 1960s, 1970s" in shown
    with pytest.raises(ValueError, match="train is of 'counting', val of 'dating'"):
        widgets.bins_figure(clip, lower, dating)
    with pytest.raises(ValueError, match="edges = "):
        widgets.bins_figure(clip, TRAIN, VAL, ())


@pytest.mark.parametrize("name", ["counting", "ageing", "dating", "quality"])
def test_explore_bins_starts_at_the_edges_of_the_task(clip, name, monkeypatch):
    calls = []
    monkeypatch.setattr(methods, "bins_figure", lambda c, t, v, edges: calls.append(edges))
    data = make_data(load_task(name).rank_values, name, name)
    sliders = widgets.explore_bins(clip, data, data).children[0].children
    edges = data.task.bin_edges[1:]
    assert calls == [edges]
    if name == "counting":
        assert {(slider.min, slider.max, slider.step) for slider in sliders} == {(2, 20, 1)}
    sliders[1].value = edges[0]
    assert calls[1:] == [(edges[0], edges[0], *edges[2:])]


@pytest.fixture
def model(clip):
    return L2RCLIP(clip, TASK, alpha=0.3)


def naive_similarity(model, alpha):
    rows = model.text_features(alpha).detach()
    return [[torch.cosine_similarity(a, b, dim=0).item() for b in rows] for a in rows]


@pytest.mark.parametrize("alpha", [0.0, 0.8, None])
def test_blend_figure_equals_pairwise_cosines(model, alpha):
    axes = widgets.blend_figure(model, alpha).axes[:2]
    for ax, weight in zip(axes, (0.0, 0.3 if alpha is None else alpha), strict=True):
        expected = naive_similarity(model, weight)
        cosines = ax.collections[0].get_array().reshape(5, 5)
        np.testing.assert_allclose(cosines, expected, atol=1e-5)
        score = ordinality_score(model.text_features(weight).detach()).chance_corrected
        assert f"ordinality {score:.2f}, smallest cosine {np.min(expected):.3f}" in title(ax)
        assert f"alpha = {weight:g}" in title(ax)
    assert ("the model's own" in title(axes[1])) == (alpha is None)
    assert tick_labels(axes[1].yaxis) == list(NAMES)
    assert not np.allclose(naive_similarity(model, 0.0), naive_similarity(model, 0.8), atol=1e-3)


def test_blend_figure_does_not_modify_the_model(model, monkeypatch):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    features, text_features = [], model.text_features
    monkeypatch.setattr(
        model, "text_features", lambda a: features.append(text_features(a)) or features[-1]
    )
    widgets.blend_figure(model, 0.8)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert modes == [module.training for module in model.modules()]
    assert [rows.requires_grad for rows in features] == [False, False]
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("show", [widgets.blend_figure, widgets.explore_blend])
def test_blend_figure_rejects_models_without_rankformer_and_invalid_alphas(clip, model, show):
    with pytest.raises(ValueError, match=r"model = L2RCLIP: has no RankFormer; .* attention_over"):
        show(L2RCLIP(clip, TASK, attention_over="off"))
    with pytest.raises(ValueError, match="model = CoOp"):
        show(CoOp(clip, TASK))
    for alpha in (-0.01, 1.01, float("nan")):
        with pytest.raises(ValueError, match=f"alpha = {alpha}: must be 0 to 1"):
            widgets.blend_figure(model, alpha)


def test_explore_blend_starts_at_the_alpha_of_the_model(model, monkeypatch):
    calls = []
    monkeypatch.setattr(methods, "blend_figure", lambda m, alpha: calls.append((m, alpha)))
    with torch.no_grad():
        model.rankformer.alpha.fill_(0.0137)
    (slider,) = widgets.explore_blend(model).children[0].children
    assert (slider.min, slider.max, slider.description) == (0, 1, "alpha")
    slider.value = 0.5
    assert [m for m, _ in calls] == [model, model]
    assert [alpha for _, alpha in calls] == pytest.approx([0.0137, 0.5])
