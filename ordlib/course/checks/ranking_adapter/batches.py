"""Exercise 4: a training batch for one prompt."""

from collections import Counter
from collections.abc import Callable

import numpy as np

from ..result import call_solution, exercise_check

# "starfish" contains "star", but is another name.
_SAMPLES = [(name, value) for name in ("star", "starfish", "bell", "key") for value in range(1, 7)]
# Only one star has the highest value: a balanced batch takes it and fills up with other values.
_ROWS = [sample for sample in _SAMPLES for _ in range(1 if sample == ("star", 6) else 9)]
_ORDER = np.random.default_rng(2).permutation(len(_ROWS))
NAMES = np.array([name for name, _ in _ROWS])[_ORDER]
VALUES = np.array([float(value) for _, value in _ROWS])[_ORDER]
NUM_SEEDS = 6
DRAWS = (("star", 20, 0.2), ("bell", 25, 0.3), ("starfish", 12, 0.0))  # name, size, share


@exercise_check
def rank_batch(function: Callable) -> str | None:
    """As many of every count as there may be, and images that truly hold none.

    The function takes ``(N,)`` names, ``(N,)`` values, a name, a size, the share of negatives and
    a seed; returns ``(size,)`` rows and ``(size,)`` targets: int((1 - share) * size) images of
    the name, balanced over the values, without repeats; then other names, with target 0.
    """
    row_sets = []
    for name, size, share in DRAWS:
        for seed in range(NUM_SEEDS):
            answer = call_solution(function, NAMES, VALUES, name, size, share, seed)
            batch = _to_arrays(answer, size)
            if isinstance(batch, str):
                return batch
            rows = batch[0]
            message = _check_targets(*batch, name) or _check_counts(rows, name, size, share)
            if message := message or _check_balance(rows, name):
                return message
            row_sets.append(set(rows.tolist()))
    repeated = call_solution(function, NAMES, VALUES, *DRAWS[0], 0)
    if set(np.asarray(repeated[0]).tolist()) != row_sets[0]:
        return "one seed gives different batches: draw everything from np.random.default_rng(seed)"
    stars = set(np.flatnonzero(DRAWS[0][0] == NAMES).tolist())
    for kind, select in (("positives", set.intersection), ("negatives", set.difference)):
        if all(select(rows, stars) == select(row_sets[0], stars) for rows in row_sets[:NUM_SEEDS]):
            return f"every seed draws the same {kind}: draw them at random, from the seed"
    return None


def _to_arrays(answer: object, size: int) -> tuple[np.ndarray, np.ndarray] | str:
    """Return an answer as arrays, or a diagnosis."""
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        return f"you return a {type(answer).__name__}: return two things, rows and targets"
    rows, targets = (np.asarray(part) for part in answer)
    for name, array in (("rows", rows), ("targets", targets)):
        if array.ndim != 1:
            return f"{name} has shape {array.shape}: one number for each of {size} images"
    if len(rows) != len(targets):
        return f"{len(rows)} rows and {len(targets)} targets: return one target for each row"
    if rows.dtype.kind not in "iu":
        return f"rows are {rows.dtype}: they must be integers, indices of names"
    if len(rows) and not ((rows >= 0) & (rows < len(NAMES))).all():
        return f"a row is outside 0 to {len(NAMES) - 1}: rows are indices of names"
    return rows, targets.astype(float)


def _check_targets(rows: np.ndarray, targets: np.ndarray, name: str) -> str | None:
    positive = NAMES[rows] == name
    expected = np.where(positive, VALUES[rows], 0)
    if np.array_equal(targets, expected):
        return None
    if np.array_equal(np.sort(targets), np.sort(expected)):
        return "targets are in another order than rows: values[rows] are those of the positives"
    zero = np.flatnonzero(positive & (targets == 0))
    if zero.size and len(zero) == positive.sum():
        return f"all targets are 0: the target of an image of {name!r} is its value"
    if zero.size:
        row = f"row {rows[zero[0]]} is a {name!r} with target 0 (as in the released code)"
        return f"a negative has the counted name: {row}. Draw negatives from the other names"
    wrong = np.flatnonzero(targets != expected)
    i = wrong[positive[wrong].argmin()]  # a negative, if there is one
    if positive[i]:
        return f"row {rows[i]} has value {expected[i]:g}; its target is {targets[i]:g}"
    other = f"row {rows[i]} is a {str(NAMES[rows[i]])!r} and has target {targets[i]:g}"
    if np.array_equal(targets, VALUES[rows]):
        return f"negatives keep their own count: {other}, but has 0 of {name!r}"
    return f"a positive is not a {name!r}: {other}. Compare names with =="


def _check_counts(rows: np.ndarray, name: str, size: int, share: float) -> str | None:
    positives, num_positives = int(np.sum(NAMES[rows] == name)), int((1 - share) * size)
    negatives, num_negatives = len(rows) - positives, size - num_positives
    if (positives, negatives) == (num_positives, num_negatives):
        return None
    hint = "int((1 - share) * size) positives, the rest negatives"
    if positives < num_positives and negatives == num_negatives:
        hint = "where a value has too few images, the others fill up"
    given = f"of {size} images for {name!r} with {share:.0%} negatives, {num_positives} must be"
    return f"{given} positives; yours are {positives} and {negatives} negatives: {hint}"


def _check_balance(rows: np.ndarray, name: str) -> str | None:
    """Check that no row is repeated and that positives are balanced over the values."""
    row, times = Counter(rows.tolist()).most_common(1)[0]
    if times > 1:
        return f"row {row} is there {times} times: draw without replacement"
    available = Counter(VALUES[name == NAMES].tolist())
    drawn = Counter(VALUES[rows[NAMES[rows] == name]].tolist())
    top = max(drawn, key=drawn.get)
    for value in sorted(available):
        if drawn[value] < min(available[value], drawn[top] - 1):
            counts = f"{drawn[top]} {name!r} have value {top:g}, {drawn[value]} value {value:g}"
            hint = f"there are {available[value]}. Take one image of each value in turn"
            return f"values are not balanced: {counts}, of which {hint}"
    return None
