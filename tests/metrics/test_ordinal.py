"""Metrics against naive loops, scipy and scikit-learn; edge cases without warnings."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from ordlib.metrics import (
    accuracy,
    compute_metrics,
    mae,
    off_by_one_accuracy,
    pairwise_accuracy,
    pearson,
    quadratic_weighted_kappa,
    spearman,
)
from ordlib.metrics.prediction import Prediction
from ordlib.tasks import OrdinalTask, load_task

pytestmark = pytest.mark.filterwarnings("error")
steady = settings(max_examples=60, deadline=None, derandomize=True, database=None)
NUM_RANKS = 6


def pairs(low, high):
    """Arrays ``(2, N)`` of integers: y_true and y_pred."""
    value = st.integers(low, high)
    return st.lists(st.tuples(value, value), min_size=1, max_size=30).map(lambda x: np.array(x).T)


def naive_kappa(y_true, y_pred):
    """1 - observed squared error / squared error of all pairings."""
    observed = [(t - p) ** 2 for t, p in zip(y_true, y_pred, strict=True)]
    expected = [(t - p) ** 2 for t in y_true for p in y_pred]
    if not any(expected):
        return float("nan")
    return 1 - (sum(observed) / len(observed)) / (sum(expected) / len(expected))


def naive_pairwise(y_true, y_pred):
    points = []
    for i, j in combinations(range(len(y_true)), 2):
        if y_true[i] != y_true[j]:
            agreement = (y_true[i] - y_true[j]) * (y_pred[i] - y_pred[j])
            points.append(1 if agreement > 0 else 0.5 if agreement == 0 else 0)
    return sum(points) / len(points) if points else float("nan")


def naive_ranks(values):
    """Mean position of each value among the sorted ones."""
    return np.array([sum(v < x for v in values) + sum(v == x for v in values) / 2 for x in values])


def naive_correlation(a, b):
    a, b = a - np.mean(a), b - np.mean(b)
    norm = math.sqrt(sum(a**2)) * math.sqrt(sum(b**2))
    return sum(a * b) / norm if norm else float("nan")


@steady
@given(pairs(0, NUM_RANKS - 1))
def test_agreement_metrics_equal_naive_loops(data):
    errors = [abs(int(t) - int(p)) for t, p in zip(*data, strict=True)]
    assert mae(*data) == mae(*data[::-1]) == pytest.approx(sum(errors) / len(errors))
    assert accuracy(*data) == pytest.approx(errors.count(0) / len(errors))
    near = errors.count(0) + errors.count(1)
    assert off_by_one_accuracy(*data) == pytest.approx(near / len(errors))
    kappa = quadratic_weighted_kappa(*data, NUM_RANKS)
    assert kappa == pytest.approx(naive_kappa(*data), nan_ok=True)


@steady
@given(pairs(-3, 3), st.randoms(use_true_random=False))
def test_order_metrics_equal_naive_loops(data, random):
    y_true, y_pred = data.astype(float)
    expected = {
        pairwise_accuracy: naive_pairwise(*data),
        pearson: naive_correlation(y_true, y_pred),
        spearman: naive_correlation(naive_ranks(y_true), naive_ranks(y_pred)),
    }
    shuffled = list(range(data.shape[1]))
    random.shuffle(shuffled)
    for metric, value in expected.items():
        approx = pytest.approx(value, abs=1e-12, nan_ok=True)
        assert metric(y_true, y_pred) == approx
        assert metric(*data[:, shuffled]) == approx
    reversed_order = pytest.approx(1 - pairwise_accuracy(*data), nan_ok=True)
    assert pairwise_accuracy(y_true, -y_pred) == reversed_order
    assert pairwise_accuracy(-y_true, y_pred) == reversed_order


@pytest.mark.parametrize("seed", range(20))
def test_correlations_and_kappa_equal_scipy_and_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    y_true, y_pred = rng.integers(0, 6, (2, 30))
    value = y_pred + rng.normal(size=30).round(1)
    assert pearson(y_true, value) == pytest.approx(stats.pearsonr(y_true, value).statistic)
    assert spearman(y_true, value) == pytest.approx(stats.spearmanr(y_true, value).statistic)
    kappa = cohen_kappa_score(y_true, y_pred, labels=range(6), weights="quadratic")
    assert quadratic_weighted_kappa(y_true, y_pred, 6) == pytest.approx(kappa)


def test_quadratic_weighted_kappa_known_cases():
    for y_pred, kappa in (([0, 1, 2], 1), ([2, 1, 0], -1), ([1, 1, 1], 0)):
        assert quadratic_weighted_kappa([0, 1, 2], y_pred, 3) == pytest.approx(kappa)
    assert np.isnan(quadratic_weighted_kappa([1, 1], [1, 1], 3))
    # Ranks that do not occur count in the distances.
    y_true, y_pred = [0, 0, 5, 5, 1], [0, 5, 5, 5, 0]
    kappa = quadratic_weighted_kappa(y_true, y_pred, 6)
    assert kappa == pytest.approx(naive_kappa(y_true, y_pred))
    assert kappa != pytest.approx(naive_kappa([0, 0, 2, 2, 1], [0, 2, 2, 2, 0]))


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_constant_arrays_have_no_correlation(rows):
    rising, constant = np.arange(rows), np.full(rows, 0.1)
    for metric in (spearman, pearson):
        assert np.isnan(metric(rising, constant))
        assert np.isnan(metric(constant, rising))
    assert np.isnan(pairwise_accuracy(constant, rising))
    nearly_constant = [1, 1 + 4e-16, 1]
    assert np.isnan(pearson(np.arange(3), nearly_constant))
    assert np.isnan(pearson(nearly_constant, np.arange(3)))


def test_order_metrics_ignore_the_unit():
    y_true, scores = np.array([1, 2, 3, 4]), np.array([0.1, 0.3, 0.2, 9.0])
    for rescaled in (scores, np.exp(scores), 1e-9 * scores):
        assert pairwise_accuracy(y_true, rescaled) == pytest.approx(5 / 6)
        assert spearman(y_true, rescaled) == pytest.approx(0.8)


def test_pairwise_accuracy_needs_no_table_of_pairs():
    y_true = np.random.default_rng(0).integers(0, 5, 200_000)
    assert pairwise_accuracy(y_true, y_true) == pytest.approx(1)
    assert pairwise_accuracy([1, 2, 2, 3], [7, 7, 7, 7]) == 0.5


@pytest.mark.parametrize(
    ("y_true", "y_pred", "message"),
    [
        pytest.param([1, 2], [1], r"shapes \(2,\) and \(1,\)", id="lengths"),
        pytest.param([], [], "at least 1", id="empty"),
        pytest.param([[1, 2]], [[1, 2]], r"\(1, 2\)", id="2d"),
        pytest.param([1, 2], [1, float("nan")], r"y_pred\[1\] = nan: must be finite", id="nan"),
        pytest.param([float("inf"), 2], [1, 2], r"y_true\[0\] = inf", id="inf"),
    ],
)
@pytest.mark.parametrize(
    "metric", [mae, accuracy, off_by_one_accuracy, pairwise_accuracy, spearman, pearson]
)
def test_metrics_reject_invalid_arrays(metric, y_true, y_pred, message):
    with pytest.raises(ValueError, match=message):
        metric(y_true, y_pred)


def test_rank_metrics_reject_invalid_rank_indices():
    for metric in (accuracy, off_by_one_accuracy):
        with pytest.raises(ValueError, match=r"y_pred\[1\] = 2.5: not a rank index.*rank_index"):
            metric([1, 2], [1, 2.5])
    with pytest.raises(ValueError, match=r"y_true\[2\] = 3: not a rank index.* from 0 to 2"):
        quadratic_weighted_kappa([0, 1, 3], [0, 1, 2], 3)
    with pytest.raises(ValueError, match=r"y_pred\[0\] = -1"):
        quadratic_weighted_kappa([0, 1, 2], [-1, 1, 2], 3)


QUALITY = load_task("quality")
Y_TRUE = np.array([1.1, 2.4, 2.6, 4.0, 4.9])
Y_PRED = np.array([1.6, 2.0, 3.4, 3.9, 4.2])


def test_compute_metrics_compares_values_and_nearest_ranks():
    metrics = compute_metrics(QUALITY, Y_TRUE, QUALITY.decode_values(Y_PRED))
    assert all(type(number) is float for number in metrics.values())
    assert list(metrics.items()) == [
        ("mae", pytest.approx(np.abs(Y_TRUE - Y_PRED).mean())),
        ("accuracy", 0.6),
        ("off_by_one", 1.0),
        ("kappa", quadratic_weighted_kappa([0, 1, 2, 3, 4], [1, 1, 2, 3, 3], 5)),
        ("spearman", spearman(Y_TRUE, Y_PRED)),
        ("pearson", pearson(Y_TRUE, Y_PRED)),
        ("pairwise", 1.0),
        ("macro_mae", pytest.approx(np.abs(Y_TRUE - Y_PRED).mean())),
        ("max_mae", pytest.approx(np.abs(Y_TRUE - Y_PRED).max())),
        ("rps", pytest.approx(np.nan, nan_ok=True)),
        ("ece", pytest.approx(np.nan, nan_ok=True)),
    ]


def test_compute_metrics_ignores_pairs_of_equal_nearest_rank():
    prediction = QUALITY.decode_values(np.array([1.0, 2.0, 3.0]))
    assert compute_metrics(QUALITY, [3.4, 2.6, 5.0], prediction)["pairwise"] == 1.0


def test_compute_metrics_uses_labels_for_accuracy_and_values_for_mae():
    metrics = compute_metrics(QUALITY, Y_TRUE, Prediction(value=Y_TRUE, label=np.full(5, 3.0)))
    assert (metrics["mae"], metrics["accuracy"]) == (0, 0.2)


def test_compute_metrics_with_unequal_spacing():
    task = OrdinalTask(name="prices", unit="euros", values=(1, 2, 5, 100))
    metrics = compute_metrics(task, [1, 5, 100], task.decode_values([2, 5, 5]))
    assert metrics["mae"] == pytest.approx(96 / 3)
    assert metrics["off_by_one"] == 1.0


def test_compute_metrics_of_a_single_image_and_of_a_wrong_length():
    metrics = compute_metrics(QUALITY, [3.0], QUALITY.decode_values([3.0]))
    assert metrics["mae"] == 0
    assert np.isnan([metrics[name] for name in ("kappa", "spearman", "pearson", "pairwise")]).all()
    with pytest.raises(ValueError, match=r"shapes \(5,\) and \(2,\)"):
        compute_metrics(QUALITY, Y_TRUE, QUALITY.decode_values([1, 2]))
