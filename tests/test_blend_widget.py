import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from ordlib import L2RCLIP, CoOp, OrdinalTask
from ordlib.clip import load_clip
from ordlib.course import widgets
from ordlib.course.widgets import rankformer_blend as blends
from ordlib.metrics import ordinality_score

WORDS = ("one", "two", "three", "star", "photo")
TASK = OrdinalTask(name="things", unit="things", values=(1, 2, 3, 4, 5), words=WORDS)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, device="cpu")


@pytest.fixture
def model(clip):
    return L2RCLIP(clip, TASK, alpha=0.3)


def matrices(figure):
    return [ax.collections[0].get_array().reshape(5, 5) for ax in figure.axes[:2]]


def titles(figure):
    return [ax.get_title(loc="left") for ax in figure.axes[:2]]


def cosines(model, alpha):
    """Pair by pair."""
    rows = model.text_features(alpha).detach()
    return [[float(torch.cosine_similarity(a, b, dim=0)) for b in rows] for a in rows]


@pytest.mark.parametrize("alpha", [0.0, 0.8, 1, None])
def test_both_matrices_are_those_of_their_share(model, alpha):
    figure = widgets.blend_figure(model, alpha)
    share = 0.3 if alpha is None else alpha
    for shown, its in zip(matrices(figure), (0.0, share), strict=True):
        np.testing.assert_allclose(shown, cosines(model, its), atol=1e-5)
    for told, its in zip(titles(figure), (0.0, share), strict=True):
        score = ordinality_score(model.text_features(its).detach()).corrected
        assert f"ordinality {score:.2f}, least cosine {np.min(cosines(model, its)):.3f}" in told
        assert f"alpha = {its:g}" in told
    assert ("the model's own" in titles(figure)[1]) == (alpha is None)
    assert [text.get_text() for text in figure.axes[1].get_yticklabels()] == list(WORDS)


def test_the_share_makes_a_difference(model):
    left, right = matrices(widgets.blend_figure(model, 0.8))
    assert np.abs(left - right).max() > 1e-3


def test_the_model_stays_as_it_is(model):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    widgets.blend_figure(model, 0.8)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert modes == [module.training for module in model.modules()]
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.is_grad_enabled()


def test_no_gradient_is_kept(model, monkeypatch):
    kept, own = [], model.text_features
    monkeypatch.setattr(model, "text_features", lambda a: kept.append(own(a)) or kept[-1])
    widgets.blend_figure(model, 0.8)
    assert [rows.requires_grad for rows in kept] == [False, False]


@pytest.mark.parametrize("alpha", [-0.01, 1.01, float("nan")])
def test_a_share_outside_0_to_1_is_refused(model, alpha):
    with pytest.raises(ValueError, match=f"alpha = {alpha}: must be 0 to 1"):
        widgets.blend_figure(model, alpha)
    assert not plt.get_fignums()


@pytest.mark.parametrize("show", [widgets.blend_figure, widgets.explore_blend])
def test_a_model_without_rankformer_is_refused(clip, show):
    with pytest.raises(ValueError, match=r"this L2RCLIP has no RankFormer.*not 'off'"):
        show(L2RCLIP(clip, TASK, attend="off"))
    with pytest.raises(ValueError, match="this CoOp has no RankFormer"):
        show(CoOp(clip, TASK))


def test_explorer_begins_at_the_models_own_share_and_follows(model, monkeypatch):
    drawn = []
    monkeypatch.setattr(blends, "blend_figure", lambda m, alpha: drawn.append((m, alpha)))
    with torch.no_grad():
        model.rankformer.alpha.fill_(0.0137)
    (one,) = widgets.explore_blend(model).children[0].children
    assert (one.min, one.max, one.description) == (0, 1, "alpha")
    one.value = 0.5
    assert [m for m, _ in drawn] == [model, model]
    assert [alpha for _, alpha in drawn] == pytest.approx([0.0137, 0.5])
