"""Wrong models and data of cross_validate and cross_val_predict: named before any is trained."""

import copy

import numpy as np
import pytest
import torch
import training_runs as runs

from ordlib import CoOp, LinearProbe, load_clip, load_task
from ordlib.metrics.prediction import Prediction
from ordlib.training.cross_validation import cross_val_predict, cross_validate

CONFIG = {"epochs": 1}
OPTIONS = {"n_splits": 3, "progress": False}


@pytest.fixture(scope="module")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, "cpu")


@pytest.fixture(scope="module")
def data():
    return runs.make_data("train", 30)


def generator(seed):
    yield seed


class Fake:
    """A model of which only predict matters."""

    def __init__(self, predict):
        self.predict = predict


SECOND = {
    "None": (lambda clip: lambda seed: None, "returned None, which is no model"),
    "text": (lambda clip: lambda seed: "numclip", "returned 'numclip', which is no model"),
    "class": (lambda clip: lambda seed: CoOp, "returned <class .*CoOp'>, which is no model"),
    "generator": (lambda clip: generator, "returned <generator .* which is no model"),
    "without argument": (lambda clip: lambda: None, "takes 0 positional arguments but 1 was"),
    "clip missing": (lambda clip: lambda seed: CoOp(), "missing .* required positional argument"),
    "other task": (lambda clip: lambda seed: CoOp(clip, load_task("dating")),
                   "returned a model of dating; the data belong to task 'brightness'"),
    "one model": (lambda clip: (lambda model: lambda seed: model)(CoOp(clip, runs.TASK)),
                  "returns the same model each time"),
}  # fmt: skip


@pytest.mark.parametrize(("make", "message"), SECOND.values(), ids=SECOND)
def test_the_last_model_is_checked_before_the_first_is_trained(clip, data, make, message):
    def predict(images):
        raise AssertionError("trained before the check")

    models = {"first": lambda seed: Fake(predict), "second": make(clip)}
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        cross_validate(models, data, CONFIG, **OPTIONS)
    assert "models['second']" in str(caught.value)
    with pytest.raises((TypeError, ValueError), match=message):
        cross_val_predict(models["second"], data, CONFIG, n_splits=3)


@pytest.mark.parametrize("config", [3, "epochs", ["epochs"], {"epoch": 1}, {"epochs": "1"}])
@pytest.mark.parametrize("method", [CoOp, LinearProbe])
def test_configs_are_checked_whatever_the_model(clip, data, config, method):
    with pytest.raises((TypeError, ValueError), match=r"config|epochs"):
        cross_validate({"a": lambda seed: method(clip, runs.TASK)}, data, config, **OPTIONS)


@pytest.mark.parametrize("field", [{"lr_multipliers": {"image_encoder": 2}}, {"prompt_epochs": 1}])
def test_configs_of_another_method_are_refused_before_the_first_is_trained(clip, data, field):
    models = {"first": lambda seed: Fake(None), "second": lambda seed: CoOp(clip, runs.TASK)}
    with pytest.raises(ValueError, match=next(iter(field))):
        cross_validate(models, data, {"epochs": 2} | field, **OPTIONS)


@pytest.mark.parametrize("predict", [
    lambda images: Prediction(np.zeros(1), np.zeros(1)), lambda images: None,
    lambda images: np.zeros(len(images)), lambda images: [0.0] * len(images),
    lambda images: Prediction(np.zeros(len(images) + 1), np.zeros(len(images) + 1)),
])  # fmt: skip
def test_predictions_of_other_images_are_refused(data, predict):
    """A single one would be taken for those of all images."""
    make = lambda seed: Fake(predict)  # noqa: E731
    with pytest.raises(TypeError, match=r"Fake\.predict returned .*must be a Prediction of 10"):
        cross_validate({"a": make}, data, **OPTIONS)
    with pytest.raises(TypeError, match="must be a Prediction of 10 images"):
        cross_val_predict(make, data, n_splits=3)


@pytest.mark.parametrize("n_splits", [31, 10**6, 10**30])
def test_too_many_folds_are_named_in_a_line(clip, data, n_splits):
    with pytest.raises(ValueError, match=f"n_splits = {n_splits}: 30 images are too few") as caught:
        cross_validate({"a": lambda seed: None}, data, n_splits=n_splits)
    assert len(str(caught.value)) < 200


@pytest.mark.filterwarnings("ignore:the best epoch", "ignore:val = None")
def test_copies_of_a_trained_model_are_named(clip, data):
    trained = CoOp(clip, runs.TASK)
    fit = runs.fit(trained, data, data, CONFIG, progress=False)
    assert len(fit) == 1
    make = lambda seed: copy.deepcopy(trained)  # noqa: E731
    with pytest.warns(UserWarning, match=r"models\['a'\]: returns a trained model; if it was"):
        cross_validate({"a": make}, data, CONFIG, **OPTIONS)


def test_models_that_are_only_checked_leave_the_random_numbers_alone(clip, data):

    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    with pytest.raises(TypeError, match="no model"):
        cross_val_predict(lambda seed: torch.rand(1) and None, data)
    assert torch.equal(torch.rand(1), expected)
