import math

import numpy as np
import pytest

from ordlib.metrics import compute_metrics
from ordlib.tasks import load_task
from ordlib.training import TrainingConfig
from ordlib.training.config import METRICS


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("epochs", 0, "must be above 0"),
        ("batch_size", 0, "must be above 0"),
        ("learning_rate", 0.0, "must be above 0"),
        ("learning_rate", math.nan, "must be above 0"),
        ("max_grad_norm", -1.0, "must be above 0"),
        ("lr_multipliers", {"image_encoder": -0.1}, "must not be negative"),
        ("seed", -1, "must not be negative"),
        ("prompt_epochs", -1, "must be 0 to 19, below epochs"),
        ("prompt_epochs", 20, "must be 0 to 19, below epochs"),
        ("monitor", "loss", "must be one of mae, accuracy, off_by_one, kappa, spearman, pearson"),
        ("patience", 0, "must be 1 or more, or None"),
    ],
)
def test_a_wrong_field_is_named_with_its_value(field, value, rule):
    with pytest.raises(ValueError, match=rf"^{field} = .*: {rule}") as caught:
        TrainingConfig(**{field: value})
    assert f"{field} = {value!r}: " in str(caught.value)


def test_every_metric_is_one_that_is_measured():
    task = load_task("dating")
    assert (
        tuple(compute_metrics(task, [0, 1, 4], task.decode_values(np.array([0.2, 1.9, 4.0]))))
        == METRICS
    )


@pytest.mark.parametrize("steps", [1, 2, 5, 10, 11, 100])
def test_the_rate_warms_up_and_falls_along_half_a_cosine(steps):
    config, found = TrainingConfig(), []
    for step in range(steps):
        found.append(config.lr_factor(step, steps))
    warm = max(round(steps / 10), 1)
    left = steps - warm
    expected = [(i + 1) / warm for i in range(warm)]
    # The end of the half cosine, where nothing would be learned, lies one step behind the last.
    expected += [0.5 + 0.5 * math.cos(math.pi * i / (left + 1)) for i in range(1, left + 1)]
    assert found == pytest.approx(expected, abs=1e-12)
    assert min(found) > 0
    assert max(found) == found[warm - 1] == 1


@pytest.mark.parametrize("monitor", METRICS)
def test_less_is_better_for_errors_alone(monitor):
    config = TrainingConfig(monitor=monitor)
    assert config.is_better(0.4, 0.5) is (monitor == "mae")
    assert config.is_better(0.5, 0.4) is (monitor != "mae")
    assert not config.is_better(0.5, 0.5)


def test_a_first_value_is_better_than_none_and_nan_never():
    config = TrainingConfig()
    assert config.is_better(9.0, None)
    assert not config.is_better(math.nan, None)
    assert not config.is_better(math.nan, 1.0)
