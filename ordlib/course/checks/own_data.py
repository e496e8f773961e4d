"""Checks of notebook 06."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..photo_folder import planted_faults
from .match_mistakes import find_mistake
from .result import CheckResult, call_solution, exercise_check

# ------------------------------------------------------------- 1: five faults
# By kind: what to look at again.
_WHERE = {
    "damaged": "the file that could not be decoded, by its name in the message",
    "rotated": "the one file whose width and height are exchanged",
    "duplicate": "both files with the same content",
    "wrong label": "the image whose label is furthest from its prediction: count the objects",
    "torn group": "both names of the session that was written in two ways",
}


@exercise_check
def faults(found: Mapping[str, str | Sequence[str]]) -> str | CheckResult | None:
    """All five: and no program can tell which copy, name or label is the right one."""
    if not isinstance(found, Mapping) or set(found) != set(_WHERE):
        return f"give a dictionary with the keys {', '.join(map(repr, _WHERE))}"
    names = {kind: _names(name) for kind, name in found.items()}
    right = {kind: _names(name) for kind, name in planted_faults().items()}
    missing = [kind for kind in _WHERE if not names[kind]]
    if len(missing) == len(_WHERE):
        return CheckResult("not tried yet", "replace the three dots by names, and run again")
    for kind, where in _WHERE.items():
        if kind in missing:
            continue
        if len(names[kind]) != len(right[kind]):
            return f"{kind!r}: {len(names[kind])} names, not {len(right[kind])}: give {where}"
        if names[kind] != right[kind]:
            return f"{kind!r} is not {_shown(names[kind])}: give {where}"
    if missing:
        done = len(_WHERE) - len(missing)
        return f"{done} of 5 are right; still to be found: {', '.join(missing)}"
    return None


def _names(answer: object) -> set[str]:
    if answer is None or answer is ...:
        return set()
    answers = [answer] if isinstance(answer, str | Path) else answer
    # With or without extension.
    return {Path(name).stem for name in answers if name is not ...}


def _shown(names: set[str]) -> str:
    return " and ".join(map(repr, sorted(names)))


# ------------------------------------------------------------- 2: bins for a skewed label
MIN_COUNT = 40
_LABELS = [
    np.repeat(np.arange(1, 9), (94, 45, 56, 63, 41, 31, 30, 38)),
    np.repeat(np.arange(1, 8), (10, 200, 39, 2, 60, 20, 19)),
    np.repeat([0, 1.5, 5, 10], (80, 40, 12, 13)),
    np.repeat([2, 3], (30, 30)),
]


def _lower_edges(values: np.ndarray, min_count: int) -> list[float]:
    """Edges of as many bins as there can be: each is closed as soon as it has enough images."""
    ranks, counts = np.unique(values, return_counts=True)
    edges, size = [float(ranks[0])], 0
    for rank, count in zip(ranks, counts, strict=True):
        if size >= min_count:
            edges.append(float(rank))
            size = 0
        size += int(count)
    if size < min_count and len(edges) > 1:
        edges.pop()
    return edges


@exercise_check
def bins(function: Callable) -> str | None:
    """As many bins as possible, each with enough images: narrow where labels are frequent."""
    for values in _LABELS:
        edges = np.asarray(call_solution(function, values, MIN_COUNT), dtype=float)
        ranks, counts = np.unique(values, return_counts=True)
        case = f"for {dict(zip(ranks.tolist(), counts.tolist(), strict=True))} (images by label)"
        answer = f"{case} you return {edges.tolist()}"
        if edges.ndim != 1 or not len(edges) or (np.diff(edges) <= 0).any():
            return f"{answer}: return a list of lower edges, from the lowest to the highest"
        if edges[0] != ranks[0]:
            return f"{answer}: the first edge is the lowest label, {ranks[0]}"
        if not np.isin(edges, ranks).all():
            return f"{answer}: each edge is the lowest label of its bin"
        sizes = np.bincount(np.searchsorted(edges, values, side="right") - 1)
        best = _lower_edges(values, MIN_COUNT)
        if sizes.min() < MIN_COUNT and len(best) > 1:
            few = f"a bin has {sizes.min()} images, fewer than {MIN_COUNT}"
            last = "; remove the last edge (lower edges only)" if sizes[-1] < MIN_COUNT else ""
            return f"{answer}: {few}{last}"
        if len(edges) < len(best):
            return f"{answer}: bins: {len(edges)}, but {len(best)} are possible: {best}"
        if len(edges) > len(best):
            return f"{answer}: there are fewer than {MIN_COUNT} images a bin; merge them into one"
    return None


# ------------------------------------------------------------- 3: the leak
_ROWS = [
    ("train", "a", "1"), ("test", "a", "2"), ("train", "b", "3"), ("val", "c", "4"),
    ("test", "c", "5"), ("test", "d", "3"), ("train", "e", "6"), ("test", "f", "7"),
    ("val", "f", "7"), ("test", "g", "8"), ("val", "e", "9"), ("test", "h", "9"),
    ("test", "h", "9"), ("test", "b", "6"),
]  # fmt: skip
_SPLIT, _GROUP, _KEY = map(np.array, zip(*_ROWS, strict=True))
_IN_TEST, _IN_TRAIN = _SPLIT == "test", _SPLIT == "train"


def _shared(values: np.ndarray, split: np.ndarray) -> np.ndarray:
    return np.isin(values, values[split])


_LEAKS = [
    ("", _IN_TEST & (_shared(_GROUP, _IN_TRAIN) | _shared(_KEY, _IN_TRAIN))),
    ("you compare groups only: an image may be in another group a second time",
     _IN_TEST & _shared(_GROUP, _IN_TRAIN)),
    ("you compare images only: those of the same group resemble each other, too",
     _IN_TEST & _shared(_KEY, _IN_TRAIN)),
    ("you ask that group and image both are in train: one of them is enough",
     _IN_TEST & _shared(_GROUP, _IN_TRAIN) & _shared(_KEY, _IN_TRAIN)),
    ("you mark images of train or val, too: only a test image can be compromised",
     _shared(_GROUP, _IN_TRAIN) | _shared(_KEY, _IN_TRAIN)),
    ("you compare with train and val: val never trains the model. (It does choose the epoch, so "
     "many people would keep it apart, too; here only train counts)",
     _IN_TEST & (_shared(_GROUP, ~_IN_TEST) | _shared(_KEY, ~_IN_TEST))),
    ("these are the test images that are fine: turn the result",
     _IN_TEST & ~(_shared(_GROUP, _IN_TRAIN) | _shared(_KEY, _IN_TRAIN))),
    ("these are all test images", _IN_TEST),
    ("you mark no image", np.zeros(len(_SPLIT), dtype=bool)),
    ("you mark images of val, too: only a test image can be compromised",
     ~_IN_TRAIN & (_shared(_GROUP, _IN_TRAIN) | _shared(_KEY, _IN_TRAIN))),
]  # fmt: skip


@exercise_check
def leak(function: Callable) -> str | None:
    """A test image is compromised if its group, or the image itself, is in train."""
    answer = np.asarray(call_solution(function, _SPLIT, _GROUP, _KEY))
    if answer.shape != _SPLIT.shape or answer.dtype != bool:
        return f"you return {answer.dtype} of shape {answer.shape}: return {len(_SPLIT)} booleans"
    mistake = find_mistake(answer, _LEAKS)
    if mistake is not None:
        return mistake or None
    row = int(np.flatnonzero(answer != _LEAKS[0][1])[0])
    marked = "is compromised" if _LEAKS[0][1][row] else "is not compromised"
    return f"image {row} ({_SPLIT[row]}, group {_GROUP[row]}, key {_KEY[row]}) {marked}"


# ------------------------------------------------------------- 4: the learning curve
_SIZES = np.array([50.0, 100.0, 200.0, 400.0])
# Exact power laws: error = a * n ** -b.
_LAWS = [(8.0, 0.3), (3.0, 0.05), (20.0, 0.5)]
# Factors on the errors: the last case is not exact, so that a line has to be fitted.
_NOISE = [np.ones(4), np.ones(4), np.array([1.05, 0.93, 1.04, 0.97])]
_TARGET = 1600


def _line(x: np.ndarray, y: np.ndarray, target: float) -> float:
    return float(np.polyval(np.polyfit(x, y, 1), target))


@exercise_check
def forecast(function: Callable) -> str | None:
    """A line through the logarithms: each doubling divides the error by the same number."""
    for (a, b), noise in zip(_LAWS, _NOISE, strict=True):
        errors = a * _SIZES**-b * noise
        answer = call_solution(function, _SIZES, errors, _TARGET)
        if np.size(answer) != 1:
            return f"return one number, the error at {_TARGET}, not shape {np.shape(answer)}"
        answer = np.ravel(answer)[0]
        logs = np.log(_SIZES), np.log(errors)
        slope, intercept = np.polyfit(*logs, 1)
        expected = float(np.exp(intercept + slope * np.log(_TARGET)))
        known = [
            ("", expected),
            ("that is the logarithm of the error: take exp of it", np.log(expected)),
            ("that is a straight line through sizes and errors: take the logarithm of both",
             _line(_SIZES, errors, _TARGET)),
            ("take the logarithm of the errors, too", _line(logs[0], errors, np.log(_TARGET))),
            ("take the logarithm of the sizes, too",
             float(np.exp(_line(_SIZES, logs[1], _TARGET)))),
            ("that is the last error: it goes on falling", errors[-1]),
            ("polyfit returns the slope first, then the intercept",
             np.exp(slope + intercept * np.log(_TARGET))),
            ("the intercept is the logarithm of a: take exp of it", intercept * _TARGET**slope),
            ("the slope is -b: mind its sign", np.exp(intercept - slope * np.log(_TARGET))),
            ("use all points: that is the line through the last two",
             float(np.exp(_line(logs[0][-2:], logs[1][-2:], np.log(_TARGET))))),
            ("use all points: that is the line through the first and the last",
             float(np.exp(_line(logs[0][[0, -1]], logs[1][[0, -1]], np.log(_TARGET))))),
            ("fit a straight line, not a parabola",
             float(np.exp(np.polyval(np.polyfit(*logs, 2), np.log(_TARGET))))),
        ]  # fmt: skip
        mistake = find_mistake(float(answer), known)
        if mistake is None:
            shown = f"sizes {_SIZES.tolist()} and errors {np.round(errors, 3).tolist()}"
            return f"for {shown} your forecast is {float(answer):.3f}, not {expected:.3f}"
        if mistake:
            return mistake
    return None


# ------------------------------------------------------------- 5: costs of errors
_RNG = np.random.default_rng(6)
_PROBABILITIES = _RNG.dirichlet(np.full(6, 0.7), 40)
_RANKS = np.arange(6)
# True rank in the row: too low costs three times as much as too high.
_ERRORS = _RANKS - _RANKS[:, None]
COSTS = np.where(_ERRORS < 0, -3.0 * _ERRORS, 1.0 * _ERRORS)


@exercise_check
def decide(function: Callable) -> str | None:
    """The rank with the lowest expected cost, which need not be the most probable one."""
    answer = np.asarray(call_solution(function, _PROBABILITIES, COSTS))
    if answer.shape != (len(_PROBABILITIES),):
        return f"you return shape {answer.shape}: return one rank index for each of the 40 images"
    expected = _PROBABILITIES @ COSTS
    mean = _PROBABILITIES @ _RANKS
    known = [
        ("", expected.argmin(1)),
        ("these are the most probable ranks: the costs are not used", _PROBABILITIES.argmax(1)),
        ("you read the table the other way: the row is the true rank, the column your decision",
         (_PROBABILITIES @ COSTS.T).argmin(1)),
        ("these are the ranks with the highest expected cost", expected.argmax(1)),
        ("these are the nearest ranks to the expected value: the costs are not used",
         np.round(mean)),
        ("these are the lowest costs, not the ranks that have them: argmin", expected.min(1)),
        ("you count ranks from 1: return indices from 0", expected.argmin(1) + 1),
    ]  # fmt: skip
    mistake = find_mistake(answer, known)
    if mistake is None:
        row = int(np.flatnonzero(answer != expected.argmin(1))[0])
        best = f"rank {expected[row].argmin()}, expected cost {expected[row].min():.2f}"
        return f"image {row}: you decide for rank {answer[row]:g}; the best is {best}"
    return mistake or None
