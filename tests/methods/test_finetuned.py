import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from ordlib import CoOp, FineTuned, ZeroShot, fit, load_clip, load_data, load_task


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


def test_fit_names_prompts_that_clip_cannot_distinguish():
    """Trained prompts may start nearly equal, fixed ones stay so."""
    clip, task = load_clip("pico-clip", "cpu"), load_task("dating")
    train = load_data("dating", "train", num_images=20)
    text = torch.nn.functional.normalize(FineTuned(clip, task).text_features(), dim=-1)
    cosines = (text @ text.T).triu(1)
    a, b = np.unravel_index(int(cosines.argmax()), cosines.shape)
    count = int((cosines >= 0.995).sum())
    names = f"{task.rank_names[a]!r} and {task.rank_names[b]!r}"
    message = rf"to CLIP {count} of 10 pairs .*: {re.escape(names)}.*such as NumCLIP"
    with pytest.warns(UserWarning, match=message):
        fit(FineTuned(clip, task), train, train, {"epochs": 1}, progress=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore")
        warnings.filterwarnings("error", message=".*are nearly alike")
        fit(CoOp(clip, task), train, train, {"epochs": 1}, progress=False)
        far = replace(task, rank_names=("a red star", "a house", "a person", "two", "a dark sea"))
        fit(FineTuned(clip, far), train, train, {"epochs": 1}, progress=False)
