"""L2RCLIP: what it starts as, what is tuned, its total, and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ordlib import CoOp, load_component
from ordlib.losses import l2rclip_loss
from ordlib.methods.l2rclip import L2RCLIP

PLAIN = {"attention_over": "off", "pairwise_loss": "off", "contrastive_weight": 0.0}
ADAPTER = {"image_encoder.adapter.layers.0.weight", "image_encoder.adapter.layers.2.weight"}
WORDS = {"prompt_learner.context", "prompt_learner.rank_embeddings.embeddings"}


def loss_of(model, data):
    return model.loss(
        model.encode(model.make_loader(data)(range(7))), torch.tensor(data.values).float()
    )


def test_with_everything_off_it_is_coop(tiny_clip, seven):
    coop, model = CoOp(tiny_clip, seven.task), L2RCLIP(tiny_clip, seven.task, **PLAIN)
    assert torch.equal(model.text_features(), coop.text_features())
    torch.testing.assert_close(loss_of(model, seven), loss_of(coop, seven))
    assert model.trainable_state_dict().keys() == coop.trainable_state_dict().keys()


@pytest.mark.parametrize("attention_over", ["ranks", "tokens", "both"])
def test_alpha_0_is_coop_too_and_another_is_not(tiny_clip, uneven, attention_over):
    expected = CoOp(tiny_clip, uneven).text_features()
    model = L2RCLIP(tiny_clip, uneven, attention_over=attention_over, alpha=0.0)
    assert torch.equal(model.text_features(), expected)
    other = L2RCLIP(tiny_clip, uneven, attention_over=attention_over, alpha=0.5)
    assert (other.text_features() - expected).norm(dim=1).min() > 0.1
    torch.testing.assert_close(model.text_features(alpha=0.5), other.text_features())


@pytest.mark.parametrize("pairwise", ["both", "tightness", "diversity", "batch", "off"])
def test_the_loss_is_the_total_with_the_options_weights(tiny_clip, seven, pairwise):
    weights = {"pairwise_weight": 2.0, "gamma": 0.5, "contrastive_weight": 0.25}
    model = L2RCLIP(tiny_clip, seven.task, pairwise_loss=pairwise, adapter=False, **weights)
    values = torch.tensor(seven.values).float()
    features = model.encode(model.make_loader(seven)(range(7)))
    # 2.4 is nearest to the rank of 2; 4 lies halfway between 3 and 5, and counts as 5.
    ranks, rank_values = (
        torch.tensor([0, 1, 2, 3, 4, 1, 3]),
        torch.tensor([1.0, 2.0, 3.0, 5.0, 9.0]),
    )
    texts, scale = model.text_features(), tiny_clip.logit_scale
    expected = l2rclip_loss(
        features, texts, ranks, values, rank_values, scale=scale, pairwise_loss=pairwise, **weights
    )
    torch.testing.assert_close(model.loss(features, values), expected)


def tower_of(model) -> set[str]:
    return {
        name for name in model.trainable_state_dict() if name.startswith("image_encoder.encoder.")
    }


@pytest.mark.parametrize("image_encoder", ["frozen", "lora"])
@pytest.mark.parametrize("rank_pos_embed", [None, "learned", "sinusoidal"])
@pytest.mark.parametrize("tune_alpha", [True, False])
def test_what_is_tuned(tiny_clip, uneven, image_encoder, rank_pos_embed, tune_alpha):
    options = {
        "image_encoder": image_encoder,
        "rank_pos_embed": rank_pos_embed,
        "tune_alpha": tune_alpha,
    }
    model = L2RCLIP(tiny_clip, uneven, **options)
    names, lora = set(model.trainable_state_dict()), tower_of(model)
    assert len(lora) == (8 if image_encoder == "lora" else 0)
    assert all("lora_" in name for name in lora)
    blend = {name for name in names if name.startswith("rankformer.")}
    assert names == ADAPTER | WORDS | lora | blend
    assert ("rankformer.alpha" in blend) is tune_alpha
    assert ("rankformer.pos_embed" in blend) is (rank_pos_embed == "learned")
    assert len(blend) == 12 + tune_alpha + (rank_pos_embed == "learned")


@pytest.mark.parametrize("image_encoder", ["frozen", "lora"])
def test_words_that_are_not_tuned(tiny_clip, uneven, image_encoder):
    model = L2RCLIP(
        tiny_clip, uneven, image_encoder=image_encoder, tune_prompts=False, attention_over="off"
    )
    assert set(model.trainable_state_dict()) == ADAPTER | tower_of(model)
    assert "prompts" not in model.parameter_groups()


def test_gradients_reach_all_that_is_tuned(tiny_clip, seven):
    model = L2RCLIP(
        tiny_clip, seven.task, attention_over="both", rank_pos_embed="learned", alpha=0.5
    )
    loss_of(model, seven).backward()
    for name, parameter in model.named_parameters():
        if name in model.trainable_state_dict():
            assert parameter.grad.any(), name


def test_after_a_step_alpha_is_in_its_range(tiny_clip, seven):
    model = L2RCLIP(tiny_clip, seven.task)
    for moved, found in ((-0.5, 0.0), (3.0, 1.0), (0.25, 0.25)):
        with torch.no_grad():
            model.rankformer.alpha.fill_(moved)
        model.on_after_step()
        assert model.rankformer.alpha.item() == found
    L2RCLIP(tiny_clip, seven.task, attention_over="off").on_after_step()


@pytest.mark.parametrize(
    "options", [{"rank_pos_embed": "learned", "alpha": 0.2}, {"attention_over": "off"}]
)
def test_it_is_kept_and_loaded(tiny_clip, seven, tmp_path, options):
    model = L2RCLIP(tiny_clip, seven.task, image_encoder="lora", **options)
    with torch.no_grad():
        for tensor in model.trainable_state_dict().values():
            tensor.add_(0.01 * torch.randn_like(tensor))
    model.save_pretrained(tmp_path)
    found = load_component(tmp_path, tiny_clip)
    assert type(found) is L2RCLIP
    assert found.options == model.options
    np.testing.assert_array_equal(found.predict(seven).value, model.predict(seven).value)


@pytest.mark.parametrize("decode", ["expectation", "argmax"])
def test_predictions_are_read_as_the_task_says(tiny_clip, seven, decode):
    task = replace(seven.task, decode=decode)
    found = L2RCLIP(tiny_clip, task).predict(seven)
    for value, row in zip(found.value, found.probabilities, strict=True):
        mean = sum(p * level for p, level in zip(row, task.rank_values, strict=True))
        expected = mean if decode == "expectation" else task.rank_values[row.argmax()]
        assert value == pytest.approx(expected, abs=1e-6)


def test_texts_are_read_once_for_all_batches(tiny_clip, seven, monkeypatch):
    model, calls = L2RCLIP(tiny_clip, seven.task), []
    read = tiny_clip.encode_text_embeddings
    monkeypatch.setattr(tiny_clip, "encode_text_embeddings", lambda *a: calls.append(1) or read(*a))
    model.predict(seven, batch_size=2)
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"attention_over": "all"},
            "attention_over = 'all': must be one of ranks, tokens, both, off",
        ),
        ({"alpha": 1.5}, "alpha = 1.5: must be 0 to 1"),
        ({"alpha": -0.1, "attention_over": "off"}, "alpha = -0.1: must be 0 to 1"),
        (
            {"rank_pos_embed": "rotary"},
            "rank_pos_embed = 'rotary': must be one of learned, sinusoidal, or",
        ),
        (
            {"pairwise_loss": "all"},
            "pairwise_loss = 'all': must be one of both, tightness, diversity, batch",
        ),
        ({"pairwise_weight": -1.0}, "pairwise_weight = -1.0: must be 0 or more"),
        ({"gamma": -0.5}, "gamma = -0.5: must be 0 or more"),
        ({"gamma": float("nan")}, "gamma = nan: must be 0 or more"),
        ({"contrastive_weight": -2.0}, "contrastive_weight = -2.0: must be 0 or more"),
        (
            {"tune_prompts": False},
            "attention_over = 'ranks': .* say attention_over='off', or tune_prompts=True",
        ),
        ({"template": "a photo"}, "template = 'a photo'"),
        ({"n_ctx": 80}, "the prompts take 8. positions; the context of .* holds 77"),
        (
            {"image_encoder": "lora", "lora_target_modules": "nowhere"},
            "lora_target_modules = 'nowhere': matches no .* there are .*layers.0.self_attn.k_proj",
        ),
    ],
)
def test_what_cannot_be(tiny_clip, uneven, options, message):
    with pytest.raises(ValueError, match=message):
        L2RCLIP(tiny_clip, uneven, **options)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("one", "two", "three", "Two", "nine"), "holds 'Two' twice"),
        (("one", "two", "three", "five", "z" * 90), "takes 92 tokens, .* holds 77"),
        (("one", "two", "three", "five", " "), "no tokens|rank_names"),
    ],
    ids=["same", "long", "empty"],
)
def test_words_of_ranks_that_cannot_be(tiny_clip, uneven, words, message):
    with pytest.raises(ValueError, match=message):
        L2RCLIP(tiny_clip, replace(uneven, rank_names=words))
