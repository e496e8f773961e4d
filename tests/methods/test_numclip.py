"""NumCLIP: regressor, anchors, bins and the total loss, against naive loops."""

import json
import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from ordlib import NumCLIP, OrdinalTask, TrainingConfig, fit
from ordlib.losses import fcrc, text_to_image_kl
from ordlib.methods.numclip import Regressor

PHRASES = ("one", "two", "three", "star", "photo")
RANKS = (1, 2, 3, 5, 9)
BIN_EMBEDDINGS = "prompt_learner.rank_embeddings.embeddings"


def with_bins(task, num_bins):
    """The task with ``num_bins`` bins, the last of which holds all remaining ranks."""
    edges = (0, 1.5, 2.5, 4, 7)[:num_bins]
    return replace(task, bin_edges=edges, bin_phrases=PHRASES[:num_bins])


def random_features():
    return torch.randn(6, 24, generator=torch.Generator().manual_seed(0))


def naive_softmax(logits):
    return [math.exp(x) / sum(map(math.exp, logits)) for x in logits]


def naive_regressor(regressor, logits, anchors):
    """The value of one image, bin by bin."""
    weight_1, bias_1, weight_2, bias_2 = (p.detach().tolist() for p in regressor.parameters())
    hidden = [
        max(sum(w * x for w, x in zip(row, logits, strict=True)) + b, 0)
        for row, b in zip(weight_1, bias_1, strict=True)
    ]
    value = 0.0
    probabilities = naive_softmax(logits)
    for row, b, p, anchor in zip(weight_2, bias_2, probabilities, anchors, strict=True):
        delta = math.tanh(sum(w * x for w, x in zip(row, hidden, strict=True)) + b)
        value += p * anchor / min(max(1 + delta, 0.5), 2.0)
    return value


@pytest.mark.parametrize("std", [0.001, 0.3, 3.0], ids=["initial", "unclamped", "clamped"])
def test_regressor_equals_naive_loop(std):
    torch.manual_seed(0)
    regressor = Regressor(4).double()
    for parameter in regressor.parameters():
        torch.nn.init.normal_(parameter, std=std)
    logits = 3 * torch.randn(30, 4, dtype=torch.float64)
    anchors = torch.tensor([0.0, 0.2, 0.5, 0.9], dtype=torch.float64)
    expected = [naive_regressor(regressor, row, anchors.tolist()) for row in logits.tolist()]
    torch.testing.assert_close(regressor(logits, anchors), torch.tensor(expected).double())


def test_regressor_clamps_divisor_at_both_ends():
    regressor = Regressor(2)
    anchors = torch.tensor([0.4, 0.4])
    for bias, expected in ((-9.0, 0.8), (9.0, 0.2), (-0.2, 0.4 / (1 - math.tanh(0.2)))):
        torch.nn.init.constant_(regressor.layers[2].bias, bias)
        assert regressor(torch.zeros(1, 2), anchors).item() == pytest.approx(expected, abs=1e-6)


def test_regressor_is_initialized_as_released(tiny_clip, uneven):
    regressor = NumCLIP(tiny_clip, uneven).regressor
    first, second = regressor.layers[0], regressor.layers[2]
    assert (first.weight.shape, second.weight.shape) == ((6, 3), (3, 6))
    assert not any(layer.bias.any() for layer in (first, second))
    assert all(0.0003 < layer.weight.std() < 0.002 for layer in (first, second))


@pytest.mark.parametrize(
    # Bins 0 to 2, 2 to 4, 4 to 10; the first holds rank 1 alone, which is its midpoint.
    ("bin_anchor", "bin_values"),
    [("midpoint", [1, 3, 7]), ("edge", [0, 2, 4])],
)
def test_anchors_are_scaled_to_range_of_ranks(tiny_clip, uneven, bin_anchor, bin_values):
    anchors = NumCLIP(tiny_clip, uneven, bin_anchor=bin_anchor).anchors
    torch.testing.assert_close(anchors, torch.tensor([(value - 1) / 8 for value in bin_values]))


@pytest.mark.parametrize("num_bins", [2, 3, 4, 5])
def test_numclip_trains_with_any_number_of_bins(tiny_clip, seven, num_bins):
    task = with_bins(seven.task, num_bins)
    model, data = NumCLIP(tiny_clip, task), replace(seven, task=task)
    assert model.text_features().shape == (num_bins, 24)
    history = fit(model, data, data.subset([0, 3]), TrainingConfig(epochs=2), progress=False)
    assert history["loss"].notna().all()
    prediction = model.predict(data)
    assert ((prediction.value >= 1) & (prediction.value <= 9)).all()
    assert (prediction.probabilities is None) == (num_bins < 5)
    assert set(model.predict_bins(data)) <= set(range(num_bins))


def test_text_features_are_of_bin_prompts(tiny_clip, uneven):
    expected = tiny_clip.text_features([f"a photo of {p} star" for p in uneven.bin_phrases])
    text_features = NumCLIP(tiny_clip, uneven).text_features()
    torch.testing.assert_close(text_features, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("decode", ["expectation", "argmax"])
def test_predictions_with_one_bin_per_rank_are_decoded_from_probabilities(
    tiny_clip, uneven, decode
):
    model = NumCLIP(tiny_clip, replace(with_bins(uneven, 5), decode=decode))
    prediction = model.predict_from_features(random_features())
    logits = model.logits(random_features()).tolist()
    for row, probabilities, value in zip(
        logits, prediction.probabilities, prediction.value, strict=True
    ):
        np.testing.assert_allclose(probabilities, naive_softmax(row), atol=1e-6)
        mean = sum(p * rank for p, rank in zip(naive_softmax(row), RANKS, strict=True))
        expected = mean if decode == "expectation" else RANKS[row.index(max(row))]
        assert value == pytest.approx(expected, abs=1e-5)


def test_as_many_bins_as_ranks_are_not_always_one_bin_per_rank(tiny_clip, uneven):
    task = replace(uneven, bin_edges=(0, 0.2, 0.4, 0.6, 4), bin_phrases=PHRASES)
    prediction = NumCLIP(tiny_clip, task).predict_from_features(random_features())
    assert prediction.probabilities is None


@pytest.mark.parametrize("bin_anchor", ["midpoint", "edge"])
@pytest.mark.parametrize("regressor", [True, False])
def test_predictions_equal_naive_loop(tiny_clip, uneven, bin_anchor, regressor):
    model = NumCLIP(tiny_clip, uneven, bin_anchor=bin_anchor, regressor=regressor)
    if regressor:
        torch.nn.init.normal_(model.regressor.layers[2].bias, std=0.3)
    expected, anchors = [], model.anchors.tolist()
    for row in model.logits(random_features()).tolist():
        if regressor:
            normalized = naive_regressor(model.regressor, row, anchors)
        else:
            normalized = sum(p * a for p, a in zip(naive_softmax(row), anchors, strict=True))
        expected.append(min(max(1 + 8 * normalized, 1), 9))
    prediction = model.predict_from_features(random_features())
    np.testing.assert_allclose(prediction.value, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("form", "norm"),
    [
        ("plain", "mean_one"),
        ("paper", "mean_one"),
        ("paper", "sum_to_one"),
        ("released", "mean_one"),
    ],
)
def test_loss_is_sum_of_enabled_terms(tiny_clip, uneven, form, norm):
    model = NumCLIP(tiny_clip, uneven, fcrc_form=form, fcrc_norm=norm)
    features, values = random_features(), [1.0, 2.0, 3.9, 4.0, 9.0, 1.5]
    logits, bins = model.logits(features), torch.tensor([0, 1, 1, 2, 2, 0])
    anchors = model.anchors.tolist()
    ranking, kl = fcrc(logits, bins, form, norm).item(), text_to_image_kl(logits, bins).item()
    errors = [
        abs(naive_regressor(model.regressor, row, anchors) - (value - 1) / 8)
        for row, value in zip(logits.tolist(), values, strict=True)
    ]
    l1 = sum(errors) / len(errors)
    assert min(ranking, kl, l1) > 0.01

    def loss(**changes):
        model.options = replace(model.options, **changes)
        return model.loss(features, torch.tensor(values)).item()

    assert loss() == pytest.approx(ranking + kl + l1, rel=1e-4)
    assert loss(text_to_image_loss=False) == pytest.approx(ranking + l1, rel=1e-4)
    # The values run from 1 to 9.
    assert loss(scale_error=False) == pytest.approx(ranking + 8 * l1, rel=1e-4)
    weighted = loss(loss_weights=(2.0, 0.5, 3.0), text_to_image_loss=True, scale_error=True)
    assert weighted == pytest.approx(2 * ranking + 0.5 * kl + 3 * l1, rel=1e-4)
    model.options = replace(model.options, loss_weights=(1.0, 1.0, 1.0))
    model.regressor = None
    assert loss(text_to_image_loss=False) == pytest.approx(ranking, rel=1e-4)


@pytest.mark.parametrize(
    ("options", "trained"),
    [
        ({}, {BIN_EMBEDDINGS}),
        ({"tune_bin_embeddings": False}, set()),
        ({"tune_context": True}, {"prompt_learner.context", BIN_EMBEDDINGS}),
        ({"n_ctx": 3, "tune_bin_embeddings": False}, {"prompt_learner.context"}),
    ],
)
def test_trainable_prompt_parameters_follow_options(tiny_clip, uneven, options, trained):
    names = NumCLIP(tiny_clip, uneven, **options).trainable_state_dict()
    assert {name for name in names if name.startswith("prompt_learner.")} == trained


def test_check_training_data_warns_about_empty_bins(tiny_clip, seven):
    model = NumCLIP(tiny_clip, seven.task)
    with pytest.warns(UserWarning, match="uneven/train has no images in the bins 'few': "):
        history = fit(
            model, seven.subset(seven.values >= 2), seven, TrainingConfig(epochs=2), progress=False
        )
    assert history["loss"].notna().all()
    with pytest.warns(UserWarning, match="in the bins 'several', 'a great many'"):
        model.check_training_data(seven.subset([0]))
    with warnings.catch_warnings(action="error"):
        model.check_training_data(seven)


def test_anchors_in_the_unit_of_the_task(tiny_clip, uneven):
    """As released: lower edges of the bins, divided by factors without a limit."""
    options = {"bin_anchor": "edge", "scale_anchors": False, "min_divisor": 0.0}
    model = NumCLIP(tiny_clip, uneven, **options)
    assert model.anchors.tolist() == [0, 2, 4]
    torch.nn.init.normal_(model.regressor.layers[2].bias, std=2.0)
    expected, logits = [], model.logits(random_features())
    factors = 1 + model.regressor.layers(logits).tanh()
    assert (factors < 0.5).any()
    for row, factor in zip(logits.tolist(), factors.tolist(), strict=True):
        p = naive_softmax(row)
        expected.append(sum(p[i] * edge / factor[i] for i, edge in enumerate((0, 2, 4))))
    prediction = model.predict_from_features(random_features())
    np.testing.assert_allclose(prediction.value, np.clip(expected, 1, 9), atol=1e-4)
    values = torch.tensor([1.0, 2, 3, 5, 9, 4])
    model.options = replace(model.options, loss_weights=(0.0, 0.0, 1.0), scale_error=False)
    errors = [abs(y - value) for y, value in zip(expected, values.tolist(), strict=True)]
    loss = model.loss(random_features(), values).item()
    assert loss == pytest.approx(sum(errors) / len(errors), rel=1e-4)


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("loss_weights", (1.0, 1.0), "must be three"),
        ("loss_weights", (1.0, -1.0, 0.0), "each 0 or more"),
        ("min_divisor", 1.0, "below 1"),
    ],
)
def test_config_rejects_numbers_out_of_range(tiny_clip, uneven, name, value, rule):
    with pytest.raises(ValueError, match=f"{name} = .*{rule}"):
        NumCLIP(tiny_clip, uneven, **{name: value})


@pytest.mark.parametrize(
    ("name", "value"), [("fcrc_form", "printed"), ("fcrc_norm", "none"), ("bin_anchor", "upper")]
)
def test_config_rejects_unknown_choice(tiny_clip, uneven, name, value):
    with pytest.raises(ValueError, match=f"{name} = '{value}': must be one of"):
        NumCLIP(tiny_clip, uneven, **{name: value})


def test_save_pretrained_drops_unused_placeholders(tiny_clip, uneven, tmp_path):
    assert uneven.placeholders
    model = NumCLIP(tiny_clip, uneven)
    model.save_pretrained(tmp_path)
    task = json.loads((tmp_path / "config.json").read_text())["task"]
    assert task["placeholders"] == {}
    assert task["templates"] == ["a photo of {rank} star"]
    loaded = NumCLIP.from_pretrained(tmp_path, tiny_clip)
    assert torch.equal(loaded.text_features(), model.text_features())


def test_regressor_refuses_bins_that_would_take_gigabytes(tiny_clip):
    ranks = {"name": "cents", "unit": "cents", "values": tuple(range(2001))}
    task = OrdinalTask(**ranks)
    with pytest.raises(ValueError, match=r"regressor = True: 2,001 bins would need 16,016,004 wei"):
        NumCLIP(tiny_clip, task)
    assert NumCLIP(tiny_clip, task, regressor=False).regressor is None
    NumCLIP(tiny_clip, OrdinalTask(**ranks, bin_edges=(0, 999), bin_phrases=("low", "high")))
