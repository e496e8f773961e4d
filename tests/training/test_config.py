import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from ordlib.metrics import compute_metrics
from ordlib.tasks import load_task
from ordlib.training import TrainingConfig
from ordlib.training.config import METRICS


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("epochs", 0, "above 0"), ("batch_size", 0, "above 0"), ("learning_rate", 0.0, "above 0"),
        ("learning_rate", math.nan, "be a finite number"), ("max_grad_norm", -1.0, "above 0, or"),
        ("learning_rate", math.inf, "be a finite number"), ("gamma", 0.0, "above 0"),
        ("learning_rate", "3", "be a finite number"), ("learning_rate", True, "be a finite number"),
        ("max_grad_norm", "1", "be a finite number, or None"), ("jitter", "0", "be a finite"),
        ("crop_scale", "0.5", "be a finite number, or None"), ("batch_size", "3", "be an integer"),
        ("epochs", "3", "be an integer, or None"), ("patience", 1.5, "be an integer, or None"),
        ("flip", "no", "be True or False"), ("balanced_sampling", 1, "be True or False"),
        ("lr_multipliers", {"image_encoder": -0.1}, "map parameter groups to numbers, 0 or more"),
        ("lr_multipliers", {"head": "1"}, "map parameter"), ("lr_multipliers", 2, "map parameter"),
        ("optimizer", "adai", "be one of adam, adamw, radam, sgd, or None"),
        ("weight_decay", -0.1, "not be negative"), ("schedule", "step", "be one of cosine"),
        ("warmup_ratio", 1.0, "be 0 or more and below 1"), ("warmup_ratio", -0.1, "be 0 or more"),
        ("seed", -1, "not be negative"), ("prompt_epochs", -1, "be 0 or more"),
        ("epochs", 2.5, "be an integer"), ("monitor", "loss", "one of mae, accuracy"),
        ("patience", 0, "1 or more, or None"),
    ],
)  # fmt: skip
def test_training_config_names_wrong_field(field, value, rule):
    with pytest.raises(ValueError, match=rf"^{field} = .*: must (be )?{rule}") as caught:
        TrainingConfig(**{field: value})
    assert f"{field} = {value!r}: " in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule": "multi_step"}, r"milestones = \(\): required by schedule='multi_step'"),
        ({"milestones": (3,)}, r"milestones = \(3,\): required by schedule='multi_step', and only"),
        ({"schedule": "multi_step", "milestones": (9,)}, "must be below epochs = 9"),
        ({"schedule": "multi_step", "milestones": (3,), "epochs": None}, "below epochs = None"),
        ({"schedule": "multi_step", "milestones": (4, 3)}, "must be epochs in increasing order"),
        ({"schedule": "multi_step", "milestones": (0,)}, "must be epochs in increasing order"),
        ({"schedule": "multi_step", "milestones": (2.5,)}, "must be epochs in increasing order"),
        ({"schedule": "multi_step", "milestones": 3}, "milestones = 3: must be epochs"),
        ({"cooldown_ratio": 0.2}, "cooldown_ratio = 0.2: only for schedule='constant'"),
        ({"schedule": "constant", "cooldown_ratio": 0.95}, "with warmup_ratio at most 1"),
    ],
)
def test_training_config_refuses_contradicting_schedule(changes, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**{"epochs": 9} | changes)


def test_training_config_converts_numpy_numbers():
    config = TrainingConfig(
        epochs=np.int64(5), learning_rate=np.float32(0.5), flip=np.True_, jitter=0,
        schedule="multi_step", milestones=[np.int32(2)],
    )  # fmt: skip
    types = [type(getattr(config, n)) for n in ("epochs", "learning_rate", "flip", "jitter")]
    assert types == [int, float, bool, float]
    assert json.dumps(config.milestones) == "[2]"


def test_metrics_are_those_computed():
    predictions = load_task("dating").decode_values(np.array([0.2, 1.9, 4.0]))
    assert tuple(compute_metrics(load_task("dating"), [0, 1, 4], predictions)) == METRICS


@pytest.mark.parametrize("steps", [1, 2, 5, 10, 11, 100])
def test_lr_factor_is_linear_warmup_then_half_cosine(steps):
    factors = [TrainingConfig().lr_factor(step, steps) for step in range(steps)]
    warmup = max(round(steps / 10), 1)
    decay = steps - warmup
    expected = [(i + 1) / warmup for i in range(warmup)]
    # The half cosine reaches 0 one step after the last one.
    expected += [0.5 + 0.5 * math.cos(math.pi * i / (decay + 1)) for i in range(1, decay + 1)]
    assert factors == pytest.approx(expected, abs=1e-12)
    assert min(factors) > 0
    assert max(factors) == factors[warmup - 1] == 1


@pytest.mark.parametrize("milestones", [(2,), (1, 3, 4)])
def test_lr_factor_multi_step_equals_torch(milestones):
    """One learning rate per epoch, as in the releases of OrdinalCLIP and NumCLIP."""
    config = TrainingConfig(
        epochs=5, schedule="multi_step", milestones=milestones, gamma=0.3, warmup_ratio=0.0
    )
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, gamma=0.3)
    for epoch in range(5):
        factors = [config.lr_factor(7 * epoch + i, 35) for i in range(7)]
        assert factors == pytest.approx([optimizer.param_groups[0]["lr"]] * 7, rel=1e-12)
        optimizer.step()
        scheduler.step()


def test_lr_factor_multi_step_warms_up():
    config = TrainingConfig(epochs=5, schedule="multi_step", milestones=(1,), warmup_ratio=0.4)
    factors = [config.lr_factor(step, 10) for step in range(10)]
    assert factors == pytest.approx([0.25, 0.5, 0.075, *[0.1] * 7])


def cooldown_naive(steps: int, warmup: int, cooldown: int) -> list[float]:
    """The const-cooldown schedule of open_clip, which the ranking-aware adapter's release uses."""
    factors = []
    for step in range(steps):
        if step < warmup:
            factors.append((step + 1) / warmup)
        elif step < steps - cooldown:
            factors.append(1.0)
        else:
            factors.append(1 - (step - (steps - cooldown)) / cooldown)
    return factors


@pytest.mark.parametrize(("warmup", "cooldown"), [(2, 5), (0, 20), (10, 10), (4, 0)])
def test_lr_factor_constant_equals_open_clip(warmup, cooldown):
    config = TrainingConfig(
        schedule="constant", warmup_ratio=warmup / 20, cooldown_ratio=cooldown / 20
    )
    factors = [config.lr_factor(step, 20) for step in range(20)]
    assert factors == pytest.approx(cooldown_naive(20, warmup, cooldown))


def test_lr_factor_equals_recorded():
    """The learning rates that the shipped components were trained with."""
    recorded = json.loads(Path(__file__).with_name("sequences.json").read_text())
    for steps, expected in recorded["learning_rates"].items():
        factors = [TrainingConfig().lr_factor(step, int(steps)) for step in range(int(steps))]
        assert factors == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("monitor", METRICS)
def test_is_better(monitor):
    config = TrainingConfig(monitor=monitor)
    is_error = monitor in ("mae", "macro_mae", "max_mae", "rps", "ece")
    assert config.is_better(0.4, 0.5) is is_error
    assert config.is_better(0.5, 0.4) is not is_error
    assert not config.is_better(0.5, 0.5)
    assert config.is_better(9.0, None)
    assert not config.is_better(math.nan, None)
    assert not config.is_better(math.nan, 1.0)
