"""Optimizers of fit against a loop written out with torch.optim."""

from dataclasses import replace

import pytest
import ranking_runs
import torch
import training_runs as runs
from torch import nn
from torch.optim import SGD, Adam, AdamW, RAdam

from ordlib import NumCLIP
from ordlib.methods.base import OrdinalMethod
from ordlib.training import TrainingConfig
from ordlib.training.optimizer import make_optimizer
from ordlib.training.ranking_trainer import RankingTrainer
from ordlib.training.sampling import epoch_batches
from ordlib.training.trainer import OrdinalTrainer


class Linear(OrdinalMethod):
    """A linear layer on cached features, with large gradients."""

    def _build(self):
        self.layer = nn.Linear(self.clip.embed_dim, self.task.num_ranks)

    def loss(self, features, values):
        return 40 * nn.functional.cross_entropy(self.layer(features), values.long())

    def predict_from_features(self, features):
        return self.task.decode_probabilities(self.layer(features).double().softmax(1).numpy())


@pytest.mark.parametrize(
    ("name", "decay", "make"),
    [
        (None, None, lambda p: Adam(p, lr=0.01)),
        ("adam", 0.1, lambda p: Adam(p, lr=0.01, weight_decay=0.1)),
        ("adamw", None, lambda p: AdamW(p, lr=0.01, weight_decay=0.0)),
        ("adamw", 0.1, lambda p: AdamW(p, lr=0.01, weight_decay=0.1)),
        ("radam", 0.1, lambda p: RAdam(p, lr=0.01, weight_decay=0.1)),
        ("sgd", None, lambda p: SGD(p, lr=0.01, momentum=0.9)),
        ("sgd", 0.1, lambda p: SGD(p, lr=0.01, momentum=0.9, weight_decay=0.1)),
    ],
)
@pytest.mark.parametrize("norm", [None, 1.0])
def test_fit_equals_naive_loop(clip, name, decay, make, norm):
    config = TrainingConfig(
        epochs=2, batch_size=8, learning_rate=0.01, seed=3, optimizer=name, weight_decay=decay,
        schedule="multi_step", milestones=(1,), gamma=0.5, warmup_ratio=0.0, max_grad_norm=norm,
    )  # fmt: skip
    model, data = Linear(clip, runs.TASK, adapter=False), runs.make_data("train", 24)
    features, labels = clip.encode_images(data), torch.tensor(data.values).long()
    layer = nn.Linear(clip.embed_dim, runs.TASK.num_ranks)
    layer.load_state_dict(model.layer.state_dict())
    optimizer, states, norms = make(layer.parameters()), [], []
    for epoch in range(2):
        optimizer.param_groups[0]["lr"] = 0.01 * 0.5**epoch
        for rows in epoch_batches(24, 8, 3, epoch):
            optimizer.zero_grad()
            logits = layer(features[rows])
            (40 * nn.functional.cross_entropy(logits, labels[rows])).backward()
            norms.append(nn.utils.clip_grad_norm_(layer.parameters(), norm or torch.inf).item())
            optimizer.step()
        states.append([p.detach().clone() for p in layer.parameters()])
    history = runs.train(model, config=config)
    assert min(norms) > 1  # so that clipping, or none, makes a difference
    for a, b in zip(model.layer.parameters(), states[history.attrs["best_epoch"] - 1], strict=True):
        torch.testing.assert_close(a.detach(), b, rtol=0, atol=1e-6)


def test_weight_decay_is_decoupled_in_adamw_only(clip):
    """One step without a gradient: AdamW shrinks a weight; Adam moves it by the learning rate."""
    found = {}
    for name in ("adam", "adamw", "radam", "sgd"):
        model = Linear(clip, runs.TASK, adapter=False)
        with torch.no_grad():
            model.layer.weight.fill_(2.0)
        config = TrainingConfig(learning_rate=0.1, optimizer=name, weight_decay=0.05)
        optimizer = make_optimizer(model, config, "adam", 0.0)
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        found[name] = model.layer.weight[0, 0].item()
    # RAdam's first steps are those of SGD with momentum, not divided by the size of a gradient.
    expected = {"adam": 1.9, "adamw": 2 * (1 - 0.1 * 0.05), "radam": 1.99, "sgd": 1.99}
    assert found == pytest.approx(expected, abs=1e-6)


def test_defaults_of_the_methods(clip, tiny_clip_folder):
    data, config = [runs.make_data(s, 12) for s in ("train", "val")], TrainingConfig(epochs=1)
    optimizer = OrdinalTrainer(NumCLIP(clip, runs.TASK), *data, config, None).optimizer.optimizer
    assert type(optimizer) is Adam
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0}
    adapter, data = ranking_runs.make_adapter(tiny_clip_folder), ranking_runs.val_data()
    optimizer = RankingTrainer(adapter, data, data, config, None).optimizer.optimizer
    assert type(optimizer) is AdamW
    assert {(g["weight_decay"], g["amsgrad"]) for g in optimizer.param_groups} == {(0.01, True)}
    config = replace(config, optimizer="radam", weight_decay=0.0)
    optimizer = RankingTrainer(adapter, data, data, config, None).optimizer.optimizer
    assert type(optimizer) is RAdam
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0}


RECIPES = {
    "NumCLIP": {
        "optimizer": "radam", "schedule": "multi_step", "milestones": (2,), "warmup_ratio": 0.0,
        "max_grad_norm": None,
    },
    "CLIP-ReID": {
        "optimizer": "adam", "weight_decay": 1e-4, "schedule": "multi_step", "milestones": (1, 3),
        "max_grad_norm": None,
    },
    "ranking-aware adapter": {
        "optimizer": "adamw", "weight_decay": 0.01, "schedule": "constant", "cooldown_ratio": 0.3,
        "max_grad_norm": None,
    },
    "SGD": {"optimizer": "sgd"},
}  # fmt: skip


@pytest.mark.parametrize("recipe", RECIPES)
def test_fit_resumes_bit_equal_with_recipe(clip, tmp_path, recipe):
    config = replace(runs.CONFIG, **RECIPES[recipe])
    straight, stopped, resumed = (NumCLIP(clip, runs.TASK) for _ in range(3))
    history = runs.train(straight, None, config)
    assert not history.equals(runs.train(NumCLIP(clip, runs.TASK)))
    with runs.changed_loss(stopped, 8), pytest.raises(runs.Interrupted):
        runs.train(stopped, tmp_path, config)
    assert runs.train(resumed, tmp_path, config).equals(history)
    assert runs.states_equal(resumed.trainable_state_dict(), straight.trainable_state_dict())


def test_milestones_count_over_both_stages(tiny_clip_folder, monkeypatch):
    config = TrainingConfig(
        epochs=5, prompt_epochs=2, batch_size=8, seed=5, learning_rate=0.01,
        schedule="multi_step", milestones=(1, 4), warmup_ratio=0.0, lr_multipliers={"adapter": 0.5},
    )  # fmt: skip
    rates, original = [], OrdinalTrainer._set_learning_rates

    def spy(trainer, step):
        original(trainer, step)
        rates.append(max(group["lr"] for group in trainer.optimizer.param_groups))

    monkeypatch.setattr(OrdinalTrainer, "_set_learning_rates", spy)
    runs.train(runs.make_model("stages", tiny_clip_folder), None, config)
    # Three steps per epoch; the second stage starts at the peak, and drops in its third epoch.
    assert rates == pytest.approx([0.01] * 3 + [0.001] * 3 + [0.01] * 6 + [0.001] * 3)
