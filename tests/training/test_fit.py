import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from torch import nn
from training_runs import (
    CONFIG,
    TASK,
    changed_loss,
    check_history,
    clone_state,
    make_data,
    states_equal,
    to_nan,
    train,
)

from ordlib import CORN, CoOp, FineTuned, NumCLIP, OrdinalTask, load_clip
from ordlib.methods.base import OrdinalMethod
from ordlib.metrics import compute_metrics
from ordlib.training import TrainingConfig, fit
from ordlib.training.config import METRICS
from ordlib.training.fit import CHECKPOINT_NAME
from ordlib.training.sampling import epoch_batches


def val_metrics(model) -> dict[str, float]:
    val = make_data("val", 12)
    return compute_metrics(TASK, val.values, model.predict(val))


class Scripted(CORN):
    """A method with given validation errors, one per epoch."""

    def predict_from_features(self, features):
        self.states.append(clone_state(self))
        y_true, error = make_data("val", 12).values, next(self.errors)
        return self.task.decode_values(y_true + np.where(y_true < 2.5, error, -error))


@pytest.mark.parametrize("image_encoder", ["frozen", "lora", "full"])
def test_fit_learns_and_keeps_backbone_frozen(clip, image_encoder):
    model = NumCLIP(clip, TASK, image_encoder=image_encoder)
    initial, before = clone_state(model), val_metrics(model)
    history = train(model)
    assert history["loss"].iloc[-1] < 0.9 * history["loss"].iloc[0]
    assert history["mae"].min() < before["mae"]
    assert clip.weights_unchanged
    for name, tensor in model.trainable_state_dict().items():
        assert not torch.equal(tensor, initial[name]), name
    best = history.set_index("epoch").loc[history.attrs["best_epoch"]]
    assert val_metrics(model) == pytest.approx(
        {name: best[name] for name in METRICS}, abs=1e-9, nan_ok=True
    )


def test_fit_returns_history(clip):
    check_history(train(NumCLIP(clip, TASK)), epochs=4, steps=12)


def test_fit_restores_best_weights_and_stops_early(clip):
    model = Scripted(clip, TASK)
    model.errors, model.states = iter([1.0, 0.5, 0.75, 0.5, 0.25]), []
    history = train(model, config=TrainingConfig(epochs=9, batch_size=8, patience=2))
    assert history["mae"].tolist() == [1.0, 0.5, 0.75, 0.5]
    assert history["best"].tolist() == [True, True, False, False]
    assert (history.attrs["best_epoch"], history.attrs["steps"]) == (2, 12)
    assert states_equal(clone_state(model), model.states[1])
    assert not states_equal(clone_state(model), model.states[3])


def test_fit_depends_on_seed_only(clip):
    states = []
    for seed in (5, 5, 6):
        model = NumCLIP(clip, TASK)
        torch.rand(len(states))
        train(model, config=TrainingConfig(epochs=2, batch_size=8, seed=seed))
        states.append(clone_state(model))
    assert states_equal(*states[:2])
    assert not states_equal(*states[1:])


@pytest.mark.parametrize("frozen", ["image_encoder", "adapter", "prompts"])
def test_fit_freezes_group_with_lr_multiplier_0(clip, frozen):
    model = NumCLIP(clip, TASK, image_encoder="lora")
    groups = {name: [p.detach().clone() for p in g] for name, g in model.parameter_groups().items()}
    train(model, config=TrainingConfig(epochs=1, batch_size=8, lr_multipliers={frozen: 0.0}))
    for name, group in model.parameter_groups().items():
        for before, after in zip(groups[name], group, strict=True):
            assert torch.equal(before, after) is (name == frozen)


class Linear(OrdinalMethod):
    """A linear layer on cached features, simple enough to train by hand."""

    def _build(self):
        self.layer = nn.Linear(self.clip.embed_dim, self.task.num_ranks)

    def loss(self, features, values):
        return 40 * nn.functional.cross_entropy(self.layer(features), values.long())

    def predict_from_features(self, features):
        return self.task.decode_probabilities(self.layer(features).double().softmax(1).numpy())


def test_fit_equals_naive_adam_loop(clip):
    """Adam by hand, with clipped gradients, and the learning rates of the config."""
    schedule = {"learning_rate": 0.02, "lr_multipliers": {"head": 0.5}}
    config = TrainingConfig(epochs=2, batch_size=8, **schedule, seed=3)
    model, data = Linear(clip, TASK, adapter=False), make_data("train", 24)
    features, labels = clip.encode_images(data), torch.tensor(data.values).long()
    weight, bias = parameters = [p.detach().clone() for p in model.layer.parameters()]
    moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in parameters]
    # One step of warmup of six, then half a cosine.
    factors = [1, *[(1 + math.cos(math.pi * i / 6)) / 2 for i in range(1, 6)]]
    states, losses, norms, step = [], [], [], 0
    for epoch in range(2):
        losses.append([])
        for rows in epoch_batches(24, 8, 3, epoch):
            probabilities = (features[rows] @ weight.T + bias).softmax(1)
            losses[-1].append(-40 * probabilities[range(8), labels[rows]].log().mean().item())
            errors = probabilities.clone()
            errors[range(8), labels[rows]] -= 1
            gradients = [40 * errors.T @ features[rows] / 8, 40 * errors.sum(0) / 8]
            norms.append(math.sqrt(sum(g.square().sum().item() for g in gradients)))
            lr = 0.02 * 0.5 * factors[step]
            step += 1
            for p, g, (mean, square) in zip(parameters, gradients, moments, strict=True):
                g = g / max(norms[-1], 1)
                mean.mul_(0.9).add_(0.1 * g)
                square.mul_(0.999).add_(0.001 * g * g)
                root = (square / (1 - 0.999**step)).sqrt() + 1e-8
                p -= lr * mean / (1 - 0.9**step) / root
        states.append([p.clone() for p in parameters])
    history = train(model, config=config)
    assert min(norms) > 5
    assert history["loss"].tolist() == pytest.approx([np.mean(e) for e in losses], rel=1e-4)
    found, expected = [*model.layer.parameters()], states[history.attrs["best_epoch"] - 1]
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a.detach(), b, rtol=0, atol=1e-4)


def test_fit_refuses_images_of_another_task(clip):
    other = OrdinalTask(name="darkness", unit="steps", values=(0, 1, 2))
    model, data, wrong = CoOp(clip, TASK), make_data("train", 8), make_data("val", 8, other)
    for train_data, val_data in ((data, wrong), (wrong, data)):
        with pytest.raises(ValueError, match=r"val data .*darkness', .* for task 'brightness'"):
            fit(model, train_data, val_data, progress=False)


def test_fit_refuses_method_without_trainable_parameters(clip):
    with pytest.raises(ValueError, match=r"this FineTuned has nothing to train: set adapter=True"):
        train(FineTuned(clip, TASK, adapter=False))


@pytest.mark.parametrize("group", ["image_encoder", "words"])
def test_fit_refuses_unknown_group(clip, group):
    message = rf"lr_multipliers: no group '{group}' .*; use \['adapter', 'prompts', 'head'\]"
    with pytest.raises(ValueError, match=message):
        train(NumCLIP(clip, TASK), config=TrainingConfig(lr_multipliers={group: 0.1}))


# Three steps per epoch: the second and the last step of the third epoch, and the very first.
@pytest.mark.parametrize(("call", "epoch"), [(8, 2), (9, 2), (1, 0)])
def test_fit_stops_at_nan_loss_and_can_resume(clip, tmp_path, call, epoch):
    model, straight, resumed = (NumCLIP(clip, TASK) for _ in range(3))
    initial = clone_state(model)
    with changed_loss(model, call, to_nan), pytest.raises(FloatingPointError) as caught:
        train(model, tmp_path)
    message, batch = str(caught.value), (call - 1) % 3
    rows = ", ".join(map(str, epoch_batches(24, 8, CONFIG.seed, epoch)[batch]))
    where = f"step {call} (epoch {epoch + 1}, batch {batch + 1} of 3, images {rows}, ...)"
    assert f"the loss is nan at {where}" in message
    assert "learning_rate = 0.01" in message
    if not epoch:
        assert "initial weights" in message
        assert states_equal(clone_state(model), initial)
        assert not (tmp_path / CHECKPOINT_NAME).exists()
        return
    assert "best weights so far" in message
    saved = load_file(tmp_path / CHECKPOINT_NAME)
    assert states_equal(clone_state(model), {name: saved[f"best/{name}"] for name in initial})
    assert train(resumed, tmp_path).equals(train(straight))
    assert states_equal(clone_state(resumed), clone_state(straight))


class NanGradient(torch.autograd.Function):
    """The identity, with a gradient that is not finite."""

    @staticmethod
    def forward(ctx, loss):
        return loss.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * math.nan


def test_fit_stops_at_nan_weights(clip, tmp_path):
    model = NumCLIP(clip, TASK)
    broken = changed_loss(model, 6, NanGradient.apply)
    with broken, pytest.raises(FloatingPointError, match="weights are not finite after step 6"):
        train(model, tmp_path)
    saved, state = load_file(tmp_path / CHECKPOINT_NAME), clone_state(model)
    assert states_equal(state, {name: saved[f"best/{name}"] for name in state})


def test_fit_shows_progress_bar(clip, capsys):
    data, val = make_data("train", 12), make_data("val", 12)
    fit(CORN(clip, TASK), data, val, TrainingConfig(epochs=2))
    pattern = r"(?s)CORN on brightness.*/2 .*loss=\d+\.\d{3}, mae=\d\.\d{3}\]"
    assert re.search(pattern, capsys.readouterr().err)
    fit(CORN(clip, TASK), data, val, TrainingConfig(epochs=1), progress=False)
    assert capsys.readouterr() == ("", "")


def test_fit_ignores_other_accelerator_of_the_process(clip):
    """accelerate keeps one setting per process, which a notebook may have made."""
    AcceleratorState._reset_state(reset_partial_state=True)
    Accelerator(cpu=True, mixed_precision="bf16")
    assert len(train(CORN(clip, TASK), config=TrainingConfig(epochs=1))) == 1


def test_fit_warns_if_monitor_is_never_defined(clip):
    model, val = CORN(clip, TASK), make_data("val", 12)
    initial, one_rank = clone_state(model), val.subset(np.flatnonzero(val.values == 0))
    config = TrainingConfig(epochs=1, batch_size=8, monitor="spearman")
    with pytest.warns(UserWarning, match="spearman on val was undefined in every epoch"):
        history = fit(model, make_data("train", 24), one_rank, config, progress=False)
    assert history.attrs["best_epoch"] is None
    assert not states_equal(initial, clone_state(model))


def test_fit_warns_if_validation_is_the_training_set(clip):
    data = make_data("val", 12)
    with pytest.warns(UserWarning, match="all validation images .* are training images") as caught:
        fit(CoOp(clip, TASK), data, data, TrainingConfig(epochs=1), progress=False)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resize": "squash"}, r"preprocessing was '\w+' there and is '\w+' now"),
        ({"dtype": torch.bfloat16}, r"precision was 'torch.float32' there and is 'torch.bfloat16'"),
    ],
)
def test_fit_refuses_checkpoint_of_another_resize_or_precision(clip, tmp_path, options, message):
    train(CoOp(clip, TASK), tmp_path)
    other = load_clip(clip.folder, "cpu", **options)
    with pytest.raises(ValueError, match=message):
        train(CoOp(other, TASK), tmp_path)


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("image_encoder", ["frozen", "lora"])
def test_fit_names_damaged_images_before_any_step(clip, tmp_path, split, image_encoder):
    parts = {"train": make_data("train", 12), "val": make_data("val", 12)}
    files = [tmp_path / f"{i}.jpg" for i in range(12)]
    for i, file in enumerate(files):
        parts[split][i].save(file)
    files[9].write_bytes(files[9].read_bytes()[:-300])
    parts[split] = replace(parts[split], images=files)
    model = CORN(clip, TASK, image_encoder=image_encoder)
    before = clone_state(model)
    with pytest.raises(OSError, match=r"9\.jpg' cannot be decoded"):
        fit(model, parts["train"], parts["val"], CONFIG)
    assert states_equal(before, clone_state(model))
