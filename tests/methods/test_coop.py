"""CoOp: text features before training, options and loss."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ordlib import CoOp


@pytest.mark.parametrize("template", [None, "one {rank}", "{rank} of three photo"])
def test_text_features_equal_template_before_training(tiny_clip, uneven, template):
    model = CoOp(tiny_clip, uneven, template=template, adapter=False)
    # None takes the first class-agnostic template.
    used = template or "a photo of {rank} star"
    expected = tiny_clip.text_features([used.format(rank=name) for name in uneven.rank_names])
    torch.testing.assert_close(model.text_features(), expected, rtol=0, atol=1e-6)


def test_rank_only_template_removes_placeholders_if_necessary(tiny_clip, uneven):
    task = replace(uneven, templates=("a photo of {object} {rank} star",), bin_templates=None)
    expected = tiny_clip.text_features([f"a photo of {name} star" for name in task.rank_names])
    torch.testing.assert_close(CoOp(tiny_clip, task).text_features(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("tune_rank_embeddings", [True, False])
@pytest.mark.parametrize("tune_context", [True, False])
def test_options_select_trainable_parameters(tiny_clip, seven, tune_rank_embeddings, tune_context):
    options = {"tune_rank_embeddings": tune_rank_embeddings, "tune_context": tune_context}
    model = CoOp(tiny_clip, seven.task, **options)
    expected = {"image_encoder.adapter.layers.0.weight", "image_encoder.adapter.layers.2.weight"}
    expected |= {"prompt_learner.context"} if tune_context else set()
    expected |= {"prompt_learner.rank_embeddings.embeddings"} if tune_rank_embeddings else set()
    assert set(model.trainable_state_dict()) == expected
    features = model.encode(model.make_loader(seven)(range(7)))
    model.loss(features, torch.tensor(seven.values).float()).backward()
    assert {name for name, p in model.named_parameters() if p.grad is not None} == expected


def test_n_ctx_sets_context_length(tiny_clip, uneven):
    assert CoOp(tiny_clip, uneven, n_ctx=4).prompt_learner.context.shape == (4, 32)
    with pytest.raises(ValueError, match="n_ctx = -1: must be 0 or more"):
        CoOp(tiny_clip, uneven, n_ctx=-1)


def test_loss_equals_naive_loop(tiny_clip, uneven):
    model = CoOp(tiny_clip, uneven, adapter=False)
    features = torch.randn(4, 24, generator=torch.Generator().manual_seed(0))
    values, texts = [9.0, 1.0, 3.4, 4.0], model.text_features().detach().double().numpy()
    losses = []
    for row, value in zip(features.double().numpy(), values, strict=True):
        logits = [
            tiny_clip.logit_scale * row @ text / np.linalg.norm(row) / np.linalg.norm(text)
            for text in texts
        ]
        # A label halfway between two ranks (4 between 3 and 5) belongs to the upper one.
        rank = int(np.argmin([abs(value - v) - 1e-9 * v for v in uneven.rank_values]))
        losses.append(np.log(sum(np.exp(logit - logits[rank]) for logit in logits)))
    loss = model.loss(features, torch.tensor(values)).item()
    assert loss == pytest.approx(np.mean(losses), rel=1e-5)
