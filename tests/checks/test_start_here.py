import numpy as np
import pytest

from ordlib.course.checks import start_here as check
from ordlib.tasks import OrdinalTask, load_task


def right(truth, predicted):
    return np.mean(np.abs(truth - predicted) <= 1)


WRONG = {
    "plain accuracy": lambda t, p: np.mean(t == p),
    "exact hits": lambda t, p: np.mean(abs(t - p) == 1),
    "far below": lambda t, p: np.mean(p - t <= 1),
    "far above": lambda t, p: np.mean(t - p <= 1),
    "is a count": lambda t, p: np.sum(abs(t - p) <= 1),
    "percentage": lambda t, p: 100 * right(t, p),
    "mean absolute error": lambda t, p: np.mean(abs(t - p)),
    "failures": lambda t, p: np.mean(abs(t - p) > 1),
    "too far": lambda t, p: np.mean(abs(t - p) <= 2),
    "not an array": lambda t, p: abs(t - p) <= 1,
    "differences only": lambda t, p: right(t, p) if t.min() == 0 else 0.0,
    "above and below cancel": lambda t, p: np.mean(t - p),
    "compare each error": lambda t, p: abs(t - p).mean() <= 1,
    "raised ZeroDivisionError": lambda t, p: 1 / 0,
    "the answer is": lambda t, p: 0.123,
}


def test_off_by_one_accepts_a_right_answer():
    assert check.off_by_one(right).state == "passed"


@pytest.mark.parametrize("diagnosis", WRONG)
def test_off_by_one_diagnoses(diagnosis):
    verdict = check.off_by_one(WRONG[diagnosis])
    assert verdict.state == "not yet"
    assert diagnosis in verdict.message


def test_stub_is_not_started():
    assert check.off_by_one(lambda t, p: ...).state == "not started"
    assert check.two_predictors(np.arange(3), ..., ...).state == "not started"
    assert check.own_task(...).state == "not started"


TEN = np.array([1, 3, 5, 7, 9, 12, 14, 16, 18, 20])
MISS = np.eye(10, dtype=int)[0]


@pytest.mark.parametrize(
    ("first", "second", "diagnosis"),
    [
        (TEN[:9], TEN, "shape (9,)"),
        (TEN - 1, TEN, "whole number"),
        (TEN + 0.5 * MISS, TEN, "whole number"),
        (TEN, TEN + MISS, "accuracies differ: 1.00 and 0.90"),
        (TEN, TEN, "perfect"),
        (TEN + MISS, TEN + MISS, "MAE 0.10 and 0.10: 1 times. Ten times is asked for"),
        (TEN + MISS, TEN + 9 * MISS, "9 times"),
    ],
)
def test_two_predictors_diagnoses(first, second, diagnosis):
    verdict = check.two_predictors(TEN, first, second)
    assert verdict.state == "not yet"
    assert diagnosis in verdict.message


def test_two_predictors_accepts_a_right_answer():
    ten_times = check.two_predictors(TEN, TEN + MISS, TEN + 10 * MISS)
    assert ten_times.state == "passed"
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
    assert check.own_task(task()).state == "passed"


@pytest.mark.parametrize(
    ("answer", "diagnosis"),
    [
        ({"a": 1}, "a dict"),
        (task(values=("calm", "gale", "storm"), positions=(0, 30, 100)), "at least four"),
        (task(positions=(0, 1, 2, 3), bin_edges=(0, 2)), "all steps are 1"),
        (task(words=("calm", "breeze", "gale 8", "storm")), "'gale 8' holds a digit"),
        (load_task("counting"), "all steps are 1"),
        (task(bin_edges=None, bin_phrases=None), "coarse bins"),
    ],
)
def test_own_task_diagnoses(answer, diagnosis):
    verdict = check.own_task(answer)
    assert verdict.state == "not yet"
    assert diagnosis in verdict.message


def test_verdict_is_escaped_in_html():
    verdict = check.off_by_one(lambda t, p: (_ for _ in ()).throw(ValueError("<b>")))
    assert "&lt;b&gt;" in verdict._repr_html_()
    assert "<b>✗" in verdict._repr_html_()


def test_answers_cannot_change_the_arrays():
    def spoils(truth, predicted):
        truth[:] = 0
        return 0.123

    check.off_by_one(spoils)
    assert check.off_by_one(right).state == "passed"
