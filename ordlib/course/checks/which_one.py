"""Checks of notebook 05."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from ...experiments.results import load_results
from ...metrics import Interval, classify_difference, two_way_bootstrap
from ...tasks import load_task
from .match_mistakes import find_mistake
from .result import CheckResult, call_solution, exercise_check

# ------------------------------------------------------------- 1: the verdict on a difference
VERDICTS = ("lower", "higher", "equivalent", "undecided")
_MARGIN = 0.05
# Ends of an interval, and what to say of a wrong answer.
_ENDS = [
    (-0.3, -0.1, "the whole interval is below zero: the first error is lower"),
    (0.1, 0.3, "the whole interval is above zero: the first error is higher"),
    (-0.02, 0.03, "the whole interval lies within the margin, to either side of zero"),
    (-0.2, 0.02, "the interval includes zero, but reaches far beyond the margin: nothing was shown,"
     " which does not mean that there is no difference"),
    (-0.02, 0.2, "the interval includes zero, but reaches far beyond the margin on its upper side"),
    (-0.04, -0.01, "it excludes zero, but all of it is smaller than the margin: too little to "
     "matter, so look at the margin first"),
    (0.01, 0.04, "it excludes zero, but all of it is smaller than the margin: too little to "
     "matter, so look at the margin first"),
    (-0.08, -0.01, "it excludes zero, and part of it is beyond the margin"),
    (0.01, 0.08, "it excludes zero, and part of it is beyond the margin"),
]  # fmt: skip


@exercise_check
def verdict(function: Callable) -> str | None:
    """Lower, higher, equivalent or undecided: and nothing is called equal for want of evidence."""
    for low, high, reason in _ENDS:
        answer = call_solution(function, low, high, _MARGIN)
        expected = classify_difference(Interval((low + high) / 2, low, high), _MARGIN)
        if answer not in VERDICTS:
            return f"you return {answer!r}: return one of {', '.join(VERDICTS)}"
        if answer != expected:
            case = f"({low}, {high}) with margin {_MARGIN}"
            return f"for {case} you return {answer!r}, not {expected!r}: {reason}"
    return None


# ------------------------------------------------------------- 2: a paired interval
_RNG = np.random.default_rng(5)
# Images that are hard are hard for both; seeds, and images, differ in how much better A is.
_DIFFICULTY = np.abs(_RNG.normal(4, 3, 200))
_DIFFERENCE = (
    _RNG.normal(-0.5, 1, 200) + _RNG.normal(0, 0.16, (5, 1)) + _RNG.normal(0, 0.4, (5, 200))
)
ERRORS_A, ERRORS_B = _DIFFICULTY + _DIFFERENCE + 5, np.tile(_DIFFICULTY + 5, (5, 1))
TOLERANCE = 0.12  # of the width: resamples are drawn at random


def _unpaired(resamples: int = 4000) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    means = []
    for errors in (ERRORS_A, ERRORS_B):
        seeds, images = (rng.integers(n, size=(resamples, n)) for n in errors.shape)
        means.append([errors[s][:, i].mean() for s, i in zip(seeds, images, strict=True)])
    return tuple(np.quantile(np.subtract(*means), [0.025, 0.975]))


@cache
def _intervals() -> list[tuple[str, tuple[float, float]]]:
    """The right ends, with an empty diagnosis, and those of likely mistakes."""
    difference = ERRORS_A - ERRORS_B
    of_images = two_way_bootstrap(difference.mean(0))
    return [
        ("", two_way_bootstrap(ERRORS_A, ERRORS_B)[1:]),
        ("you resample the images of A and of B apart: draw once, and take the same images and "
         "seeds of both", _unpaired()),
        ("you resample images only: a run with other seeds would differ as well, so draw the "
         "seeds, too", of_images[1:]),
        ("you resample seeds only: other images would differ as well, so draw the images, too",
         two_way_bootstrap(difference.mean(1))[1:]),
        ("you treat all errors as independent: draw seeds and images, and take all errors of the "
         "drawn seeds on the drawn images", two_way_bootstrap(difference.ravel())[1:]),
        ("that is an interval of A alone: subtract B", two_way_bootstrap(ERRORS_A)[1:]),
    ]  # fmt: skip


@exercise_check
def paired(function: Callable) -> str | None:
    """Seeds and images are drawn, the same for both methods: the difference is paired."""
    answer = np.asarray(call_solution(function, ERRORS_A, ERRORS_B), dtype=float)
    if answer.shape != (2,):
        return f"you return shape {answer.shape}: return the two ends, (low, high)"
    low, high = answer
    if not low < high:
        return f"the ends are {low:.2f} and {high:.2f}: the lower one comes first"
    (_, right), *_ = _intervals()
    if _distance(-answer[::-1], right) < TOLERANCE:
        return "that is B minus A: subtract the errors of B from those of A"
    diagnosis, nearest = min(_intervals(), key=lambda known: _distance(answer, known[1]))
    if _distance(answer, nearest) < TOLERANCE:
        return diagnosis or None
    ends = " to ".join(f"{end:.2f}" for end in right)
    return f"your interval is {low:.2f} to {high:.2f}, ours about {ends} (95 %, two-sided)"


def _distance(answer: np.ndarray, ends: tuple[float, float]) -> float:
    """Largest difference of the ends, in widths of the interval."""
    return float(np.max(abs(answer - ends)) / np.ptp(ends))


# ------------------------------------------------------------- 3: the Pareto front
ERRORS = np.array([3.0, 2.0, 2.0, 1.0, 1.5, 1.0, 5.0])
SECONDS = np.array([1.0, 2.0, 3.0, 10.0, 10.0, 10.0, 0.5])


def _front(errors: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    as_good = (errors <= errors[:, None]) & (seconds <= seconds[:, None])
    better = (errors < errors[:, None]) | (seconds < seconds[:, None])
    return ~(as_good & better).any(1)


_RIGHT = _front(ERRORS, SECONDS)
_STRICT = ~((ERRORS[:, None] > ERRORS) & (SECONDS[:, None] > SECONDS)).any(1)
_NO_TIES = ~(
    ((ERRORS[:, None] >= ERRORS) & (SECONDS[:, None] >= SECONDS)) & ~np.eye(7, dtype=bool)
).any(1)
_FRONTS = [
    ("", _RIGHT),
    ("these are the dominated ones: turn the result", ~_RIGHT),
    ("you ask that another is better in both: one that is as good in one and better in the other "
     "dominates, too", _STRICT),
    ("two methods that are equal in both do not dominate each other: ask that one is better "
     "somewhere", _NO_TIES),
    ("these are the most accurate ones alone; a cheaper one may be on the front",
     ERRORS.min() == ERRORS),
    ("these are the cheapest ones alone", SECONDS.min() == SECONDS),
]  # fmt: skip


@exercise_check
def pareto(function: Callable) -> str | None:
    """Whoever is on the front can only be beaten in one of the two by losing in the other."""
    answer = np.asarray(call_solution(function, ERRORS, SECONDS))
    if answer.shape != ERRORS.shape or answer.dtype != bool:
        return f"you return {answer.dtype} of shape {answer.shape}: return {len(ERRORS)} booleans"
    mistake = find_mistake(answer, _FRONTS)
    if mistake is None:
        row = int(np.flatnonzero(answer != _RIGHT)[0])
        place = "on" if _RIGHT[row] else "not on"
        return (
            f"errors {ERRORS.tolist()}, seconds {SECONDS.tolist()}: method {row} is {place} the "
            "front"
        )
    return mistake or None


# ------------------------------------------------------------- 4: a rule of decision
MAX_REGRET, NUM_TRAIN_IMAGES = 0.05, 2000
ADAPTER = "ranking adapter"


class Situation(NamedTuple):
    """A task with a number of labels, and the errors of all methods in it."""

    task: str
    labels: int  # per rank
    errors: pd.Series  # by method


@exercise_check
def decision_rule(function: Callable) -> str | CheckResult:
    """A rule whose mean error is at most 5 % above that of the best method in each situation."""
    answer = call_solution(function, 100, 20, True)
    if answer not in ("zero-shot", ADAPTER, f"{ADAPTER}, one task"):
        return f"asked in words you choose {answer!r}, which answers one question only"
    regrets = {}
    for situation in _situations():
        num_ranks = load_task(situation.task).num_ranks
        choice = call_solution(function, situation.labels, num_ranks, False)
        if choice not in situation.errors:
            names = ", ".join(situation.errors.index)
            return f"{choice!r} is not in the tables for this case; choose one of {names}"
        best = situation.errors.min()
        regret = situation.errors[choice] / best - 1
        regrets[regret, situation.task, situation.labels] = (
            f"{choice!r} for {situation.task} with {situation.labels} labels per rank has "
            f"{situation.errors[choice]:.2f}, {situation.errors.idxmin()!r} {best:.2f}"
        )
    mean = float(np.mean([regret for regret, *_ in regrets]))
    worst = regrets[max(regrets)]
    summary = f"on average {mean:.1%} above the best method, at most {max(regrets)[0]:.0%}"
    if mean > MAX_REGRET:
        return f"{summary}; allowed are {MAX_REGRET:.0%}. The worst case: {worst}"
    return CheckResult("passed", f"{summary} ({worst}).")


def _situations() -> Iterator[Situation]:
    few = pd.DataFrame(load_results("few_shot").attrs["intervals"])
    for (task, shots), rows in few.groupby(["task", "shots"]):
        yield Situation(task, int(shots), rows.set_index("method")["mae"])
    full = pd.DataFrame(load_results("methods").attrs["intervals"])
    frozen = full[full["image_encoder"] == "frozen"]
    for task in ("counting", "dating", "ageing"):
        errors = frozen[frozen["task"] == task].set_index("method")["mae"]
        yield Situation(task, NUM_TRAIN_IMAGES // load_task(task).num_ranks, errors)
