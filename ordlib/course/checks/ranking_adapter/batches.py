"""Exercise 4: a batch for one sentence."""

from collections import Counter
from collections.abc import Callable

import numpy as np

from ..result import called, exercise_check

# "starfish" is another thing than "star", though the one word is in the other.
_KINDS = [(name, value) for name in ("star", "starfish", "bell", "key") for value in range(1, 7)]
# Of the highest value there is one star only: an even batch takes it and fills up elsewhere.
_ROWS = [kind for kind in _KINDS for _ in range(1 if kind == ("star", 6) else 9)]
_ORDER = np.random.default_rng(2).permutation(len(_ROWS))
NAMES = np.array([name for name, _ in _ROWS])[_ORDER]
HELD = np.array([float(value) for _, value in _ROWS])[_ORDER]
SEEDS = 6
DRAWS = (("star", 20, 0.2), ("bell", 25, 0.3), ("starfish", 12, 0.0))


@exercise_check
def rank_batch(function: Callable) -> str | None:
    """As many of every count as there may be, and pictures that truly hold none.

    The function takes ``(N,)`` names, ``(N,)`` values, a name, a size, the share of negatives and
    a seed; returns ``(size,)`` rows and ``(size,)`` targets: int((1 - share) * size) pictures of
    the name, spread evenly over the values, none twice; then others, with target 0.
    """
    seen = []
    for name, size, share in DRAWS:
        for seed in range(SEEDS):
            batch = _read(called(function, NAMES, HELD, name, size, share, seed), size)
            if isinstance(batch, str):
                return batch
            if complaint := _misnamed(*batch, name, size, share) or _misdrawn(batch[0], name):
                return complaint
            seen.append(set(batch[0].tolist()))
    rows = set(np.asarray(called(function, NAMES, HELD, *DRAWS[0], 0)[0]).tolist())
    if rows != seen[0]:
        return (
            "the same seed gives another batch at another time: draw everything from "
            "np.random.default_rng(seed)"
        )
    own = set(np.flatnonzero(DRAWS[0][0] == NAMES).tolist())
    for kind, part in (("positives", set.intersection), ("negatives", set.difference)):
        if all(part(rows, own) == part(seen[0], own) for rows in seen[:SEEDS]):
            return f"every seed draws the same {kind}: draw them at random, from the seed"
    return None


def _read(answer: object, size: int) -> tuple[np.ndarray, np.ndarray] | str:
    """Return an answer as arrays, or why it is none."""
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        return f"you return a {type(answer).__name__}: return two things, rows and targets"
    rows, targets = (np.asarray(part) for part in answer)
    for name, array in (("rows", rows), ("targets", targets)):
        if array.ndim != 1:
            return f"{name} has shape {array.shape}: one number for each of {size} pictures"
    if len(rows) != len(targets):
        return f"{len(rows)} rows and {len(targets)} targets: one target for each row"
    if rows.dtype.kind not in "iu":
        return f"rows are {rows.dtype}: they must be integers, positions in names"
    if len(rows) and not ((rows >= 0) & (rows < len(NAMES))).all():
        return f"a row is outside 0 to {len(NAMES) - 1}: rows are positions in names"
    return rows, targets.astype(float)


def _misnamed(
    rows: np.ndarray, targets: np.ndarray, name: str, size: int, share: float
) -> str | None:
    """Say whether names, targets or numbers are wrong."""
    own, wanted = NAMES[rows] == name, int((1 - share) * size)
    right = np.where(own, HELD[rows], 0)
    unknown = np.flatnonzero(own & (targets == 0))
    strange = np.flatnonzero(~own & (targets != 0))
    if not np.array_equal(targets, right) and np.array_equal(np.sort(targets), np.sort(right)):
        return "targets are in another order than rows: values[rows] are those of the positives"
    if unknown.size and len(unknown) == own.sum():
        return f"all targets are 0: of pictures of {name!r} the target is their value"
    if unknown.size:
        return (
            f"a negative shows what is counted: row {rows[unknown[0]]} is a {name!r} with "
            "target 0 (the release does that, too). Draw negatives from the other names"
        )
    if strange.size:
        other, target = str(NAMES[rows[strange[0]]]), targets[strange[0]]
        if np.array_equal(targets, HELD[rows]) and own.sum() == wanted:
            return (
                "negatives keep their own count: a picture of a "
                f"{other!r} holds 0 of {name!r}, so its target is 0"
            )
        return (
            f"a positive is no {name!r}: row {rows[strange[0]]} is a {other!r} and has target "
            f"{target:g}. Compare names with =="
        )
    if (targets != right).any():
        place = np.flatnonzero(targets != right)[0]
        return f"row {rows[place]} has value {right[place]:g}; its target is {targets[place]:g}"
    found, lacking, others = int(own.sum()), int((~own).sum()), size - wanted
    if (found, lacking) == (wanted, others):
        return None
    hint = "int((1 - share) * size) positives, the rest negatives"
    if found < wanted and lacking == others:
        hint = "where a value has too few pictures, the others fill up"
    return (
        f"for {size} pictures of {name!r}, {share:.0%} of them negatives, it is {wanted} positives "
        f"and {others} negatives; yours are {found} and {lacking}: {hint}"
    )


def _misdrawn(rows: np.ndarray, name: str) -> str | None:
    """Say whether pictures come twice, or values unevenly."""
    own = NAMES[rows] == name
    row, times = Counter(rows.tolist()).most_common(1)[0]
    if times > 1:
        return f"row {row} is there {times} times: draw without replacement"
    stock = Counter(HELD[name == NAMES].tolist())
    drawn = Counter(HELD[rows[own]].tolist())
    most = max(drawn, key=drawn.get)
    for value in sorted(stock):
        if drawn[value] < min(stock[value], drawn[most] - 1):
            return (
                f"values are uneven: of {own.sum()} pictures of {name!r} {drawn[most]} "
                f"have value {most:g} and {drawn[value]} value {value:g}, of which there are "
                f"{stock[value]}. Go round the values, and take one picture of each in turn"
            )
    return None
