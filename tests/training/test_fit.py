import math
import re

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from torch import nn
from training_runs import CONFIG, TASK, pictures_of, train

from ordlib import CORN, CoOp, FineTuned, NumCLIP, OrdinalTask
from ordlib.metrics import compute_metrics
from ordlib.training import TrainingConfig, fit
from ordlib.training.fit import CHECKPOINT_NAME
from ordlib.training.sampling import epoch_batches


def state_of(model) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.trainable_state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def scores_of(model) -> dict[str, float]:
    val = pictures_of("val", 12)
    return compute_metrics(TASK, val.values, model.predict(val))


class Scripted(CORN):
    """A method whose values on val are told beforehand: constants, one for each epoch."""

    def follow(self, errors: list[float]) -> "Scripted":
        self.errors, self.seen = iter(errors), []
        return self

    def predict_from_features(self, features):
        self.seen.append(state_of(self))
        truth = pictures_of("val", 12).values
        error = next(self.errors)
        return self.task.decode_values(truth + np.where(truth < 2.5, error, -error))


@pytest.mark.parametrize("image_encoder", ["frozen", "lora", "full"])
def test_it_learns_and_the_backbone_stays(clip, image_encoder):
    model = NumCLIP(clip, TASK, image_encoder=image_encoder)
    first, start = state_of(model), scores_of(model)
    history = train(model)
    assert history["loss"].iloc[-1] < 0.9 * history["loss"].iloc[0]
    assert history["mae"].min() < start["mae"]
    assert clip.weights_unchanged
    for name, tensor in model.trainable_state_dict().items():
        assert not torch.equal(tensor, first[name]), name
    best = history.set_index("epoch").loc[history.attrs["best_epoch"]]
    for name, value in scores_of(model).items():
        assert value == pytest.approx(best[name], abs=1e-9)


def test_the_history_has_a_row_for_each_epoch(clip):
    history = train(NumCLIP(clip, TASK))
    metrics = ["mae", "accuracy", "off_by_one", "kappa", "spearman", "pearson", "pairwise"]
    assert history.columns.tolist() == ["epoch", "loss", *metrics, "best"]
    assert history["epoch"].tolist() == [1, 2, 3, 4]
    bests, low = [], math.inf
    for value in history["mae"]:
        bests.append(value < low)
        low = min(low, value)
    assert history["best"].tolist() == bests
    assert history.attrs["steps"] == 12
    assert history.attrs["best_epoch"] == history["epoch"][history["mae"].argmin()]
    assert history.attrs["device"] == "cpu"
    assert history.attrs["seconds"] > 0


def test_the_best_state_is_put_back_and_patience_ends_training(clip):
    model = Scripted(clip, TASK).follow([1.0, 0.5, 0.75, 0.5, 0.25])
    history = train(model, config=TrainingConfig(epochs=9, batch_size=8, patience=2))
    assert history["mae"].tolist() == [1.0, 0.5, 0.75, 0.5]
    assert history["best"].tolist() == [True, True, False, False]
    assert (history.attrs["best_epoch"], history.attrs["steps"]) == (2, 12)
    assert same(state_of(model), model.seen[1])
    assert not same(state_of(model), model.seen[3])


def test_a_metric_where_more_is_better_is_watched_as_such(clip):
    model = Scripted(clip, TASK).follow([1.0, 2.0, 0.0])
    history = train(model, config=TrainingConfig(epochs=3, monitor="accuracy"))
    assert history["accuracy"].tolist() == [0, 0, 1]
    assert history["best"].tolist() == [True, False, True]


def test_equal_calls_end_in_the_same_bits_and_another_seed_does_not(clip):
    models = [NumCLIP(clip, TASK) for _ in range(3)]
    for model, seed in zip(models, (5, 5, 6), strict=True):
        torch.rand(seed)
        train(model, config=TrainingConfig(epochs=2, batch_size=8, seed=seed))
    assert same(*map(state_of, models[:2]))
    assert not same(*map(state_of, models[1:]))


@pytest.mark.parametrize("still", ["image_encoder", "adapter", "prompts"])
def test_a_group_with_rate_0_stays_in_its_bits(clip, still):
    model = NumCLIP(clip, TASK, image_encoder="lora")
    groups = {name: [p.detach().clone() for p in g] for name, g in model.parameter_groups().items()}
    train(model, config=TrainingConfig(epochs=1, batch_size=8, lr_multipliers={still: 0.0}))
    for name, group in model.parameter_groups().items():
        for before, after in zip(groups[name], group, strict=True):
            assert torch.equal(before, after) is (name == still)


class Plain(FineTuned):
    """A linear layer on cached features: simple enough to train by hand."""

    def _build(self):
        self.layer = nn.Linear(self.clip.embed_dim, self.task.num_ranks)

    def loss(self, features, values):
        return 40 * nn.functional.cross_entropy(self.layer(features), values.long())

    def predict_from_features(self, features):
        return self.task.decode_probabilities(self.layer(features).double().softmax(1).numpy())


def test_weights_are_those_of_a_plain_loop(clip):
    """Adam by hand, with the gradient clipped to the largest norm and the config's rates."""
    config = TrainingConfig(
        epochs=2, batch_size=8, learning_rate=0.02, lr_multipliers={"head": 0.5}, seed=3
    )
    model, data = Plain(clip, TASK, adapter=False), pictures_of("train", 24)
    features, values = clip.encode_images(data), torch.tensor(data.values).long()
    weight, bias = model.layer.weight.detach().clone(), model.layer.bias.detach().clone()
    moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in (weight, bias)]
    expected, losses, norms, step = [], [], [], 0
    for epoch in range(2):
        losses.append([])
        for rows in epoch_batches(24, 8, 3, epoch):
            chances = (features[rows] @ weight.T + bias).softmax(1)
            own = chances[range(8), values[rows]]
            losses[-1].append(-40 * own.log().mean().item())
            wrong = chances.clone()
            wrong[range(8), values[rows]] -= 1
            gradients = [40 * wrong.T @ features[rows] / 8, 40 * wrong.sum(0) / 8]
            norm = math.sqrt(sum(g.square().sum().item() for g in gradients))
            norms.append(norm)
            # One step of warm-up of six, then half a cosine.
            rate = (
                0.02 * 0.5 * [1, *[(1 + math.cos(math.pi * i / 6)) / 2 for i in range(1, 6)]][step]
            )
            step += 1
            for p, g, (mean, square) in zip((weight, bias), gradients, moments, strict=True):
                g = g / max(norm, 1)
                mean.mul_(0.9).add_(0.1 * g)
                square.mul_(0.999).add_(0.001 * g * g)
                root = (square / (1 - 0.999**step)).sqrt() + 1e-8
                p -= rate * mean / (1 - 0.9**step) / root
        expected.append((weight.clone(), bias.clone()))
    history = train(model, config=config)
    assert min(norms) > 5
    assert history["loss"].tolist() == pytest.approx([np.mean(e) for e in losses], rel=1e-4)
    weight, bias = expected[history.attrs["best_epoch"] - 1]
    torch.testing.assert_close(model.layer.weight.detach(), weight, rtol=0, atol=1e-4)
    torch.testing.assert_close(model.layer.bias.detach(), bias, rtol=0, atol=1e-4)


def test_pictures_of_another_task_are_refused(clip):
    other = OrdinalTask(name="darkness", unit="steps", values=(0, 1, 2))
    model, right = CoOp(clip, TASK), pictures_of("train", 8)
    told = "learns 'brightness', the pictures of 'val' are labelled with 'darkness'"
    with pytest.raises(ValueError, match=told):
        fit(model, right, pictures_of("val", 8, other), progress=False)
    with pytest.raises(ValueError, match="'train' are labelled with 'darkness'"):
        fit(model, pictures_of("train", 8, other), right, progress=False)


def test_a_method_with_nothing_to_train_is_refused(clip):
    with pytest.raises(ValueError, match=r"this FineTuned has nothing to train: take adapter=True"):
        train(FineTuned(clip, TASK, adapter=False))


def test_an_unknown_group_is_refused(clip):
    told = r"lr_multipliers: no group 'image_encoder' is trained here; there are \['adapter', 'prompts', 'head'\]"
    with pytest.raises(ValueError, match=told):
        train(NumCLIP(clip, TASK), config=TrainingConfig(lr_multipliers={"image_encoder": 0.1}))


def with_a_broken_loss(model, call: int, break_it=lambda loss: loss * math.nan):
    """Break the loss of one call, counted from 1."""
    loss, model.calls = model.loss, 0

    def broken(features, values):
        model.calls += 1
        found = loss(features, values)
        return break_it(found) if model.calls == call else found

    model.loss = broken
    return model


# Three steps an epoch: the second step of the third epoch; the last of it; the very first.
@pytest.mark.parametrize(("call", "good"), [(8, 2), (9, 2), (1, 0)])
def test_a_loss_that_is_no_number_stops_and_nothing_is_lost(clip, tmp_path, call, good):
    model, whole = with_a_broken_loss(NumCLIP(clip, TASK), call), NumCLIP(clip, TASK)
    first = state_of(model)
    with pytest.raises(FloatingPointError) as caught:
        train(model, tmp_path)
    rows = epoch_batches(24, 8, CONFIG.seed, good)[(call - 1) % 3]
    told = f"the loss is nan at step {call} (epoch {good + 1}, batch {(call - 1) % 3 + 1} of 3, "
    assert told + f"pictures {', '.join(map(str, rows))}, ...)" in str(caught.value)
    assert "lower the learning rate (0.01)" in str(caught.value)
    straight = train(whole)
    if not good:
        assert "The model is back in its first state" in str(caught.value)
        assert same(state_of(model), first)
        assert not (tmp_path / CHECKPOINT_NAME).exists()
        return
    assert "The model is back in the best state so far" in str(caught.value)
    kept = load_file(tmp_path / CHECKPOINT_NAME)
    best = {name: kept[f"best/{name}"] for name in first}
    assert same(state_of(model), best)
    again = NumCLIP(clip, TASK)
    history = train(again, tmp_path)
    assert history.equals(straight)
    assert same(state_of(again), state_of(whole))


class Root(torch.autograd.Function):
    """A number that is finite, with a gradient that is not, as of the root of 0."""

    @staticmethod
    def forward(ctx, loss):
        return loss.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * math.nan


def test_weights_that_are_no_numbers_stop_it_too(clip, tmp_path):
    model = with_a_broken_loss(NumCLIP(clip, TASK), 6, Root.apply)
    with pytest.raises(FloatingPointError, match="epoch 2") as caught:
        train(model, tmp_path)
    assert "no longer numbers after step 6" in str(caught.value)
    assert "The model is back in the best state so far" in str(caught.value)
    kept = load_file(tmp_path / CHECKPOINT_NAME)
    assert same(state_of(model), {name: kept[f"best/{name}"] for name in state_of(model)})


def test_the_bar_tells_what_is_trained_and_how_it_goes(clip, capsys):
    data = pictures_of("train", 12)
    fit(CORN(clip, TASK), data, data, TrainingConfig(epochs=2))
    shown = capsys.readouterr().err
    assert "CORN on brightness" in shown
    assert re.search(r"/2 .*loss=\d+\.\d{3}, mae=\d\.\d{3}\]", shown)
    fit(CORN(clip, TASK), data, data, TrainingConfig(epochs=1), progress=False)
    assert capsys.readouterr() == ("", "")


def test_another_accelerator_in_the_process_is_no_hindrance(clip):
    """accelerate keeps one setting for a process: a notebook may have made one of its own."""
    AcceleratorState._reset_state(reset_partial_state=True)
    Accelerator(cpu=True, mixed_precision="bf16")
    assert len(train(CORN(clip, TASK), config=TrainingConfig(epochs=1))) == 1


def test_a_metric_that_is_never_defined_keeps_the_last_state_and_warns(clip):
    model = CORN(clip, TASK)
    train_data, val = pictures_of("train", 24), pictures_of("val", 12)
    alike = val.subset(np.flatnonzero(val.values == 0))
    before = {name: tensor.clone() for name, tensor in model.trainable_state_dict().items()}
    config = TrainingConfig(epochs=1, batch_size=8, monitor="spearman")
    with pytest.warns(UserWarning, match="spearman on val was undefined in every epoch"):
        history = fit(model, train_data, alike, config, progress=False)
    assert history.attrs["best_epoch"] is None
    assert not same(before, model.trainable_state_dict())
