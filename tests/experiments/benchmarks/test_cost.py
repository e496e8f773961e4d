"""The cost of the methods, on few images: records, parameters, prediction without the cache."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from ordlib import CORN
from ordlib.clip import load_clip
from ordlib.experiments.benchmarks import cost
from ordlib.experiments.results import load_results
from ordlib.synthetic.load import load_data

FEW = ("zero-shot", "linear probe", "CORN", "L2RCLIP")


@pytest.fixture(scope="module")
def clip():
    return load_clip("pico-clip")


@pytest.fixture(scope="module")
def val(clip):
    return load_data("counting", "val", clip.image_size, 40)


@pytest.fixture(scope="module")
def table(clip, val):
    short = {"epochs": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cost, "METHODS_IN_TABLE", {m: cost.METHODS_IN_TABLE[m] for m in FEW})
        patch.setattr(cost, "TRAINED", ("CORN", "L2RCLIP"))
        patch.setattr(cost, "FROZEN", replace(cost.FROZEN, **short))
        one_stage = replace(cost.LORA_CONFIGS["CORN"], **short)
        two_stages = replace(cost.LORA_CONFIGS["L2RCLIP"], epochs=2, prompt_epochs=1)
        patch.setattr(cost, "LORA_CONFIGS", {"CORN": one_stage, "L2RCLIP": two_stages})
        patch.setattr(cost, "ADAPTER_CONFIG", replace(cost.ADAPTER_CONFIG, **short))
        patch.setattr(cost, "NUM_SINGLE", 2)
        patch.setattr(cost, "BATCH_SIZE", 8)
        train = load_data("counting", "train", clip.image_size, 80)
        return pd.DataFrame(cost.records(clip, train, val)).set_index(["method", "image_encoder"])


def test_records_cover_methods_and_encoders(table):
    rows = [(method, "frozen") for method in FEW]
    tuned = [("CORN", "lora"), ("L2RCLIP", "lora")]
    assert list(table.index) == [*rows, *tuned, (cost.SINGLE_TASK, "frozen")]
    speeds = table.filter(like="images_per_second")
    assert list(speeds) == ["images_per_second_1", "images_per_second_8"]
    assert (speeds > 0).all(axis=None)
    assert (table["train_seconds"].iloc[1:] > 0).all()


def test_num_parameters_are_counted(table, clip):
    width, ranks, lora_r, side = clip.embed_dim, 20, 8, clip.model.config.vision_config
    adapter = 2 * width * (width // 4)
    # Queries and values of every layer, each with two factors.
    lora = side.num_hidden_layers * 2 * 2 * side.hidden_size * lora_r
    corn = (ranks - 1) * (width + 1) + adapter
    expected = {("zero-shot", "frozen"): 0, ("linear probe", "frozen"): width + 1}
    expected |= {("CORN", "frozen"): corn, ("CORN", "lora"): corn + lora}
    for row, count in expected.items():
        assert table.loc[row, "num_parameters"] == count


def test_bytes_are_those_of_the_saved_weights(table):
    saved = table["bytes"].dropna()
    assert set(saved.index.get_level_values("method")) == {"CORN", "L2RCLIP", cost.SINGLE_TASK}
    corn = table.loc[("CORN", "frozen")]
    assert 4 * corn["num_parameters"] <= corn["bytes"] < 4 * corn["num_parameters"] + 50_000


def test_prediction_without_feature_cache_encodes_anew_and_equally(clip, val, monkeypatch):
    model, calls = CORN(clip, val.task), []
    expected = model.predict(val).value
    encode = clip.image_features

    def counted(pixels: torch.Tensor) -> torch.Tensor:
        calls.append(len(pixels))
        return encode(pixels)

    monkeypatch.setattr(clip, "image_features", counted)
    with cost._without_feature_cache():
        np.testing.assert_allclose(model.predict(val).value, expected, atol=1e-4)
    assert calls == [len(val)]
    model.predict(val)
    assert calls == [len(val)]


def test_shipped_table_has_every_method(clip):
    shipped = load_results("cost")
    entries = [(method, encoder) for method, encoder, *_ in cost._entries(clip)]
    assert list(zip(shipped["method"], shipped["image_encoder"], strict=True)) == entries
    assert shipped.attrs["command"] == "ordlib results make cost"
    assert (shipped["threads"] == 1).all()
