"""Fine-tuned CLIP: zero-shot's words, a picture side that learns."""

import numpy as np
import pytest
import torch

from ordlib import FineTuned, ZeroShot


@pytest.mark.parametrize("templates", [(0,), (1,), (0, 1)])
def test_it_starts_as_zero_shot(tiny_clip, seven, templates):
    model = FineTuned(
        tiny_clip, seven.task, image_encoder="lora", adapter=False, templates=templates
    )
    expected = ZeroShot(tiny_clip, seven.task, templates=templates).predict(seven)
    found = model.predict(seven)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-4)


def test_its_words_do_not_learn(tiny_clip, seven):
    model = FineTuned(tiny_clip, seven.task)
    assert not model.text_features().requires_grad
    assert set(model.parameter_groups()) == {"adapter"}
    assert set(FineTuned(tiny_clip, seven.task, image_encoder="lora").parameter_groups()) == {
        "image_encoder",
        "adapter",
    }


def test_a_template_that_is_not_there(tiny_clip, uneven):
    with pytest.raises(ValueError, match="templates"):
        FineTuned(tiny_clip, uneven, templates=(2,))


def test_the_loss_is_plain_cross_entropy(tiny_clip, uneven):
    model = FineTuned(tiny_clip, uneven)
    features = torch.randn(3, 24, generator=torch.Generator().manual_seed(0))
    logits = model.logits(features).double().numpy()
    expected = [
        np.log(np.exp(row - row[own]).sum()) for row, own in zip(logits, (4, 0, 1), strict=True)
    ]
    found = model.loss(features, torch.tensor([9.0, 1.0, 2.2])).item()
    assert found == pytest.approx(np.mean(expected), rel=1e-5)
