"""Odd arguments of fit, cross_validate, LinearProbe, rank and predict are named before the work."""

import sys

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from small_adapter import noise, small_adapter

from ordlib import (
    CORN,
    LinearProbe,
    RankingAdapter,
    TrainingConfig,
    ZeroShot,
    cross_val_predict,
    cross_validate,
    fit,
    load_clip,
    load_component,
    load_task,
    rank,
)
from ordlib.inference import predict_files

TRAIN, VAL, OTHER = (
    noise("dating", "train", 12),
    noise("dating", "val", 6),
    noise("counting", "c", 5),
)
STARS = "the number of stars"
IMAGE, ARRAY = Image.new("RGB", (9, 9)), np.zeros((9, 9, 3), np.uint8)


@pytest.fixture(scope="module")
def clip(tiny_clip_folder):
    return load_clip(tiny_clip_folder, "cpu")


@pytest.fixture(scope="module")
def models(clip, tiny_clip_folder):
    corn = CORN(clip, load_task("dating"))
    corn.calibrate_intervals(VAL)
    return {"corn": corn, "adapter": small_adapter(tiny_clip_folder)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for i in range(3):
        noise("dating", "s", 3)[i].save(folder / f"{i}.png")
    return folder


@pytest.fixture(autouse=True)
def _no_work(monkeypatch):
    def work(*_arguments, **_options):
        pytest.fail("The work has begun.")

    for name, function in (("fit", "_train"), ("cross_validation", "_trained")):
        monkeypatch.setattr(sys.modules[f"ordlib.training.{name}"], function, work)


@pytest.mark.parametrize(("options", "message"), [
    *(({"train": x}, "^train = (?s:.*): must be an ImageData") for x in (
        "x", None, 5, ["a.png"], pd.DataFrame({"path": [1]}), ARRAY, [TRAIN, None])),
    ({"train": []}, "^train: is empty"), ({"train": [], "val": None}, "^train: is empty"),
    ({"train": {"train": TRAIN}}, "^train = dict of"),
    ({"train": [TRAIN, TRAIN]}, "^train: 2 data sets; CORN takes one"),
    *(({"val": x}, "^val = ") for x in ("val", 5, [5], {"val": VAL})),
    ({"val": []}, "^val: is empty"), ({"val": [VAL, VAL]}, "^val: 2 data sets"),
    ({"val": None, "train": TRAIN.subset([0])}, "no validation images can be held out"),
    *(({"config": x}, "^config = .*: must be a TrainingConfig or a dict") for x in (
        [1], "fast", 3, TrainingConfig, True, [("epochs", 1)])),
    ({"config": {"epoch": 1}}, "no field 'epoch'"),
    *(({"calibration": x}, "^calibration = ") for x in ("x", True, 5, [5], "Auto")),
    ({"calibration": OTHER}, "^calibration: belongs to task 'counting'; .* for dating"),
    ({"calibration": [VAL, VAL]}, "^calibration: 2 data sets"),
    *(({"checkpoint_dir": x}, "^checkpoint_dir = ") for x in (5, b"x", "", True, ["x"])),
])  # fmt: skip
def test_fit_names_the_argument(models, options, message):
    arguments = {"train": TRAIN, "val": VAL, "config": {"epochs": 1}, "progress": False} | options
    with pytest.raises((TypeError, ValueError), match=message):
        fit(models["corn"], **arguments)


def test_fit_names_what_is_no_trainable_model(clip):
    for model in ("corn", CORN, None, TRAIN, clip, ZeroShot(clip, "dating")):
        with pytest.raises(TypeError, match=r"^model = .*: fit trains a method or an adapter"):
            fit(model, TRAIN, VAL)
    with pytest.raises(TypeError, match=r"call model\.fit\(train\)"):
        fit(LinearProbe(clip, "dating"), TRAIN, VAL)


def probe(_seed):
    return LinearProbe(lambda data: data.images.mean((1, 2)), "dating")


@pytest.mark.parametrize(("options", "message"), [
    *(({"models": x}, "^models = ") for x in (probe, {}, None, [probe], "ridge")),
    *(({"models": {"a": x}}, r"^models\['a'\]") for x in (None, "ridge", 5, probe(0))),
    *(({"data": x}, "^data = ") for x in ({"train": TRAIN}, "x", None, [TRAIN], ARRAY)),
    *(({"n_splits": x}, "^n_splits = ") for x in (0, 1, "3", 2.5, None, True)),
    *(({"n_repeats": x}, "^n_repeats = ") for x in (0, "1", 1.5, None)),
    *(({"seed": x}, "^seed = ") for x in (-1, "a", 1.5, None)),
    *(({"reference": x}, "^reference = ") for x in ("b", 5, ["a"], probe)),
    ({"n_splits": 50}, "12 images are too few for 50 splits"),
])  # fmt: skip
def test_cross_validate_names_the_argument(options, message):
    arguments = {"models": {"a": probe}, "data": TRAIN, "progress": False} | options
    with pytest.raises((TypeError, ValueError), match=message):
        cross_validate(**arguments)


@pytest.mark.parametrize("data", [None, "x", {"train": TRAIN}])
def test_cross_val_predict_names_the_data(data):
    with pytest.raises(TypeError, match=r"^data = "):
        cross_val_predict(probe, data)


@pytest.mark.parametrize(("encode", "data", "message"), [
    *((None, data, "^train = ") for data in ("x", None, [TRAIN], {"train": TRAIN}, ARRAY)),
    (None, TRAIN.subset([0]), "^train: has 1 image"),
    *((lambda data, x=x: x(len(data)), TRAIN, "^encode.data.") for x in (
        lambda n: np.zeros((n, 2, 2)), lambda n: ["a"] * n, lambda n: np.zeros((n, 0)), print,
        lambda n: torch.ones(n, 2, requires_grad=True), lambda n: np.full((n, 2), np.nan))),
])  # fmt: skip
def test_linear_probe_names_the_argument(encode, data, message):
    model = LinearProbe(encode or (lambda data: data.images.mean((1, 2))), "dating")
    with pytest.raises((TypeError, ValueError), match=message):
        model.fit(data)


def test_linear_probe_names_the_calibration():
    for calibration in ("x", 5, [VAL]):
        with pytest.raises(TypeError, match=r"^calibration = "):
            probe(0).fit(TRAIN, calibration=calibration)


@pytest.mark.parametrize("paths", [
    None, 5, b"x", True, IMAGE, [IMAGE], ARRAY, [None], [b"a.png"], [["a.png"]], TRAIN, 1.5,
    pd.Series(["a.png", np.nan]), [5], object(),
])  # fmt: skip
@pytest.mark.parametrize("kind", ["corn", "adapter"])
def test_what_is_no_path_is_named(models, kind, paths):
    arguments = (paths,) if kind == "corn" else (paths, STARS)
    function = models["corn"].predict_files if kind == "corn" else rank
    options = {} if kind == "corn" else {"model": models["adapter"]}
    with pytest.raises(TypeError, match=r"^paths: (?s:.*) is no path; pass a folder"):
        function(*arguments, **options)


def test_paths_of_any_kind(models, folder):
    files = [str(folder / f"{i}.png") for i in (0, 1)]
    for paths in (files, (file for file in files), pd.Series(files), np.array(files), set(files),
                  dict.fromkeys(files), [*files, files[0]], f"{folder}/."):  # fmt: skip
        assert len(predict_files(models["corn"], paths)) in (2, 3)
    with pytest.raises(ValueError, match="list of 1 paths: no image files"):
        predict_files(models["corn"], (name for name in ["nowhere"]))


@pytest.mark.parametrize(("options", "message"), [
    *(({"prompt": x}, "^prompt = ") for x in (None, 5, ["a"], b"a")),
    *(({"reverse": x}, "^reverse = ") for x in (None, "no", "yes", 2, [True])),
    *(({"batch_size": x}, "^batch_size = ") for x in (0, 1.0, True, "4", None)),
    *(({"model": x}, "^model = .* takes no prompt") for x in (None, 5, RankingAdapter, b"x")),
    *(({"model": x}, f"no component {x!r}") for x in ("", "gone")),
    ({"bit_depth": "16"}, "bit_depth = "),
])  # fmt: skip
def test_rank_names_the_argument(models, folder, options, message):
    arguments = {"prompt": STARS, "model": models["adapter"]} | options
    with pytest.raises((TypeError, ValueError, OSError), match=message):
        rank(folder, **arguments)


def test_rank_names_a_model_without_a_prompt(models, folder):
    with pytest.raises(ValueError, match="is a CORN, which takes no prompt"):
        rank(folder, STARS, model=models["corn"])


def test_rank_reverses_by_numbers_too(models, folder):
    orders = [rank(folder, STARS, model=models["adapter"], reverse=x).first for x in (0, 1)]
    assert orders == ["highest score", "lowest score"]


@pytest.mark.parametrize(("options", "message"), [
    *(({"model": x}, "^model = .*: must be a trained model") for x in ("x", None, CORN, 5, TRAIN)),
    *(({"task": x}, "^task = ") for x in (["dating"], "counting", 5)),
    *(({"confidence_level": x}, "^confidence_level = ") for x in ("0.9", None, True, np.nan, 90)),
    *(({"batch_size": x}, "^batch_size = ") for x in ("4", 0, 1.5, None)),
    ({"batchsize": 4}, "batchsize"),
])  # fmt: skip
def test_predict_files_names_the_argument(models, folder, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        predict_files(**{"model": models["corn"], "paths": folder} | options)


@pytest.mark.parametrize("data", ["x", None, [VAL], OTHER])
def test_calibration_names_the_data(models, data):
    before = dict(models["corn"].calibrations)
    with pytest.raises((TypeError, ValueError), match=r"^data"):
        models["corn"].calibrate_intervals(data)
    assert models["corn"].calibrations == before


def test_intervals_take_the_name_of_a_task(models):
    prediction = models["corn"].predict(VAL)
    by_name = models["corn"].intervals(prediction, 0.5, "dating")
    assert np.array_equal(by_name, models["corn"].intervals(prediction, 0.5))
    for task in (5, ["dating"], "cooking"):
        with pytest.raises((TypeError, ValueError), match=r"^task = "):
            models["corn"].intervals(prediction, 0.5, task)


@pytest.mark.parametrize("function", [load_component, load_clip])
@pytest.mark.parametrize("name", [None, 5, b"x", "", ["x"], TRAIN])
def test_loading_names_the_argument(function, name):
    with pytest.raises((TypeError, ValueError, OSError), match=r"^(name = |no \w+ '')"):
        function(name)


@pytest.mark.parametrize("clip", [5, {"x": 1}, load_task("dating")])
def test_load_component_names_the_backbone(clip):
    with pytest.raises(TypeError, match=r"^clip = .* must be a CLIP backbone"):
        load_component("coop-dating", clip)
