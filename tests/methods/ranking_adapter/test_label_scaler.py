"""Labels, standardised targets and scores: the lines between them, against loops."""

import math

import numpy as np
import pytest

from ordlib import OrdinalTask, load_task
from ordlib.methods.ranking_adapter.label_scaler import LabelScaler

LABELS = np.array([1.0, 1.0, 4.0, 10.0])


def mean_of(numbers) -> float:
    return sum(numbers) / len(numbers)


def line(scores, labels) -> tuple[float, float]:
    """Slope and intercept of least squares, from sums."""
    x, y = mean_of(scores), mean_of(labels)
    up = sum((s - x) * (v - y) for s, v in zip(scores, labels, strict=True))
    slope = up / sum((s - x) ** 2 for s in scores)
    return slope, y - slope * x


def test_labels_are_standardised_by_their_own_spread():
    scale = LabelScaler.fit(LABELS)
    std = math.sqrt(mean_of([(label - 4) ** 2 for label in LABELS]))
    assert (scale.mean, scale.intercept) == (4, 4)
    assert scale.std == scale.slope == pytest.approx(std)
    targets = scale.transform(LABELS)
    assert targets == pytest.approx([(label - 4) / std for label in LABELS])
    assert scale.inverse_transform(targets) == pytest.approx(LABELS)


def test_a_guess_takes_labels_for_even_over_the_range():
    even = np.linspace(1, 90, 100_001)
    scale = LabelScaler.from_task_range(load_task("ageing"))
    assert scale.mean == scale.intercept == pytest.approx(even.mean())
    assert scale.std == scale.slope == pytest.approx(even.std(), rel=1e-4)
    named = OrdinalTask(name="ripe", unit="days", values=("a", "b"), positions=(-3, 9))
    assert LabelScaler.from_task_range(named).mean == 3


def test_the_line_is_that_of_least_squares():
    rng = np.random.default_rng(0)
    scores = rng.normal(2, 3, 30)
    labels = 1.5 * scores + 7 + rng.normal(0, 1, 30)
    before = LabelScaler.fit(LABELS)
    scale = before.calibrated(scores, labels)
    slope, intercept = line(scores.tolist(), labels.tolist())
    assert scale.slope == pytest.approx(slope)
    assert scale.intercept == pytest.approx(intercept)
    assert scale.inverse_transform(scores[:3]) == pytest.approx(
        [slope * s + intercept for s in scores[:3]]
    )
    # Targets of training stay what they were.
    assert (scale.mean, scale.std) == (before.mean, before.std)
    assert scale.transform(LABELS) == pytest.approx(before.targets(LABELS))


@pytest.mark.parametrize(
    "scores",
    [
        pytest.param([4.0, 3.0, 2.0, 1.0], id="falling"),
        pytest.param([2.0, 2.0, 2.0, 2.0], id="equal"),
    ],
)
def test_where_no_line_rises_all_get_the_mean(scores):
    scale = LabelScaler.from_task_range(load_task("counting")).calibrated(np.array(scores), LABELS)
    assert scale.inverse_transform(np.array([-9.0, 0.0, 9.0])) == pytest.approx([4, 4, 4])


def test_values_may_lie_beyond_the_range():
    scale = LabelScaler.from_task_range(load_task("dating"))
    assert scale.inverse_transform(np.array([-9.0])) < 0
    assert scale.inverse_transform(np.array([9.0])) > 4
