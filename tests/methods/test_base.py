"""What holds for every method: seeds, groups, gradients, and a clip that stays as it was."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ordlib import CORN, CoOp, FineTuned, NumCLIP, OrdinalCLIP
from ordlib.methods.l2rclip import L2RCLIP

METHODS = [CoOp, OrdinalCLIP, FineTuned, CORN, NumCLIP, L2RCLIP]
every_method = pytest.mark.parametrize("method", METHODS, ids=lambda m: m.__name__)
every_tower = pytest.mark.parametrize("image_encoder", ["frozen", "lora", "full"])


@every_method
@pytest.mark.parametrize("image_encoder", ["frozen", "lora"])
def test_predictions_are_of_the_task_whatever_the_batch(tiny_clip, seven, method, image_encoder):
    model = method(tiny_clip, seven.task, image_encoder=image_encoder)
    whole, parts = model.predict(seven), model.predict(seven, batch_size=3)
    np.testing.assert_allclose(whole.value, parts.value, atol=1e-4)
    assert np.isin(whole.label, seven.task.rank_values).all()
    assert ((whole.value >= 1) & (whole.value <= 9)).all()
    if whole.probabilities is not None:
        assert whole.probabilities.shape == (7, 5)
        np.testing.assert_allclose(whole.probabilities.sum(1), 1)


@every_method
def test_first_weights_are_of_the_seed_alone(tiny_clip, uneven, method):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    states = [
        method(tiny_clip, uneven, image_encoder="lora", seed=s).trainable_state_dict()
        for s in (0, 0, 1)
    ]
    assert torch.equal(torch.rand(3), expected)
    assert states[0].keys() == states[1].keys() == states[2].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    name = "image_encoder.adapter.layers.0.weight"
    assert not torch.equal(states[0][name], states[2][name])


@every_method
@every_tower
def test_groups_hold_everything_that_is_trained_once(tiny_clip, uneven, method, image_encoder):
    model = method(tiny_clip, uneven, image_encoder=image_encoder)
    groups = model.parameter_groups()
    found = [id(p) for group in groups.values() for p in group]
    assert len(found) == len(set(found)) == len(model.trainable_state_dict())
    assert ("image_encoder" in groups) == (image_encoder != "frozen")
    assert len(groups["adapter"]) == 2
    assert ("prompts" in groups) == (method not in (FineTuned, CORN))
    assert ("head" in groups) == (method in (CORN, NumCLIP))
    assert (
        "adapter"
        not in method(
            tiny_clip, uneven, image_encoder=image_encoder, adapter=False
        ).parameter_groups()
    )


@every_method
@every_tower
def test_a_step_moves_what_is_trained_and_lowers_the_loss(tiny_clip, seven, method, image_encoder):
    model = method(tiny_clip, seven.task, image_encoder=image_encoder)
    before = {name: tensor.clone() for name, tensor in model.trainable_state_dict().items()}
    values, inputs = torch.tensor(seven.values).float(), model.make_loader(seven)(range(7))
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=3e-4)
    losses = []
    for _ in range(3):
        loss = model.loss(model.encode(inputs), values)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    after = model.trainable_state_dict()
    # A key's bias moves all logits of an attention alike: it has no gradient but rounding's.
    still = {name for name in before if torch.equal(before[name], after[name])}
    assert all("k_proj.bias" in name for name in still)
    assert tiny_clip.weights_unchanged
    assert all(p.grad is None for p in tiny_clip.model.parameters())


def test_trained_tensors_can_be_put_back(tiny_clip, uneven):
    one, other = (CoOp(tiny_clip, uneven, seed=seed) for seed in (0, 1))
    other.load_trainable_state_dict(one.trainable_state_dict())
    state = other.trainable_state_dict()
    assert all(
        torch.equal(state[name], tensor) for name, tensor in one.trainable_state_dict().items()
    )


def test_tensors_of_another_method_are_refused_before_any_is_loaded(tiny_clip, uneven):
    model = CoOp(tiny_clip, uneven)
    state = {name: tensor + 1 for name, tensor in model.trainable_state_dict().items()}
    before = {name: tensor.clone() for name, tensor in model.trainable_state_dict().items()}
    context = state.pop("prompt_learner.context")
    with pytest.raises(
        ValueError, match=r"prompt_learner.context is missing there and \(\d+, 32\) in"
    ):
        model.load_trainable_state_dict(state)
    with pytest.raises(ValueError, match=r"prompt_learner.context is \(1, 32\) there"):
        model.load_trainable_state_dict(state | {"prompt_learner.context": context[:1]})
    with pytest.raises(ValueError, match=r"head.bias is \(4,\) there and missing in"):
        model.load_trainable_state_dict(
            state | {"prompt_learner.context": context, "head.bias": torch.zeros(4)}
        )
    after = model.trainable_state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


@every_method
def test_options_that_are_none(tiny_clip, uneven, method):
    with pytest.raises(TypeError, match="temperature"):
        method(tiny_clip, uneven, temperature=1.0)
    with pytest.raises(ValueError, match="image_encoder = 'half'"):
        method(tiny_clip, uneven, image_encoder="half")


@every_method
def test_what_is_held_is_no_group_but_stays_in_the_state(tiny_clip, uneven, method):
    model = method(tiny_clip, uneven, image_encoder="lora")
    names, groups = set(model.trainable_state_dict()), set(model.parameter_groups())
    for held in (("prompts",), ("image_encoder", "adapter"), ("image_encoder",), ()):
        model.freeze(*held)
        assert set(model.parameter_groups()) == groups - set(held)
        assert set(model.trainable_state_dict()) == names
    assert not any(p.requires_grad for p in tiny_clip.model.parameters())


@every_method
def test_without_its_tower_it_is_the_same_with_copies(tiny_clip, seven, method):
    model = method(tiny_clip, seven.task, image_encoder="lora", seed=3)
    with torch.no_grad():
        for name, tensor in model.trainable_state_dict().items():
            if "image_encoder" not in name:
                tensor.add_(0.1)
    other = model.with_frozen_encoder()
    assert other.options == replace(model.options, image_encoder="frozen")
    whole, part = model.trainable_state_dict(), other.trainable_state_dict()
    assert part.keys() == {name for name in whole if not name.startswith("image_encoder.encoder.")}
    for name, tensor in part.items():
        assert torch.equal(tensor, whole[name])
        tensor.zero_()
        assert whole[name].any()
    # LoRA starts as the backbone's own tower.
    model.copy_trainable_from(other)
    expected = other.predict(seven).value
    np.testing.assert_allclose(model.predict(seven).value, expected, atol=1e-3)


def test_taking_leaves_what_the_other_does_not_have(tiny_clip, uneven):
    one, other = CoOp(tiny_clip, uneven, image_encoder="lora"), CoOp(tiny_clip, uneven, seed=1)
    image_encoder = {
        n: t.clone() for n, t in one.trainable_state_dict().items() if ".encoder." in n
    }
    one.copy_trainable_from(other)
    state = one.trainable_state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in image_encoder.items())
    assert all(torch.equal(state[name], t) for name, t in other.trainable_state_dict().items())
