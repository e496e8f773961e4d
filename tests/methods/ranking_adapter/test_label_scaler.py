"""LabelScaler against loops."""

import math

import numpy as np
import pytest

from ordlib import OrdinalTask, load_task
from ordlib.methods.ranking_adapter.label_scaler import LabelScaler

LABELS = np.array([1.0, 1.0, 4.0, 10.0])


def least_squares(scores: list[float], labels: list[float]) -> tuple[float, float]:
    """Slope and intercept from sums."""
    x, y = sum(scores) / len(scores), sum(labels) / len(labels)
    covariance = sum((s - x) * (v - y) for s, v in zip(scores, labels, strict=True))
    slope = covariance / sum((s - x) ** 2 for s in scores)
    return slope, y - slope * x


def test_fit_standardizes_labels():
    scaler = LabelScaler.fit(LABELS)
    std = math.sqrt(sum((label - 4) ** 2 for label in LABELS) / 4)
    assert (scaler.mean, scaler.intercept) == (4, 4)
    assert scaler.std == scaler.slope == pytest.approx(std)
    targets = scaler.standardize(LABELS)
    assert targets == pytest.approx([(label - 4) / std for label in LABELS])
    assert scaler.scores_to_labels(targets) == pytest.approx(LABELS)


def test_from_task_range_assumes_uniform_labels():
    labels = np.linspace(1, 90, 100_001)
    scaler = LabelScaler.from_task_range(load_task("ageing"))
    assert scaler.mean == scaler.intercept == pytest.approx(labels.mean())
    assert scaler.std == scaler.slope == pytest.approx(labels.std(), rel=1e-4)
    named = OrdinalTask(name="ripe", unit="days", values=("a", "b"), positions=(-3, 9))
    assert LabelScaler.from_task_range(named).mean == 3


def test_calibrated_is_least_squares_line():
    rng = np.random.default_rng(0)
    scores = rng.normal(2, 3, 30)
    labels = 1.5 * scores + 7 + rng.normal(0, 1, 30)
    before = LabelScaler.fit(LABELS)
    scaler = before.calibrated(scores, labels)
    slope, intercept = least_squares(scores.tolist(), labels.tolist())
    assert (scaler.slope, scaler.intercept) == pytest.approx((slope, intercept))
    assert scaler.scores_to_labels(scores) == pytest.approx(slope * scores + intercept)
    # Standardized targets do not change.
    assert (scaler.mean, scaler.std) == (before.mean, before.std)


@pytest.mark.parametrize("scores", [[4.0, 3.0, 2.0, 1.0], [2.0] * 4], ids=["falling", "constant"])
def test_calibrated_predicts_mean_without_rising_line(scores):
    scaler = LabelScaler.from_task_range(load_task("counting"))
    scaler = scaler.calibrated(np.array(scores), LABELS)
    assert scaler.scores_to_labels(np.array([-9.0, 0.0, 9.0])) == pytest.approx([4, 4, 4])


def test_scores_to_labels_is_not_clipped():
    scaler = LabelScaler.from_task_range(load_task("dating"))
    low, high = scaler.scores_to_labels(np.array([-9.0, 9.0]))
    assert low < 0 < 4 < high
