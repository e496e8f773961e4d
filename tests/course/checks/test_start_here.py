import numpy as np
import pytest
from check_results import assert_passed, assert_wrong, table_tests

from ordlib.course.checks import start_here as check
from ordlib.tasks import OrdinalTask


def right(y_true, y_pred):
    return np.mean(np.abs(y_true - y_pred) <= 1)


def by_loop(y_true, y_pred):
    return sum(abs(a - b) < 2 for a, b in zip(y_true, y_pred, strict=True)) / len(y_true)


WRONG = {
    "plain accuracy": lambda t, p: np.mean(t == p),
    "exact hits": lambda t, p: np.mean(abs(t - p) == 1),
    "far below": lambda t, p: np.mean(p - t <= 1),
    "far above": lambda t, p: np.mean(t - p <= 1),
    "is a count": lambda t, p: np.sum(abs(t - p) <= 1),
    "mean absolute error": lambda t, p: np.mean(abs(t - p)),
    "not an array": lambda t, p: abs(t - p) <= 1,
    "the result is": lambda t, p: 0.123,
}
Y_TRUE = np.array([1, 3, 5, 7, 9, 12, 14, 16, 18, 20])
MISS = np.eye(10, dtype=int)[0]


@pytest.mark.parametrize(
    ("first", "second", "diagnosis"),
    [
        (Y_TRUE[:9], Y_TRUE, "shape (9,)"),
        (Y_TRUE - 1, Y_TRUE, "whole number"),
        (Y_TRUE, Y_TRUE + MISS, "accuracies differ: 1.00 and 0.90"),
        (Y_TRUE, Y_TRUE, "perfect"),
        (
            Y_TRUE + MISS,
            Y_TRUE + MISS,
            "MAE 0.10 and 0.10: 1 times. The exercise asks for at least ten",
        ),
    ],
)
def test_two_predictors_diagnoses(first, second, diagnosis):
    assert_wrong(check.two_predictors(Y_TRUE, first, second), diagnosis)


def test_two_predictors_accepts_ten_times_the_error():
    near, far, limit = (Y_TRUE + factor * MISS for factor in (1, 10, 19))
    assert_passed(check.two_predictors(Y_TRUE, near, far), "10 times, and the limit is 19")
    assert_passed(check.two_predictors(Y_TRUE, limit, near), "which is the limit")


def task(**changes):
    fields = {
        "name": "wind", "unit": "km/h", "values": ("calm", "breeze", "gale", "storm"),
        "positions": (0, 20, 70, 100), "templates": ("the sea in a {rank}",),
        "bin_edges": (0, 50), "bin_phrases": ("gentle wind", "dangerous wind"),
    }  # fmt: skip
    return OrdinalTask(**(fields | changes))


@pytest.mark.parametrize(
    ("answer", "diagnosis"),
    [
        ({"a": 1}, "a dict"),
        (task(values=("calm", "gale", "storm"), positions=(0, 30, 100)), "at least four"),
        (task(positions=(0, 1, 2, 3), bin_edges=(0, 2)), "all steps are 1"),
        (task(rank_names=("calm", "breeze", "gale 8", "storm")), "'gale 8' has a digit"),
        (task(bin_edges=None, bin_phrases=None), "not coarse"),
    ],
)
def test_own_task_diagnoses(answer, diagnosis):
    assert_wrong(check.own_task(answer), diagnosis)


NUMERIC = {"values": (1, 2, 4, 8), "rank_names": ("one", "two", "four", "eight"),
           "positions": None, "bin_edges": (1, 4)}  # fmt: skip
RIGHT = {check.off_by_one: [right, by_loop], check.own_task: [task(), task(**NUMERIC)]}

test_right_answers, test_wrong_answers = table_tests(RIGHT, {check.off_by_one: WRONG})
