"""Checks of notebook 00."""

from collections.abc import Callable

import numpy as np

from ...tasks import OrdinalTask
from .match_mistakes import resembling
from .result import CheckResult, called, exercise_check

TRUTH = np.array([3, 5, 2, 6, 1, 4, 7, 0, 8, 9, 6, 2])
# Chosen so that every likely mistake gives a number of its own: 3 hits, 4 misses by one,
# 2 far above, 3 far below.
ERROR = np.array([0, 0, 0, 1, 1, 1, -1, 2, -3, -3, -3, 3])
_OFF_BY_ONE = [
    ("that is plain accuracy: a miss by one must count as right", np.mean(ERROR == 0)),
    ("that is the mean absolute error: compare it with 1 first", np.mean(abs(ERROR))),
    ("that is a count: divide by the number of pictures", np.sum(abs(ERROR) <= 1)),
    ("a miss far below slips through: take the absolute difference", np.mean(ERROR <= 1)),
    ("a miss far above slips through: take the absolute difference", np.mean(ERROR >= -1)),
    ("you count the misses by one, but not the exact hits", np.mean(abs(ERROR) == 1)),
]


@exercise_check
def off_by_one(function: Callable) -> str | None:
    """Exact hits and misses by one rank to either side count, nothing else does."""
    answer = called(function, TRUTH, TRUTH + ERROR)
    if np.ndim(answer) > 0:
        return f"return one number, not an array of shape {np.shape(answer)}: take the mean"
    right = np.mean(abs(ERROR) <= 1)
    if np.isclose(answer, right):
        return None
    told = f"for errors {ERROR.tolist()} the answer is {right:.3f}, yours is {answer:.3f}"
    return resembling(answer, _OFF_BY_ONE) or told


@exercise_check
def two_predictors(
    truth: np.ndarray, careful: np.ndarray, careless: np.ndarray
) -> str | CheckResult | None:
    """Equal accuracy, ten times the error: how wrong misses are is what accuracy cannot see."""
    truth = np.asarray(truth)
    answers = {"careful": np.asarray(careful), "careless": np.asarray(careless)}
    for name, answer in answers.items():
        if answer.shape != truth.shape:
            return f"{name} has shape {answer.shape}; give one number for each of {len(truth)}"
        if np.any((answer < 1) | (answer > 20)) or np.any(answer != np.round(answer)):
            return f"{name} holds something that is not a whole number from 1 to 20"
    hits = [np.mean(answer == truth) for answer in answers.values()]
    small, large = sorted(int(np.sum(abs(answer - truth))) for answer in answers.values())
    if hits[0] != hits[1]:
        return f"the accuracies differ: {hits[0]:.2f} and {hits[1]:.2f}; hit equally often"
    if hits[0] == 1:
        return "both are perfect, so both MAE are 0: let each miss somewhere"
    errors = " and ".join(f"{total / len(truth):.2f}" for total in (small, large))
    told = f"equal accuracy, MAE {errors}: {large / small:.3g} times"
    if large < 10 * small:
        return f"{told}. Ten times is asked for: let one miss by little and the other by much"
    most = "which is the limit" if large >= 19 * small else "and the limit is 19"
    return CheckResult("passed", f"{told}, {most}: one step against the whole ruler.")


@exercise_check
def own_task(task: OrdinalTask) -> str | None:
    """A task of your own: ranks in words, unequal steps, coarse bins. Everything else follows."""
    if not isinstance(task, OrdinalTask):
        return f"that is a {type(task).__name__}: build an OrdinalTask(...)"
    if task.num_ranks < 4:
        return f"{task.num_ranks} ranks are few: give at least four"
    steps = np.diff(task.rank_values)
    if np.allclose(steps, steps[0]):
        return (
            f"all steps are {steps[0]:g}: choose values (or positions of named ranks) that are "
            "not equally far apart"
        )
    digits = [word for word in task.rank_names if any(c.isdigit() for c in word)]
    if digits:
        return f"write the ranks in words, as a caption would: {digits[0]!r} holds a digit"
    if task.num_bins == task.num_ranks:
        return "add bin_edges and bin_phrases: coarse bins, two or more and fewer than ranks"
    return None
