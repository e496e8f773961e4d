import json
import math
from pathlib import Path

import numpy as np
import pytest

from ordlib.metrics import compute_metrics
from ordlib.tasks import load_task
from ordlib.training import TrainingConfig
from ordlib.training.config import METRICS


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("epochs", 0, "above 0"), ("batch_size", 0, "above 0"), ("learning_rate", 0.0, "above 0"),
        ("learning_rate", math.nan, "above 0"), ("max_grad_norm", -1.0, "above 0"),
        ("lr_multipliers", {"image_encoder": -0.1}, "not be negative"),
        ("seed", -1, "not be negative"), ("prompt_epochs", -1, "be 0 or more"),
        ("epochs", 2.5, "be an integer"), ("monitor", "loss", "one of mae, accuracy"),
        ("patience", 0, "1 or more, or None"),
    ],
)  # fmt: skip
def test_training_config_names_wrong_field(field, value, rule):
    with pytest.raises(ValueError, match=rf"^{field} = .*: must (be )?{rule}") as caught:
        TrainingConfig(**{field: value})
    assert f"{field} = {value!r}: " in str(caught.value)


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
