import numpy as np
import pytest
from check_results import passed, right_answers, wrong, wrong_answers

from ordlib.course.checks import start_here as check
from ordlib.tasks import OrdinalTask


def right(truth, predicted):
    return np.mean(np.abs(truth - predicted) <= 1)


def by_loop(truth, predicted):
    return sum(abs(a - b) < 2 for a, b in zip(truth, predicted, strict=True)) / len(truth)


WRONG = {
    "plain accuracy": lambda t, p: np.mean(t == p),
    "exact hits": lambda t, p: np.mean(abs(t - p) == 1),
    "far below": lambda t, p: np.mean(p - t <= 1),
    "far above": lambda t, p: np.mean(t - p <= 1),
    "is a count": lambda t, p: np.sum(abs(t - p) <= 1),
    "mean absolute error": lambda t, p: np.mean(abs(t - p)),
    "not an array": lambda t, p: abs(t - p) <= 1,
    "the answer is": lambda t, p: 0.123,
}


TEN = np.array([1, 3, 5, 7, 9, 12, 14, 16, 18, 20])
MISS = np.eye(10, dtype=int)[0]


@pytest.mark.parametrize(
    ("first", "second", "diagnosis"),
    [
        (TEN[:9], TEN, "shape (9,)"),
        (TEN - 1, TEN, "whole number"),
        (TEN, TEN + MISS, "accuracies differ: 1.00 and 0.90"),
        (TEN, TEN, "perfect"),
        (TEN + MISS, TEN + MISS, "MAE 0.10 and 0.10: 1 times. Ten times is asked for"),
    ],
)
def test_two_predictors_diagnoses(first, second, diagnosis):
    wrong(check.two_predictors(TEN, first, second), diagnosis)


def test_two_predictors_accepts_a_right_answer():
    ten_times = check.two_predictors(TEN, TEN + MISS, TEN + 10 * MISS)
    passed(ten_times)
    assert "10 times, and the limit is 19" in ten_times.message
    assert "which is the limit" in check.two_predictors(TEN, TEN + 19 * MISS, TEN + MISS).message


def task(**changes):
    given = {
        "name": "wind", "unit": "km/h", "values": ("calm", "breeze", "gale", "storm"),
        "positions": (0, 20, 70, 100), "templates": ("the sea in a {rank}",),
        "bin_edges": (0, 50), "bin_phrases": ("gentle wind", "dangerous wind"),
    }  # fmt: skip
    return OrdinalTask(**(given | changes))


def test_own_task_accepts_a_right_answer():
    passed(check.own_task(task()))
    passed(check.own_task(task(values=(1, 2, 4, 8), rank_names=("one", "two", "four", "eight"),
                               positions=None, bin_edges=(1, 4))))  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "diagnosis"),
    [
        ({"a": 1}, "a dict"),
        (task(values=("calm", "gale", "storm"), positions=(0, 30, 100)), "at least four"),
        (task(positions=(0, 1, 2, 3), bin_edges=(0, 2)), "all steps are 1"),
        (task(rank_names=("calm", "breeze", "gale 8", "storm")), "'gale 8' holds a digit"),
        (task(bin_edges=None, bin_phrases=None), "coarse bins"),
    ],
)
def test_own_task_diagnoses(answer, diagnosis):
    wrong(check.own_task(answer), diagnosis)


@right_answers({check.off_by_one: [right, by_loop]})
def test_right_answers_pass(judge, answer):
    passed(judge(answer))


@wrong_answers({check.off_by_one: WRONG})
def test_wrong_answers_are_diagnosed(judge, diagnosis, answer):
    wrong(judge(answer), diagnosis)
