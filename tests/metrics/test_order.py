import math
import warnings
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from ordlib.metrics import pairwise_accuracy, pearson, quadratic_weighted_kappa, spearman

steady = settings(max_examples=60, deadline=None, derandomize=True, database=None)
few = st.integers(-3, 3)
pairs = st.lists(st.tuples(few, few), min_size=1, max_size=25).map(lambda rows: np.array(rows).T)


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def naive_pairwise(truth, predicted):
    points = []
    for i, j in combinations(range(len(truth)), 2):
        if truth[i] != truth[j]:
            agreement = (truth[i] - truth[j]) * (predicted[i] - predicted[j])
            points.append(1 if agreement > 0 else 0.5 if agreement == 0 else 0)
    return sum(points) / len(points) if points else float("nan")


def naive_ranks(values):
    """Mean position of each value among the sorted ones."""
    return np.array([sum(v < x for v in values) + sum(v == x for v in values) / 2 for x in values])


def naive_correlation(truth, predicted):
    truth, predicted = truth - np.mean(truth), predicted - np.mean(predicted)
    lengths = math.sqrt(sum(truth**2)) * math.sqrt(sum(predicted**2))
    return sum(truth * predicted) / lengths if lengths else float("nan")


@steady
@given(pairs)
def test_pairwise_accuracy_is_the_naive_one(sides):
    assert pairwise_accuracy(*sides) == pytest.approx(naive_pairwise(*sides), nan_ok=True)


@steady
@given(pairs)
def test_turning_the_prediction_round_turns_pairwise_accuracy_round(sides):
    truth, predicted = sides
    turned = 1 - pairwise_accuracy(truth, predicted)
    assert pairwise_accuracy(truth, -predicted) == pytest.approx(turned, nan_ok=True)
    assert pairwise_accuracy(-truth, predicted) == pytest.approx(turned, nan_ok=True)


@steady
@given(pairs, st.randoms(use_true_random=False))
def test_order_of_the_rows_does_not_matter(sides, random):
    rows = list(range(sides.shape[1]))
    random.shuffle(rows)
    for metric in (pairwise_accuracy, spearman, pearson):
        assert metric(*sides[:, rows]) == pytest.approx(metric(*sides), nan_ok=True)


@steady
@given(pairs)
def test_correlations_are_the_naive_ones(sides):
    truth, predicted = sides.astype(float)
    assert pearson(truth, predicted) == pytest.approx(
        naive_correlation(truth, predicted), abs=1e-12, nan_ok=True
    )
    naive = naive_correlation(naive_ranks(truth), naive_ranks(predicted))
    assert spearman(truth, predicted) == pytest.approx(naive, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_a_constant_has_no_correlation_and_does_not_warn(rows):
    rising, same = np.arange(rows), np.full(rows, 0.1)
    for metric in (spearman, pearson):
        assert np.isnan(metric(rising, same))
        assert np.isnan(metric(same, rising))
    assert np.isnan(pairwise_accuracy(same, rising))
    almost = [1, 1 + 4e-16, 1]
    assert np.isnan(pearson(np.arange(3), almost))
    assert np.isnan(pearson(almost, np.arange(3)))


def test_a_constant_prediction_is_a_coin():
    assert pairwise_accuracy([1, 2, 2, 3], [7, 7, 7, 7]) == 0.5


def test_any_unit_will_do():
    truth, scores = np.array([1, 2, 3, 4]), np.array([0.1, 0.3, 0.2, 9.0])
    for unit in (scores, np.exp(scores), 1e-9 * scores):
        assert pairwise_accuracy(truth, unit) == pytest.approx(5 / 6)
        assert spearman(truth, unit) == pytest.approx(0.8)


def test_many_pictures_need_no_table_of_pairs():
    truth = np.random.default_rng(0).integers(0, 5, 200_000)
    assert pairwise_accuracy(truth, truth) == pytest.approx(1)


def test_wrong_input_is_named():
    for metric in (pairwise_accuracy, spearman, pearson):
        with pytest.raises(ValueError, match=r"y_true\[0\] is nan"):
            metric([float("nan"), 1], [1, 2])


@pytest.mark.parametrize("seed", range(20))
def test_correlations_and_kappa_are_those_of_scipy_and_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(0, 6, (2, 30))
    value = predicted + rng.normal(size=30).round(1)
    assert pearson(truth, value) == pytest.approx(stats.pearsonr(truth, value).statistic)
    assert spearman(truth, value) == pytest.approx(stats.spearmanr(truth, value).statistic)
    kappa = cohen_kappa_score(truth, predicted, labels=range(6), weights="quadratic")
    assert quadratic_weighted_kappa(truth, predicted, 6) == pytest.approx(kappa)
