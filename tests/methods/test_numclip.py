"""NumCLIP: the regressor, the anchors, any number of bins, and the total, against loops."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from ordlib import NumCLIP, OrdinalTask, TrainingConfig, fit
from ordlib.methods.numclip import Regressor

PHRASES = ("one", "two", "three", "star", "photo")


def binned(task, count):
    """The task with `count` bins, the last of which holds all that is left."""
    edges = (0, 1.5, 2.5, 4, 7)[:count]
    return replace(task, bin_edges=edges, bin_phrases=PHRASES[:count])


def some_features(count=6):
    return torch.randn(count, 24, generator=torch.Generator().manual_seed(0))


def naive_value(regressor, logits, anchors):
    """One picture's value, bin by bin."""
    first, first_bias, second, second_bias = (p.detach().tolist() for p in regressor.parameters())
    hidden = [
        max(sum(w * x for w, x in zip(row, logits, strict=True)) + b, 0)
        for row, b in zip(first, first_bias, strict=True)
    ]
    value = 0.0
    for row, b, logit, anchor in zip(second, second_bias, logits, anchors, strict=True):
        delta = math.tanh(sum(w * x for w, x in zip(row, hidden, strict=True)) + b)
        probability = math.exp(logit) / sum(map(math.exp, logits))
        value += probability * anchor / min(max(1 + delta, 0.5), 2.0)
    return value


@pytest.mark.parametrize("spread", [0.001, 0.3, 3.0], ids=["first", "some", "clamped"])
def test_the_regressor_is_the_loop(spread):
    torch.manual_seed(0)
    regressor = Regressor(4).double()
    for parameter in regressor.parameters():
        torch.nn.init.normal_(parameter, std=spread)
    logits = 3 * torch.randn(30, 4, dtype=torch.float64)
    anchors = torch.tensor([0.0, 0.2, 0.5, 0.9], dtype=torch.float64)
    expected = [naive_value(regressor, row, anchors.tolist()) for row in logits.tolist()]
    torch.testing.assert_close(regressor(logits, anchors), torch.tensor(expected).double())


def test_the_divisor_is_clamped_at_both_ends():
    regressor = Regressor(2)
    anchors = torch.tensor([0.4, 0.4])
    for bias, expected in ((-9.0, 0.8), (9.0, 0.2), (-0.2, 0.4 / (1 - math.tanh(0.2)))):
        torch.nn.init.constant_(regressor.layers[2].bias, bias)
        assert regressor(torch.zeros(1, 2), anchors).item() == pytest.approx(expected, abs=1e-6)


def test_the_regressor_starts_as_the_release_has_it(tiny_clip, uneven):
    regressor = NumCLIP(tiny_clip, uneven).regressor
    first, second = regressor.layers[0], regressor.layers[2]
    assert (first.weight.shape, second.weight.shape) == ((6, 3), (3, 6))
    assert not any(layer.bias.any() for layer in (first, second))
    assert all(0.0003 < layer.weight.std() < 0.002 for layer in (first, second))


@pytest.mark.parametrize(
    # Bins 0 to 2, 2 to 4, 4 to 10; the first holds rank 1 alone and stands on it.
    ("anchor", "places"),
    [("midpoint", [1, 3, 7]), ("edge", [0, 2, 4])],
)
def test_anchors_are_rescaled_to_the_ranks(tiny_clip, uneven, anchor, places):
    found = NumCLIP(tiny_clip, uneven, bin_anchor=anchor).anchors
    torch.testing.assert_close(found, torch.tensor([(place - 1) / 8 for place in places]))


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_any_number_of_bins(tiny_clip, seven, count):
    task = binned(seven.task, count)
    model, data = NumCLIP(tiny_clip, task), replace(seven, task=task)
    assert model.text_features().shape == (count, 24)
    history = fit(model, data, data, TrainingConfig(epochs=2), progress=False)
    assert history["loss"].notna().all()
    prediction = model.predict(data)
    assert ((prediction.value >= 1) & (prediction.value <= 9)).all()
    assert (prediction.probabilities is None) == (count < 5)
    assert ((bins := model.predict_bins(data)) >= 0).all()
    assert (bins < count).all()


def test_its_words_are_the_bins(tiny_clip, uneven):
    expected = tiny_clip.text_features([f"a photo of {p} star" for p in uneven.bin_phrases])
    found = NumCLIP(tiny_clip, uneven).text_features()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("decode", ["expectation", "argmax"])
def test_label_sized_bins_are_read_from_their_probabilities(tiny_clip, uneven, decode):
    task = replace(binned(uneven, 5), decode=decode)
    model = NumCLIP(tiny_clip, task)
    features = some_features()
    logits = model.logits(features).detach().double().numpy()
    found = model.predict_from_features(features)
    for row, given, value in zip(logits, found.probabilities, found.value, strict=True):
        probabilities = [math.exp(x) / sum(map(math.exp, row)) for x in row]
        np.testing.assert_allclose(given, probabilities, atol=1e-6)
        mean = sum(p * level for p, level in zip(probabilities, (1, 2, 3, 5, 9), strict=True))
        likeliest = (1, 2, 3, 5, 9)[max(range(5), key=probabilities.__getitem__)]
        assert value == pytest.approx(mean if decode == "expectation" else likeliest, abs=1e-5)


def test_as_many_bins_as_ranks_need_not_be_one_each(tiny_clip, uneven):
    task = replace(uneven, bin_edges=(0, 0.2, 0.4, 0.6, 4), bin_phrases=PHRASES)
    found = NumCLIP(tiny_clip, task).predict_from_features(some_features())
    assert found.probabilities is None


@pytest.mark.parametrize("anchor", ["midpoint", "edge"])
def test_other_bins_are_read_by_the_regressor(tiny_clip, uneven, anchor):
    model = NumCLIP(tiny_clip, uneven, bin_anchor=anchor)
    torch.nn.init.normal_(model.regressor.layers[2].bias, std=0.3)
    logits = model.logits(some_features()).tolist()
    places = [naive_value(model.regressor, row, model.anchors.tolist()) for row in logits]
    expected = [min(max(1 + 8 * place, 1), 9) for place in places]
    np.testing.assert_allclose(
        model.predict_from_features(some_features()).value, expected, atol=1e-4
    )


def test_without_a_regressor_a_value_is_the_mean_of_the_anchors(tiny_clip, uneven):
    model = NumCLIP(tiny_clip, uneven, regressor=False)
    assert model.regressor is None
    found = model.predict_from_features(some_features()).value
    for row, value in zip(model.logits(some_features()).tolist(), found, strict=True):
        weights = [math.exp(x) for x in row]
        mean = sum(w * place for w, place in zip(weights, (1, 3, 7), strict=True)) / sum(weights)
        assert value == pytest.approx(mean, abs=1e-4)


def naive_terms(model, features, values, own):
    """Ranking regularisation, text to image and absolute error, picture by picture."""
    options, logits = model.options, model.logits(features).tolist()
    d = len(logits[0])
    ranking, kl, error = [], [], []
    for row, c in zip(logits, own, strict=True):
        total = sum(abs(c - j) for j in range(d))
        size = d - 1 if options.fcrc_norm == "mean_one" or options.fcrc_form == "released" else 1
        weights = [1.0 if j == c else size * abs(c - j) / total for j in range(d)]
        if options.fcrc_form == "plain":
            weights = [1.0] * d
        if options.fcrc_form == "released":
            parts = [math.exp(w * x) for w, x in zip(weights, row, strict=True)]
        else:
            parts = [w * math.exp(x) for w, x in zip(weights, row, strict=True)]
        ranking.append(-math.log(parts[c] / sum(parts)))
    for i in sorted(set(own)):
        total = sum(abs(i - c) for c in own)
        weights = [1.0 if c == i else (d - 1) * abs(i - c) / total for c in own]
        parts = [math.exp(w * row[i]) for w, row in zip(weights, logits, strict=True)]
        target = [math.exp(10.0 * (c == i)) for c in own]
        target = [t / sum(target) for t in target]
        kl.append(sum(t * math.log(t * sum(parts) / p) for t, p in zip(target, parts, strict=True)))
    for row, value in zip(logits, values, strict=True):
        place = naive_value(model.regressor, row, model.anchors.tolist())
        error.append(abs(place - (value - 1) / 8))
    return [sum(each) / len(each) for each in (ranking, kl, error)]


@pytest.mark.parametrize(
    ("form", "norm"),
    [
        ("plain", "mean_one"),
        ("paper", "mean_one"),
        ("paper", "sum_to_one"),
        ("released", "mean_one"),
    ],
)
def test_the_total_is_the_sum_of_three_terms(tiny_clip, uneven, form, norm):
    model = NumCLIP(tiny_clip, uneven, fcrc_form=form, fcrc_norm=norm)
    features, values = some_features(), [1.0, 2.0, 3.9, 4.0, 9.0, 1.5]
    ranking, kl, error = naive_terms(model, features, values, [0, 1, 1, 2, 2, 0])
    assert min(ranking, kl, error) > 0.01

    def total(**change):
        model.options = replace(model.options, **change)
        return model.loss(features, torch.tensor(values)).item()

    assert total() == pytest.approx(ranking + kl + error, rel=1e-4)
    assert total(text_to_image_loss=False) == pytest.approx(ranking + error, rel=1e-4)
    model.regressor = None
    assert total(text_to_image_loss=False) == pytest.approx(ranking, rel=1e-4)


@pytest.mark.parametrize(
    ("options", "tuned"),
    [
        ({}, {"prompt_learner.rank_embeddings.embeddings"}),
        ({"tune_bin_embeddings": False}, set()),
        (
            {"tune_context": True},
            {"prompt_learner.context", "prompt_learner.rank_embeddings.embeddings"},
        ),
        ({"n_ctx": 3, "tune_bin_embeddings": False}, {"prompt_learner.context"}),
    ],
)
def test_which_words_are_tuned(tiny_clip, uneven, options, tuned):
    names = NumCLIP(tiny_clip, uneven, **options).trainable_state_dict()
    assert {name for name in names if name.startswith("prompt_learner.")} == tuned


def test_a_bin_without_pictures_is_named_and_the_rest_trains(tiny_clip, seven):
    model = NumCLIP(tiny_clip, seven.task)
    some = seven.subset(seven.values >= 2)
    with pytest.warns(UserWarning, match=r"uneven/train has no picture in the bin 'few'"):
        history = fit(model, some, seven, TrainingConfig(epochs=2), progress=False)
    assert history["loss"].notna().all()
    with pytest.warns(UserWarning, match=r"the bins 'several', 'a great many'"):
        model.check_training_data(seven.subset([0]))


@pytest.mark.filterwarnings("error")
def test_full_bins_need_no_warning(tiny_clip, seven):
    NumCLIP(tiny_clip, seven.task).check_training_data(seven)


@pytest.mark.parametrize(
    ("name", "value"), [("fcrc_form", "printed"), ("fcrc_norm", "none"), ("bin_anchor", "upper")]
)
def test_unknown_choices(tiny_clip, uneven, name, value):
    with pytest.raises(ValueError, match=f"{name} = '{value}': must be one of"):
        NumCLIP(tiny_clip, uneven, **{name: value})


@pytest.mark.parametrize(
    ("edges", "phrases", "message"),
    [
        ((0, 2, 2), PHRASES[:3], "bin_edges .* holds 2 twice"),
        ((0, 3, 2), PHRASES[:3], "bin_edges .* 2 follows 3"),
        ((0, 2, 3), PHRASES[:2], "bin_phrases .* 2 given for 3 bins"),
        ((0, 1, 2, 3, 4, 5), (*PHRASES, "six"), "6 bins for 5 ranks; use fewer"),
        ((0,), PHRASES[:1], "one bin tells nothing apart"),
        ((2, 3), PHRASES[:2], "the lowest rank, 1, has no bin"),
    ],
)
def test_bins_that_make_no_task(edges, phrases, message):
    with pytest.raises(ValueError, match=message):
        OrdinalTask(
            name="own", unit="u", values=(1, 2, 3, 5, 9), bin_edges=edges, bin_phrases=phrases
        )


def test_what_is_kept_names_no_object_that_the_prompts_never_name(tiny_clip, uneven, tmp_path):
    assert uneven.placeholders
    model = NumCLIP(tiny_clip, uneven)
    model.save_pretrained(tmp_path)
    kept = json.loads((tmp_path / "config.json").read_text())["task"]
    assert kept["placeholders"] == {}
    assert kept["templates"] == ["a photo of {rank} star"]
    found = NumCLIP.from_pretrained(tmp_path, tiny_clip)
    assert torch.equal(found.text_features(), model.text_features())
