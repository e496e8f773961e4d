"""Prompts are encoded once, and again after a change; what else may be trained."""

import numpy as np
import pytest
import torch

from ordlib import L2RCLIP, CoOp, NumCLIP, OrdinalCLIP, fit


@pytest.fixture(params=[CoOp, OrdinalCLIP, NumCLIP, L2RCLIP])
def model(request, tiny_clip, uneven):
    return request.param(tiny_clip, uneven)


@pytest.fixture
def calls(tiny_clip, monkeypatch) -> list[int]:
    """One entry for every time that prompts are encoded."""
    encode, found = tiny_clip.encode_text_embeddings, []

    def counted(embeddings, eos_positions):
        found.append(len(embeddings))
        return encode(embeddings, eos_positions)

    monkeypatch.setattr(tiny_clip, "encode_text_embeddings", counted)
    return found


def optimizer_step(model):
    features, values = torch.randn(4, model.clip.embed_dim), torch.tensor([1.0, 2.0, 5.0, 9.0])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    model.loss(features, values).backward()
    optimizer.step()


def load_other_parameters(model):
    state = {name: t + 0.5 for name, t in model.trainable_state_dict().items()}
    model.load_trainable_state_dict(state)


@torch.no_grad()
def change_in_place(model):
    for tensor in model.trainable_state_dict().values():
        tensor.mul_(1.5)


def test_prediction_encodes_prompts_once(model, calls):
    features = torch.randn(3, model.clip.embed_dim)
    calls.clear()
    values = [model.predict_from_features(features[[row]]).value.item() for row in (0, 1, 2)]
    assert len(calls) == 1
    np.testing.assert_allclose(values, model.predict_from_features(features).value, rtol=1e-5)


@pytest.mark.parametrize("change", [optimizer_step, load_other_parameters, change_in_place])
def test_prediction_follows_every_change_of_a_parameter(model, change, calls):
    features = torch.randn(3, model.clip.embed_dim)
    before = model.predict_from_features(features).value
    change(model)
    calls.clear()
    after = model.predict_from_features(features).value
    assert len(calls) == 1
    assert not np.array_equal(before, after)
    fresh = type(model)(model.clip, model.task)
    fresh.load_trainable_state_dict(model.trainable_state_dict())
    np.testing.assert_array_equal(fresh.predict_from_features(features).value, after)


def test_training_encodes_prompts_at_every_step(model, calls):
    model.predict_from_features(torch.randn(3, model.clip.embed_dim))
    calls.clear()
    for step in (1, 2):
        optimizer_step(model)
        assert len(calls) == step


def test_prediction_with_a_model_built_in_inference_mode(model):
    features = torch.randn(3, model.clip.embed_dim)
    with torch.inference_mode():
        other = type(model)(model.clip, model.task)
        values = other.predict_from_features(features).value
    np.testing.assert_allclose(values, model.predict_from_features(features).value, rtol=1e-4)


@pytest.mark.parametrize("method", [CoOp, OrdinalCLIP, NumCLIP, L2RCLIP])
def test_text_encoder_and_logit_scale_can_be_trained(tiny_clip, seven, tmp_path, method):
    frozen = method(tiny_clip, seven.task)
    model = method(tiny_clip, seven.task, text_encoder="full", tune_logit_scale=True)
    before = model.predict(seven).value
    np.testing.assert_allclose(before, frozen.predict(seven).value, rtol=1e-4)
    assert {"text_encoder", "logit_scale"} <= model.parameter_groups().keys()
    names = model.trainable_state_dict()
    assert not any("token_embedding" in name for name in names)
    fit(model, seven, seven, {"epochs": 2, "learning_rate": 0.01}, progress=False)
    assert tiny_clip.weights_unchanged
    projection = tiny_clip.text_encoder.projection.weight
    assert not torch.equal(model.text_encoder.projection.weight, projection)
    assert abs(float(model.logit_scale) - tiny_clip.logit_scale) > 0.01
    model.save_pretrained(tmp_path / "component")
    loaded = method.from_pretrained(tmp_path / "component", tiny_clip)
    assert np.array_equal(loaded.predict(seven).value, model.predict(seven).value)
    with torch.no_grad():
        model.text_encoder.projection.weight.zero_()
    # Encoded prompts are kept between predictions; a changed text encoder makes new ones.
    assert not np.array_equal(loaded.predict(seven).value, model.predict(seven).value)


def test_a_text_encoder_is_trained_in_the_first_of_two_stages(tiny_clip, seven):
    options = {"image_encoder": "lora", "text_encoder": "full", "tune_logit_scale": True}
    model = CoOp(tiny_clip, seven.task, **options)
    config = {"epochs": 2, "prompt_epochs": 1, "learning_rate": 0.01}
    history = fit(model, seven, seven, config, progress=False)
    assert len(history) == 2
    assert abs(float(model.logit_scale) - tiny_clip.logit_scale) > 0.001
