import numpy as np
import pytest

from ordlib import FineTuned, ZeroShot


@pytest.mark.parametrize("templates", [(0,), (1,), (0, 1)])
def test_predict_equals_zero_shot_before_training(tiny_clip, seven, templates):
    options = {"image_encoder": "lora", "adapter": False, "templates": templates}
    prediction = FineTuned(tiny_clip, seven.task, **options).predict(seven)
    expected = ZeroShot(tiny_clip, seven.task, templates=templates).predict(seven)
    np.testing.assert_allclose(prediction.probabilities, expected.probabilities, atol=1e-4)


def test_text_features_are_not_trained(tiny_clip, uneven):
    model = FineTuned(tiny_clip, uneven, image_encoder="lora")
    assert not model.text_features().requires_grad
    assert set(model.parameter_groups()) == {"image_encoder", "adapter"}
