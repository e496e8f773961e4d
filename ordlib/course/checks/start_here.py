"""Checks of notebook 00."""

from collections.abc import Callable

import numpy as np

from ...tasks import OrdinalTask
from .match_mistakes import find_mistake
from .result import CheckResult, call_solution, exercise_check

Y_TRUE = np.array([3, 5, 2, 6, 1, 4, 7, 0, 8, 9, 6, 2])
# 3 exact, 4 off by one, 2 far above and 3 far below: every likely mistake gives another number.
ERRORS = np.array([0, 0, 0, 1, 1, 1, -1, 2, -3, -3, -3, 3])
_OFF_BY_ONE = [
    ("that is plain accuracy: a miss by one must count as right", np.mean(ERRORS == 0)),
    ("that is the mean absolute error: compare it with 1 first", np.mean(abs(ERRORS))),
    ("that is a count: divide by the number of images", np.sum(abs(ERRORS) <= 1)),
    ("that is a percentage: give a share, from 0 to 1", 100 * np.mean(abs(ERRORS) <= 1)),
    ("a miss far below counts as right: take the absolute difference", np.mean(ERRORS <= 1)),
    ("a miss far above counts as right: take the absolute difference", np.mean(ERRORS >= -1)),
    ("you count the misses by one, but not the exact hits", np.mean(abs(ERRORS) == 1)),
    ("you count the misses by more than one: turn the comparison", np.mean(abs(ERRORS) > 1)),
    ("compare each error with 1 first, then take the mean", np.mean(abs(ERRORS)) <= 1),
]


@exercise_check
def off_by_one(function: Callable) -> str | None:
    """Exact hits and misses by one rank to either side count, nothing else does."""
    answer = call_solution(function, Y_TRUE, Y_TRUE + ERRORS)
    if np.ndim(answer) > 0:
        return f"return one number, not an array of shape {np.shape(answer)}: take the mean"
    expected = np.mean(abs(ERRORS) <= 1)
    message = f"for errors {ERRORS.tolist()} the result is {expected:.3f}; yours is {answer:.3f}"
    return None if np.isclose(answer, expected) else find_mistake(answer, _OFF_BY_ONE) or message


@exercise_check
def two_predictors(
    y_true: np.ndarray, careful: np.ndarray, careless: np.ndarray
) -> str | CheckResult:
    """Two predictors of the same accuracy, one with at least ten times the other's MAE."""
    y_true = np.asarray(y_true)
    predictions = {"careful": np.asarray(careful), "careless": np.asarray(careless)}
    for name, y_pred in predictions.items():
        if y_pred.shape != y_true.shape:
            return f"{name} has shape {y_pred.shape}; give one number for each of {len(y_true)}"
        if np.any((y_pred < 1) | (y_pred > 20)) or np.any(y_pred != np.round(y_pred)):
            return f"{name} has a value that is not a whole number from 1 to 20"
    accuracies = [np.mean(y_pred == y_true) for y_pred in predictions.values()]
    small, large = sorted(int(np.sum(abs(y_pred - y_true))) for y_pred in predictions.values())
    if accuracies[0] != accuracies[1]:
        return "the accuracies differ: {:.2f} and {:.2f}; make them equal".format(*accuracies)
    if accuracies[0] == 1:
        return "both are perfect, so both MAE are 0: let each miss at least once"
    maes = " and ".join(f"{total / len(y_true):.2f}" for total in (small, large))
    summary = f"equal accuracy, MAE {maes}: {large / small:.3g} times"
    if large < 10 * small:
        wanted = "The exercise asks for at least ten times: let one miss by little, one by much"
        return f"{summary}. {wanted}"
    limit = "which is the limit" if large >= 19 * small else "and the limit is 19"
    reason = "both miss equally often, and a miss costs at least 1 and at most 19"
    return CheckResult("passed", f"{summary}, {limit}: {reason}.")


@exercise_check
def own_task(task: OrdinalTask) -> str | None:
    """A task of your own: ranks in words, unequal steps, coarse bins. Everything else follows."""
    if not isinstance(task, OrdinalTask):
        return f"that is a {type(task).__name__}: build an OrdinalTask(...)"
    if task.num_ranks < 4:
        return f"{task.num_ranks} ranks are too few: give at least four"
    steps = np.diff(task.rank_values)
    if np.allclose(steps, steps[0]):
        return (
            f"all steps are {steps[0]:g}: give positions (or values) that are not equally far apart"
        )
    if digits := [name for name in task.rank_names if any(c.isdigit() for c in name)]:
        return f"write the rank_names in words, as a caption would: {digits[0]!r} has a digit"
    if task.num_bins == task.num_ranks:
        return (
            f"{task.num_bins} bins for {task.num_ranks} ranks are not coarse: give bin_edges and "
            "bin_phrases for at least two bins and fewer than ranks"
        )
    return None
