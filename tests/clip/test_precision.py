"""bfloat16 on a CPU: features and errors stay where they were."""

import pytest
import torch

from ordlib import LinearProbe, ZeroShot, load_clip, load_data
from ordlib.metrics import bootstrap, mae


@pytest.fixture(scope="module")
def clips():
    dtypes = (torch.float32, torch.bfloat16)
    return [load_clip("pico-clip", "cpu", dtype=dtype) for dtype in dtypes]


@pytest.fixture(scope="module")
def data():
    return load_data("dating", "val", num_images=200)


def test_bfloat16_features_agree_to_2_percent(clips, data):
    exact, half = (clip.encode_images(data) for clip in clips)
    assert 0 < ((half - exact).norm(dim=1) / exact.norm(dim=1)).max() < 2e-2


@pytest.mark.parametrize("method", ["zero-shot", "probe"])
def test_bfloat16_errors_lie_within_the_interval_of_float32(clips, data, method):
    train, val = data.subset(range(150)), data.subset(range(150, 200))
    errors = []
    for clip in clips:
        if method == "zero-shot":
            prediction = ZeroShot(clip, data.task).predict(val)
        else:
            prediction = LinearProbe(clip.encode_images, data.task).fit(train).predict(val)
        errors.append(bootstrap(mae, val.values, prediction.value))
    exact, half = errors
    assert exact.low <= half.estimate <= exact.high
