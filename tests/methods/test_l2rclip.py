"""L2RCLIP: equivalence with CoOp, trained parameters, loss, predictions, validation."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ordlib import CoOp, load_component
from ordlib.losses import l2rclip_loss
from ordlib.methods.l2rclip import L2RCLIP

ADAPTER = {"image_encoder.adapter.layers.0.weight", "image_encoder.adapter.layers.2.weight"}
PROMPTS = {"prompt_learner.context", "prompt_learner.rank_embeddings.embeddings"}


def loss_of(model, data):
    features = model.encode(model.make_loader(data)(range(len(data))))
    return model.loss(features, torch.tensor(data.values).float())


def encoder_parameters(model) -> set[str]:
    return {
        name for name in model.trainable_state_dict() if name.startswith("image_encoder.encoder.")
    }


def test_l2rclip_without_its_parts_equals_coop(tiny_clip, seven):
    coop = CoOp(tiny_clip, seven.task)
    model = L2RCLIP(
        tiny_clip, seven.task, attention_over="off", pairwise_loss="off", contrastive_weight=0.0
    )
    assert torch.equal(model.text_features(), coop.text_features())
    torch.testing.assert_close(loss_of(model, seven), loss_of(coop, seven))
    assert model.trainable_state_dict().keys() == coop.trainable_state_dict().keys()


@pytest.mark.parametrize("attention_over", ["ranks", "tokens", "both"])
def test_text_features_with_alpha_0_equal_coop(tiny_clip, uneven, attention_over):
    expected = CoOp(tiny_clip, uneven).text_features()
    model = L2RCLIP(tiny_clip, uneven, attention_over=attention_over, alpha=0.0)
    assert torch.equal(model.text_features(), expected)
    blended = L2RCLIP(tiny_clip, uneven, attention_over=attention_over, alpha=0.5).text_features()
    assert (blended - expected).norm(dim=1).min() > 0.1
    torch.testing.assert_close(model.text_features(alpha=0.5), blended)


@pytest.mark.parametrize("pairwise", ["both", "tightness", "diversity", "batch", "off"])
def test_loss_equals_l2rclip_loss_with_options(tiny_clip, seven, pairwise):
    options = {"pairwise_loss": pairwise, "pairwise_weight": 2.0, "gamma": 0.5}
    options["contrastive_weight"] = 0.25
    model = L2RCLIP(tiny_clip, seven.task, adapter=False, **options)
    values = torch.tensor(seven.values).float()
    features = model.encode(model.make_loader(seven)(range(7)))
    # 2.4 is nearest to rank 2; 4 is halfway between 3 and 5, and is assigned to 5.
    ranks, rank_values = torch.tensor([0, 1, 2, 3, 4, 1, 3]), torch.tensor([1.0, 2, 3, 5, 9])
    expected = l2rclip_loss(
        features, model.text_features(), ranks, values, rank_values,
        logit_scale=tiny_clip.logit_scale, **options,
    )  # fmt: skip
    torch.testing.assert_close(model.loss(features, values), expected)


@pytest.mark.parametrize("image_encoder", ["frozen", "lora"])
@pytest.mark.parametrize("rank_pos_embed", [None, "learned", "sinusoidal"])
@pytest.mark.parametrize("tune_alpha", [True, False])
def test_trainable_parameters_follow_options(
    tiny_clip, uneven, image_encoder, rank_pos_embed, tune_alpha
):
    model = L2RCLIP(
        tiny_clip, uneven,
        image_encoder=image_encoder, rank_pos_embed=rank_pos_embed, tune_alpha=tune_alpha,
    )  # fmt: skip
    names, lora = set(model.trainable_state_dict()), encoder_parameters(model)
    assert len(lora) == (8 if image_encoder == "lora" else 0)
    assert all("lora_" in name for name in lora)
    rankformer = {name for name in names if name.startswith("rankformer.")}
    assert names == ADAPTER | PROMPTS | lora | rankformer
    assert ("rankformer.alpha" in rankformer) is tune_alpha
    assert ("rankformer.pos_embed" in rankformer) is (rank_pos_embed == "learned")
    assert len(rankformer) == 12 + tune_alpha + (rank_pos_embed == "learned")


@pytest.mark.parametrize("image_encoder", ["frozen", "lora"])
def test_tune_prompts_false_freezes_prompts(tiny_clip, uneven, image_encoder):
    model = L2RCLIP(
        tiny_clip, uneven, image_encoder=image_encoder, tune_prompts=False, attention_over="off"
    )
    assert set(model.trainable_state_dict()) == ADAPTER | encoder_parameters(model)
    assert "prompts" not in model.parameter_groups()


def test_gradients_reach_all_trainable_parameters(tiny_clip, seven):
    model = L2RCLIP(
        tiny_clip, seven.task, attention_over="both", rank_pos_embed="learned", alpha=0.5
    )
    loss_of(model, seven).backward()
    for name, parameter in model.named_parameters():
        if name in model.trainable_state_dict():
            assert parameter.grad.any(), name


def test_on_after_step_clamps_alpha(tiny_clip, seven):
    model = L2RCLIP(tiny_clip, seven.task)
    for alpha, clamped in ((-0.5, 0.0), (3.0, 1.0), (0.25, 0.25)):
        model.rankformer.alpha.data.fill_(alpha)
        model.on_after_step()
        assert model.rankformer.alpha.item() == clamped
    L2RCLIP(tiny_clip, seven.task, attention_over="off").on_after_step()


@pytest.mark.parametrize(
    "options", [{"rank_pos_embed": "learned", "alpha": 0.2}, {"attention_over": "off"}]
)
def test_save_pretrained_round_trip(tiny_clip, seven, tmp_path, options):
    model = L2RCLIP(tiny_clip, seven.task, image_encoder="lora", **options)
    with torch.no_grad():
        for tensor in model.trainable_state_dict().values():
            tensor.add_(0.01 * torch.randn_like(tensor))
    model.save_pretrained(tmp_path)
    loaded = load_component(tmp_path, tiny_clip)
    assert type(loaded) is L2RCLIP
    assert loaded.options == model.options
    np.testing.assert_array_equal(loaded.predict(seven).value, model.predict(seven).value)


@pytest.mark.parametrize("decode", ["expectation", "argmax"])
def test_predict_decodes_as_task_defines(tiny_clip, seven, decode):
    task = replace(seven.task, decode=decode)
    prediction = L2RCLIP(tiny_clip, task).predict(seven)
    for value, row in zip(prediction.value, prediction.probabilities, strict=True):
        mean = sum(p * rank for p, rank in zip(row, task.rank_values, strict=True))
        expected = mean if decode == "expectation" else task.rank_values[row.argmax()]
        assert value == pytest.approx(expected, abs=1e-6)


def test_predict_encodes_prompts_once(tiny_clip, seven, monkeypatch):
    model, calls = L2RCLIP(tiny_clip, seven.task), []
    encode = tiny_clip.encode_text_embeddings
    monkeypatch.setattr(
        tiny_clip, "encode_text_embeddings", lambda *a: calls.append(1) or encode(*a)
    )
    model.predict(seven, batch_size=2)
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attention_over": "all"}, "attention_over = 'all': .* ranks, tokens, both, off"),
        ({"alpha": 1.5}, "alpha = 1.5: "),
        ({"alpha": -0.1, "attention_over": "off"}, "alpha = -0.1: "),
        (
            {"rank_pos_embed": "rotary"},
            "rank_pos_embed = 'rotary': .* learned, sinusoidal, or None",
        ),
        ({"pairwise_loss": "all"}, "pairwise_loss = 'all': .* both, tightness, diversity, batch"),
        ({"pairwise_weight": -1.0}, "pairwise_weight = -1.0: "),
        ({"gamma": -0.5}, "gamma = -0.5: "),
        ({"gamma": float("nan")}, "gamma = nan: "),
        ({"contrastive_weight": -2.0}, "contrastive_weight = -2.0: "),
        ({"tune_prompts": False}, "attention_over='ranks'.*; set attention_over='off'"),
        ({"template": "a photo"}, "template = 'a photo'"),
    ],
)
def test_config_rejects_invalid_options(tiny_clip, uneven, options, message):
    with pytest.raises(ValueError, match=message):
        L2RCLIP(tiny_clip, uneven, **options)
