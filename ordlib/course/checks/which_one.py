"""Checks of notebook 05."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ...experiments.results import load_results
from ...metrics import Interval, classify_difference, two_way_bootstrap
from ...synthetic import SPLIT_SIZES
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
# Images that are hard are hard for both methods, and so are bad seeds. Images and seeds also differ
# in how much better A is.
_DIFFICULTY = 5 + np.abs(_RNG.normal(4, 3, 200)) + _RNG.normal(0, 0.5, (5, 1))
# One seed is far better than the others: intervals of seeds alone are not symmetric.
_DIFFERENCE = _RNG.normal(-0.5, 1, 200) + 0.5 * np.array([[-0.8], [0.1], [0.2], [0.2], [0.3]])
ERRORS_B = _DIFFICULTY + _RNG.normal(0, 0.3, (5, 200))
ERRORS_A = ERRORS_B + _DIFFERENCE + _RNG.normal(0, 0.4, (5, 200))
TOLERANCE = 0.12  # of the width: resamples are drawn at random
NUM_RESAMPLES = 4000


def _drawn_apart(seeds: bool, images: bool) -> np.ndarray:
    """Ends of the interval if seeds, or images, of A and B are drawn apart."""
    rng, means = np.random.default_rng(0), []
    for _ in range(NUM_RESAMPLES):
        draws = [[rng.integers(n, size=n) for n in ERRORS_A.shape] for _ in range(2)]
        other = [draws[apart][axis] for axis, apart in enumerate((seeds, images))]
        means.append(ERRORS_A[np.ix_(*draws[0])].mean() - ERRORS_B[np.ix_(*other)].mean())
    return np.quantile(means, [0.025, 0.975])


def _other_images_for_every_seed() -> np.ndarray:
    rng, difference, means = np.random.default_rng(0), ERRORS_A - ERRORS_B, []
    num_seeds, num_images = difference.shape
    for _ in range(NUM_RESAMPLES):
        seeds = rng.integers(num_seeds, size=(num_seeds, 1))
        means.append(difference[seeds, rng.integers(num_images, size=difference.shape)].mean())
    return np.quantile(means, [0.025, 0.975])


@cache
def _intervals() -> list[tuple[str, ArrayLike]]:
    """The right ends, with an empty diagnosis, and those of likely mistakes."""
    difference = ERRORS_A - ERRORS_B
    right = two_way_bootstrap(difference)
    one_deviation = two_way_bootstrap(difference, confidence_level=0.68)
    once = "draw once, and use the same seeds and images of both"
    return [
        ("", right[1:]),
        (f"you resample A and B apart: {once}", _drawn_apart(seeds=True, images=True)),
        (f"you draw the images of A and of B apart: {once}",
         _drawn_apart(seeds=False, images=True)),
        (f"you draw the seeds of A and of B apart: {once}",
         _drawn_apart(seeds=True, images=False)),
        ("you resample images only: a run with other seeds would differ as well, so draw the "
         "seeds, too", two_way_bootstrap(difference.mean(0))[1:]),
        ("you resample seeds only: other images would differ as well, so draw the images, too",
         two_way_bootstrap(difference.mean(1))[1:]),
        ("you draw other images for every seed: draw them once, for all seeds",
         _other_images_for_every_seed()),
        ("you treat all errors as independent: draw seeds and images, and take all errors of the "
         "drawn seeds on the drawn images", two_way_bootstrap(difference.ravel())[1:]),
        ("that holds 90 % of the means: cut off 2.5 % at either end",
         two_way_bootstrap(difference, confidence_level=0.9)[1:]),
        ("that is about one standard deviation to either side: 95 % are asked for",
         one_deviation[1:]),
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


def _distance(answer: np.ndarray, ends: ArrayLike) -> float:
    """Largest difference of the ends, in widths of the interval."""
    return float(np.max(abs(answer - ends)) / np.ptp(ends))


# ------------------------------------------------------------- 3: the Pareto front
ERRORS = np.array([3.0, 2.0, 2.0, 1.0, 1.5, 1.0, 5.0, 4.0, 2.6])
SECONDS = np.array([1.0, 2.0, 3.0, 10.0, 10.0, 10.0, 0.5, 4.0, 1.7])
# By pair of methods: whether the second is as good as the first in error, in seconds, and better.
_AS_GOOD = [values <= values[:, None] for values in (ERRORS, SECONDS)]
_BETTER = [values < values[:, None] for values in (ERRORS, SECONDS)]
_DOMINATES = _AS_GOOD[0] & _AS_GOOD[1] & (_BETTER[0] | _BETTER[1])
FRONT = ~_DOMINATES.any(1)
_TIES = _AS_GOOD[0] & _AS_GOOD[1] & ~np.eye(len(ERRORS), dtype=bool)
_EXACTLY_ONE = _DOMINATES & (_BETTER[0] ^ _BETTER[1])
_FRONTS = [
    ("", FRONT),
    ("these are the dominated ones: turn the result", ~FRONT),
    ("you ask that another is better in both: one that is as good in one and better in the other "
     "dominates, too", ~(_BETTER[0] & _BETTER[1]).any(1)),
    ("you ask that another is better in exactly one: one that is better in both dominates, too",
     ~_EXACTLY_ONE.any(1)),
    ("two methods that are equal in both do not dominate each other: ask that one is better "
     "somewhere", ~_TIES.any(1)),
    ("nobody is left: each method is as good as itself, so ask that another is better somewhere",
     np.zeros(len(ERRORS), dtype=bool)),
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
    if mistake is not None:
        return mistake or None
    row = int(np.flatnonzero(answer != FRONT)[0])
    named = [f"{e:g} and {s:g} s" for e, s in zip(ERRORS, SECONDS, strict=True)]
    if FRONT[row]:
        return f"a method with {named[row]} is on the front: none of the others dominates it"
    better = int(np.flatnonzero(_DOMINATES[row])[0])
    return f"a method with {named[row]} is not on the front: one with {named[better]} dominates it"


# ------------------------------------------------------------- 4: a rule of decision
MAX_MEAN_REGRET, MAX_REGRET = 0.03, 0.1
ADAPTERS = ("ranking adapter", "ranking adapter, one task")


class Situation(NamedTuple):
    """A task with a number of labels, and the errors of all methods in it."""

    task: str
    labels: int  # per rank
    errors: pd.Series  # by method


@exercise_check
def decision_rule(function: Callable) -> str | CheckResult:
    """A rule whose choices are nearly as good as the best method in each situation."""
    regrets = []
    for task, labels, errors in _situations():
        choice = call_solution(function, labels, load_task(task).num_ranks, False)
        case = f"for {task} with {labels} labels per rank"
        if choice not in errors:
            names = ", ".join(map(repr, errors.index))
            return f"{case} you return {choice!r}: return one of {names}"
        best = f"{errors.idxmin()!r} of {errors.min():.2f}"
        message = f"{case} {choice!r} has an error of {errors[choice]:.2f}, {best}"
        regrets.append((errors[choice] / errors.min() - 1, message))
    answer = call_solution(function, 100, 20, True)
    if answer not in ADAPTERS:
        return (
            f"to be asked in words you choose {answer!r}: that answers one question only, or badly "
            f"(notebook 04); return one of {', '.join(map(repr, ADAPTERS))}"
        )
    mean, (worst, message) = float(np.mean([regret for regret, _ in regrets])), max(regrets)
    summary = f"on average {mean:.1%} above the best method, at most {worst:.0%}"
    if mean > MAX_MEAN_REGRET or worst > MAX_REGRET:
        allowed = f"allowed are {MAX_MEAN_REGRET:.0%} and {MAX_REGRET:.0%}"
        return f"{summary}; {allowed}. The worst case: {message}"
    return CheckResult("passed", f"{summary} ({message}).")


def _situations() -> Iterator[Situation]:
    few = pd.DataFrame(load_results("few_shot").attrs["intervals"])
    for (task, shots), rows in few.groupby(["task", "shots"]):
        yield Situation(task, int(shots), rows.set_index("method")["mae"])
    full = pd.DataFrame(load_results("methods").attrs["intervals"])
    frozen = full[full["image_encoder"] == "frozen"]
    for task in ("counting", "dating", "ageing"):
        errors = frozen[frozen["task"] == task].set_index("method")["mae"]
        yield Situation(task, SPLIT_SIZES["train"] // load_task(task).num_ranks, errors)
