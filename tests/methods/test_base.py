"""Properties of all methods: initialization, groups, gradients, frozen backbone, checkpoints."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ordlib import CORN, CoOp, FineTuned, NumCLIP, OrdinalTask, load_task, methods
from ordlib.methods.base import bin_targets, rank_targets

METHODS = [methods.find_method(name) for name in methods.METHODS if name != "RankingAdapter"]
WITHOUT_PROMPTS, WITH_HEAD = (FineTuned, CORN), (CORN, NumCLIP)
every_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.__name__)
every_encoder = pytest.mark.parametrize("image_encoder", ["frozen", "lora", "full"])
# Midpoints between these ranks have no exact binary representation.
TENTHS = OrdinalTask(
    name="tenths",
    unit="units",
    values=tuple(k / 10 for k in range(1, 40, 3)),
    bin_edges=(0.05, 0.3, 0.7, 1.1, 2.3),
    bin_phrases=("a", "b", "c", "d", "e"),
)
NAMED = OrdinalTask(name="named", unit="u", values=("x", "y", "z"), positions=(-1, 0.1, 7.3))
TASKS = [*map(load_task, ("counting", "dating", "ageing", "quality")), TENTHS, NAMED]


def copies(model):
    return {name: tensor.clone() for name, tensor in model.trainable_state_dict().items()}


def assert_same(state, expected):
    assert all(torch.equal(state[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_targets_equal_the_task_s_indices(task):
    rank_values, edges = task.rank_values, np.array(task.bin_edges)
    low, high = task.range
    random = np.random.default_rng(0).uniform(low - 1, high + 1, 500).astype(np.float32)
    midpoints = (rank_values[:-1] + rank_values[1:]) / 2
    for values in (random, rank_values, edges, midpoints, np.array([low - 9, high + 9])):
        tensor = torch.tensor(values, dtype=torch.float32)
        assert rank_targets(task, tensor).tolist() == task.rank_index(values).tolist()
        assert bin_targets(task, tensor).tolist() == task.bin_index(values).tolist()


@every_method
@pytest.mark.parametrize("image_encoder", ["frozen", "lora"])
def test_predict_is_valid_and_independent_of_batch_size(tiny_clip, seven, method, image_encoder):
    model = method(tiny_clip, seven.task, image_encoder=image_encoder)
    prediction, batched = model.predict(seven), model.predict(seven, batch_size=3)
    np.testing.assert_allclose(prediction.value, batched.value, atol=1e-4)
    assert np.isin(prediction.label, seven.task.rank_values).all()
    assert ((prediction.value >= 1) & (prediction.value <= 9)).all()
    if prediction.probabilities is not None:
        assert prediction.probabilities.shape == (7, 5)
        np.testing.assert_allclose(prediction.probabilities.sum(1), 1)


@every_method
def test_init_depends_on_seed_only_and_keeps_global_rng(tiny_clip, uneven, method):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, second, other_seed = (
        method(tiny_clip, uneven, image_encoder="lora", seed=seed).trainable_state_dict()
        for seed in (0, 0, 1)
    )
    assert torch.equal(torch.rand(3), expected)
    assert first.keys() == second.keys() == other_seed.keys()
    assert_same(first, second)
    name = "image_encoder.adapter.layers.0.weight"
    assert not torch.equal(first[name], other_seed[name])


@every_method
@every_encoder
def test_parameter_groups_partition_trainable_parameters(tiny_clip, uneven, method, image_encoder):
    options = {"image_encoder": image_encoder}
    model = method(tiny_clip, uneven, **options)
    groups = model.parameter_groups()
    ids = [id(p) for group in groups.values() for p in group]
    assert len(ids) == len(set(ids)) == len(model.trainable_state_dict())
    assert ("image_encoder" in groups) == (image_encoder != "frozen")
    assert len(groups["adapter"]) == 2
    assert ("prompts" in groups) == (method not in WITHOUT_PROMPTS)
    assert ("head" in groups) == (method in WITH_HEAD)
    assert "adapter" not in method(tiny_clip, uneven, adapter=False, **options).parameter_groups()


@every_method
@every_encoder
def test_training_step_updates_trainable_parameters_only(tiny_clip, seven, method, image_encoder):
    model = method(tiny_clip, seven.task, image_encoder=image_encoder)
    before = copies(model)
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
    # Softmax is invariant to the bias of the keys: its gradient is rounding error.
    unchanged = {name for name in before if torch.equal(before[name], after[name])}
    assert all("k_proj.bias" in name for name in unchanged)
    assert tiny_clip.weights_unchanged
    assert all(p.grad is None for p in tiny_clip.model.parameters())


def test_load_trainable_state_dict_loads_all_tensors_or_none(tiny_clip, uneven):
    model = CoOp(tiny_clip, uneven)
    before = copies(model)
    state = {name: tensor + 1 for name, tensor in before.items()}
    name = "prompt_learner.context"
    context = state.pop(name)
    for extra, message in (
        ({}, rf"{name} is missing in .* \(\d+, 32\) in the model"),
        ({name: context[:1]}, rf"{name} is \(1, 32\) in"),
        ({name: context, "head.bias": torch.zeros(4)}, r"head.bias is \(4,\) .* missing in the"),
    ):
        with pytest.raises(ValueError, match=message):
            model.load_trainable_state_dict(state | extra)
    assert_same(model.trainable_state_dict(), before)
    state[name] = context
    model.load_trainable_state_dict(state)
    assert_same(model.trainable_state_dict(), state)


@every_method
def test_init_rejects_invalid_options(tiny_clip, uneven, method):
    with pytest.raises(TypeError, match="temperature"):
        method(tiny_clip, uneven, temperature=1.0)
    with pytest.raises(ValueError, match="image_encoder = 'half'"):
        method(tiny_clip, uneven, image_encoder="half")


@every_method
def test_set_frozen_groups_removes_groups_but_keeps_state(tiny_clip, uneven, method):
    model = method(tiny_clip, uneven, image_encoder="lora")
    names, groups = set(model.trainable_state_dict()), set(model.parameter_groups())
    for frozen in (("prompts",), ("image_encoder", "adapter"), ("image_encoder",), ()):
        model.set_frozen_groups(*frozen)
        assert set(model.parameter_groups()) == groups - set(frozen)
        assert set(model.trainable_state_dict()) == names
    assert not any(p.requires_grad for p in tiny_clip.model.parameters())


@every_method
def test_with_frozen_encoder_copies_all_other_parameters(tiny_clip, seven, method):
    model = method(tiny_clip, seven.task, image_encoder="lora", seed=3)
    with torch.no_grad():
        for name, tensor in model.trainable_state_dict().items():
            if "image_encoder" not in name:
                tensor.add_(0.1)
    frozen = model.with_frozen_encoder()
    assert frozen.options == replace(model.options, image_encoder="frozen")
    state, copied = model.trainable_state_dict(), frozen.trainable_state_dict()
    assert copied.keys() == {n for n in state if not n.startswith("image_encoder.encoder.")}
    for name, tensor in copied.items():
        assert torch.equal(tensor, state[name])
        tensor.zero_()
        assert state[name].any()
    # An untrained LoRA encoder equals the backbone's.
    model.copy_trainable_from(frozen)
    np.testing.assert_allclose(model.predict(seven).value, frozen.predict(seven).value, atol=1e-3)


def test_copy_trainable_from_keeps_parameters_missing_in_source(tiny_clip, uneven):
    model = CoOp(tiny_clip, uneven, image_encoder="lora")
    source = CoOp(tiny_clip, uneven, seed=1)
    encoder = {name: t for name, t in copies(model).items() if ".encoder." in name}
    model.copy_trainable_from(source)
    assert_same(model.trainable_state_dict(), encoder | source.trainable_state_dict())
