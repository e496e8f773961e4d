import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ordlib.metrics import accuracy, mae, off_by_one_accuracy, quadratic_weighted_kappa

steady = settings(max_examples=60, deadline=None, derandomize=True, database=None)
RANKS = 6
rank = st.integers(0, RANKS - 1)
pairs = st.lists(st.tuples(rank, rank), min_size=1, max_size=30).map(lambda rows: np.array(rows).T)


def naive_kappa(truth, predicted, ranks):
    """One less the observed squared miss over the one expected if the two were unrelated."""
    observed = [(t - p) ** 2 for t, p in zip(truth, predicted, strict=True)]
    expected = [(t - p) ** 2 for t in truth for p in predicted]
    if not any(expected):
        return float("nan")
    return 1 - (sum(observed) / len(observed)) / (sum(expected) / len(expected))


@steady
@given(pairs)
def test_against_naive_loops(sides):
    truth, predicted = sides
    misses = [abs(int(t) - int(p)) for t, p in zip(truth, predicted, strict=True)]
    assert mae(truth, predicted) == pytest.approx(sum(misses) / len(misses))
    assert accuracy(truth, predicted) == pytest.approx(misses.count(0) / len(misses))
    near = misses.count(0) + misses.count(1)
    assert off_by_one_accuracy(truth, predicted) == pytest.approx(near / len(misses))
    naive = naive_kappa(truth, predicted, RANKS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert quadratic_weighted_kappa(truth, predicted, RANKS) == pytest.approx(
            naive, nan_ok=True
        )


@steady
@given(pairs)
def test_bounds(sides):
    assert accuracy(*sides) <= off_by_one_accuracy(*sides) <= 1
    assert mae(*sides) == mae(*sides[::-1]) >= 1 - accuracy(*sides) - 1e-12


def test_mae_keeps_the_unit_and_the_fractions():
    assert mae([1.0, 2.5], [2.0, 2.0]) == 0.75


def test_kappa_counts_the_ranks_that_are_absent():
    truth, predicted = [0, 0, 5, 5, 1], [0, 5, 5, 5, 0]
    assert quadratic_weighted_kappa(truth, predicted, 6) == pytest.approx(
        naive_kappa(truth, predicted, 6)
    )
    squeezed = [[0, 0, 2, 2, 1], [0, 2, 2, 2, 0]]
    assert quadratic_weighted_kappa(truth, predicted, 6) != pytest.approx(naive_kappa(*squeezed, 3))


def test_kappa_of_known_cases():
    assert quadratic_weighted_kappa([0, 1, 2], [0, 1, 2], 3) == pytest.approx(1)
    assert quadratic_weighted_kappa([0, 1, 2], [2, 1, 0], 3) == pytest.approx(-1)
    assert quadratic_weighted_kappa([0, 1, 2], [1, 1, 1], 3) == pytest.approx(0)
    assert np.isnan(quadratic_weighted_kappa([1, 1], [1, 1], 3))


@pytest.mark.parametrize("metric", [accuracy, off_by_one_accuracy])
def test_values_between_ranks_are_no_ranks(metric):
    with pytest.raises(ValueError, match=r"y_pred\[1\] = 2.5 is no rank index.*rank_index"):
        metric([1, 2], [1, 2.5])


def test_kappa_refuses_ranks_the_task_does_not_have():
    with pytest.raises(ValueError, match=r"y_true\[2\] = 3 is no rank index of 3 ranks; give 0 to"):
        quadratic_weighted_kappa([0, 1, 3], [0, 1, 2], 3)
    with pytest.raises(ValueError, match=r"y_pred\[0\] = -1"):
        quadratic_weighted_kappa([0, 1, 2], [-1, 1, 2], 3)


WRONG_INPUT = {
    "lengths": ([1, 2], [1], r"shapes are \(2,\) and \(1,\)"),
    "nothing": ([], [], "at least 1"),
    "tables": ([[1, 2]], [[1, 2]], r"\(1, 2\)"),
    "NaN": ([1, 2], [1, float("nan")], r"y_pred\[1\] is nan; metrics need finite numbers"),
    "infinity": ([float("inf"), 2], [1, 2], r"y_true\[0\] is inf"),
}


@pytest.mark.parametrize("case", WRONG_INPUT)
@pytest.mark.parametrize("metric", [mae, accuracy, off_by_one_accuracy])
def test_wrong_input_is_named(metric, case):
    truth, predicted, message = WRONG_INPUT[case]
    with pytest.raises(ValueError, match=message):
        metric(truth, predicted)
