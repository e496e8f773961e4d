"""CoOp starts as zero-shot and tunes what it is told."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ordlib import CoOp, ZeroShot


@pytest.mark.parametrize("template", [None, "one {rank}", "{rank} of three photo"])
def test_it_starts_as_its_template(tiny_clip, uneven, template):
    model = CoOp(tiny_clip, uneven, template=template, adapter=False)
    # None takes the first template without an object.
    prompts = [(template or "a photo of {rank} star").format(rank=w) for w in uneven.rank_names]
    expected = tiny_clip.text_features(prompts)
    torch.testing.assert_close(model.text_features(), expected, rtol=0, atol=1e-6)


def test_it_starts_as_zero_shot(tiny_clip, seven):
    found = CoOp(tiny_clip, seven.task, adapter=False).predict(seven)
    expected = ZeroShot(tiny_clip, seven.task, templates=(1,)).predict(seven)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-4)
    np.testing.assert_allclose(found.value, expected.value, atol=1e-3)


def test_where_all_templates_have_an_object_it_is_left_out(tiny_clip, uneven):
    task = replace(uneven, templates=("a photo of {object} {rank} star",), bin_templates=None)
    expected = tiny_clip.text_features([f"a photo of {word} star" for word in task.rank_names])
    torch.testing.assert_close(CoOp(tiny_clip, task).text_features(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("tune_rank_embeddings", [True, False])
@pytest.mark.parametrize("tune_context", [True, False])
def test_what_is_tuned(tiny_clip, seven, tune_rank_embeddings, tune_context):
    options = {"tune_rank_embeddings": tune_rank_embeddings, "tune_context": tune_context}
    model = CoOp(tiny_clip, seven.task, **options)
    expected = {"image_encoder.adapter.layers.0.weight", "image_encoder.adapter.layers.2.weight"}
    expected |= {"prompt_learner.context"} if tune_context else set()
    expected |= {"prompt_learner.rank_embeddings.embeddings"} if tune_rank_embeddings else set()
    assert set(model.trainable_state_dict()) == expected
    features = model.encode(model.make_loader(seven)(range(7)))
    model.loss(features, torch.tensor(seven.values).float()).backward()
    assert {name for name, p in model.named_parameters() if p.grad is not None} == expected


def test_a_random_context(tiny_clip, uneven):
    contexts = [
        CoOp(tiny_clip, uneven, n_ctx=4, seed=seed).prompt_learner.context.detach()
        for seed in (0, 0, 1)
    ]
    assert contexts[0].shape == (4, 32)
    assert torch.equal(contexts[0], contexts[1])
    assert not torch.equal(contexts[0], contexts[2])


def test_a_context_of_fewer_than_no_vectors(tiny_clip, uneven):
    with pytest.raises(ValueError, match="n_ctx = -1: must be 0 or more"):
        CoOp(tiny_clip, uneven, n_ctx=-1)


def test_the_loss_is_the_loop(tiny_clip, uneven):
    model = CoOp(tiny_clip, uneven, adapter=False)
    features = torch.randn(4, 24, generator=torch.Generator().manual_seed(0))
    values, texts = [9.0, 1.0, 3.4, 4.0], model.text_features().detach().double().numpy()
    losses = []
    for row, value in zip(features.double().numpy(), values, strict=True):
        scaled = [
            tiny_clip.logit_scale * row @ text / np.linalg.norm(row) / np.linalg.norm(text)
            for text in texts
        ]
        own = int(np.argmin([abs(value - level) - 1e-9 * level for level in uneven.rank_values]))
        losses.append(np.log(sum(np.exp(s - scaled[own]) for s in scaled)))
    found = model.loss(features, torch.tensor(values)).item()
    assert found == pytest.approx(np.mean(losses), rel=1e-5)
