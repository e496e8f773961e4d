"""Split-conformal intervals: quantile, coverage over redraws, temperature."""

import math

import numpy as np
import pytest

from ordlib import OrdinalTask, Prediction
from ordlib.metrics.conformal import ConformalCalibration

TASK = OrdinalTask(name="t", unit="u", values=tuple(range(101)))


def skewed(rng: np.random.Generator, count: int) -> tuple[np.ndarray, Prediction]:
    """True values, and predictions with errors that are neither normal nor of one size."""
    y_true = rng.uniform(0, 100, count)
    errors = rng.exponential(1 + y_true / 20) * rng.choice([-1, 1, 2], count)
    return y_true, Prediction(y_true + errors, y_true.round())


@pytest.mark.parametrize("level", [0.8, 0.9])
@pytest.mark.parametrize("count", [25, 100])
def test_coverage_over_200_redraws(level, count):
    rng, covered = np.random.default_rng(0), []
    for _ in range(200):
        half_width = ConformalCalibration.fit(TASK, *skewed(rng, count)).half_width(level)
        y_true, prediction = skewed(rng, 500)
        covered.append(np.mean(np.abs(y_true - prediction.value) <= half_width))
    # The theory: level <= mean coverage <= level + 1 / (n + 1).
    error = np.std(covered) / math.sqrt(200)
    assert level - 3 * error <= np.mean(covered) <= level + 1 / (count + 1) + 3 * error


@pytest.mark.parametrize(("count", "index"), [(9, 9), (10, 10), (19, 18), (100, 91), (99, 90)])
def test_half_width_is_an_order_statistic(count, index):
    calibration = ConformalCalibration([float(i) for i in range(1, count + 1)])
    assert calibration.half_width(0.9) == index


def test_too_few_images_give_an_infinite_interval():
    assert ConformalCalibration([1.0] * 8).half_width(0.9) == math.inf


@pytest.mark.parametrize("level", [0, 1, -0.5, "0.9", math.nan])
def test_half_width_validates_the_level(level):
    with pytest.raises(ValueError, match=f"confidence_level = {level!r}: must be between 0 and 1"):
        ConformalCalibration([1.0]).half_width(level)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_is_recovered(temperature):
    task = OrdinalTask(name="t", unit="u", values=(0, 1, 2, 3))
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (4000, 4))
    softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    y_true = np.array([rng.choice(4, p=p) for p in softmax])
    # A model whose logits are too large by this factor.
    wrong = np.exp(temperature * logits)
    wrong /= wrong.sum(1, keepdims=True)
    calibration = ConformalCalibration.fit(task, y_true, task.decode_probabilities(wrong))
    assert calibration.temperature == pytest.approx(temperature, rel=0.1)
    scaled = calibration.scale(wrong)
    expected = wrong ** (1 / calibration.temperature)
    np.testing.assert_allclose(scaled, expected / expected.sum(1, keepdims=True), rtol=1e-6)


def test_certain_probabilities_are_scaled_without_nan():
    task = OrdinalTask(name="t", unit="u", values=(0, 1))
    prediction = task.decode_probabilities([[1.0, 0.0], [0.0, 1.0]] * 20)
    calibration = ConformalCalibration.fit(task, [1, 1] * 20, prediction)
    assert calibration.temperature is not None
    few = ConformalCalibration.fit(task, [1, 1], prediction.subset([0, 1]))
    assert few.temperature is None
    assert np.isfinite(calibration.scale(prediction.probabilities)).all()
