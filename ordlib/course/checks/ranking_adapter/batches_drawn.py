"""What is wrong with a batch that was drawn."""

from collections import Counter
from typing import NamedTuple, Protocol

import numpy as np


class Draw(NamedTuple):
    """What is asked for."""

    name: str
    size: int
    share: float

    @property
    def positives(self) -> int:
        """How many pictures of the name."""
        return int((1 - self.share) * self.size)


class Batch(NamedTuple):
    """What was drawn."""

    rows: np.ndarray
    targets: np.ndarray


class Pool(Protocol):
    """What is drawn from."""

    names: np.ndarray
    values: np.ndarray


def misnamed(batch: Batch, draw: Draw, pool: Pool) -> str | None:
    """Say whether names, targets or numbers are wrong.

    Args:
        batch: positions and targets.
        draw: what was asked for.
        pool: names and values.

    Returns:
        A complaint, or None.
    """
    rows, targets = batch
    own = pool.names[rows] == draw.name
    others, wanted = draw.size - draw.positives, draw.positives
    asked = f"for {draw.size} pictures of {draw.name!r}, {draw.share:.0%} of them negatives,"
    if not own.any() and len(rows):
        return f"no picture of {draw.name!r} is in the batch"
    right = np.where(own, pool.values[rows], 0)
    if not np.array_equal(targets, right) and np.array_equal(np.sort(targets), np.sort(right)):
        return "targets are in another order than rows: values[rows] are those of the positives"
    if (own & (targets == 0)).any():
        place = int(np.flatnonzero(own & (targets == 0))[0])
        if (own & (targets != 0)).any():
            return (
                f"a negative shows what is counted: row {rows[place]} is a {draw.name!r} with "
                "target 0 (the release does that, too). Draw negatives from the other names"
            )
        return f"all targets are 0: of pictures of {draw.name!r} the target is their value"
    strange = ~own & (targets != 0)
    if strange.any():
        place = int(np.flatnonzero(strange)[0])
        if own.sum() == wanted and np.array_equal(targets, pool.values[rows]):
            return (
                "negatives keep their own count: a picture of a "
                f"'{pool.names[rows[place]]}' holds 0 of {draw.name!r}, so its target is 0"
            )
        return (
            f"a positive is no {draw.name!r}: row {rows[place]} is a '{pool.names[rows[place]]}' "
            f"and has target {targets[place]:g}. Compare names with =="
        )
    if (targets != right).any():
        return _mistold(batch, right)
    found, lacking = int(own.sum()), int((~own).sum())
    if (found, lacking) == (wanted, others):
        return None
    if others and found == others and lacking == wanted:
        return f"{asked} you draw {found} positives: share is that of the negatives"
    if others and not lacking:
        return f"{asked} no negative is in the batch"
    hint = "int((1 - share) * size) positives, the rest negatives"
    if found < wanted and lacking == others:
        hint = "where a value has too few pictures, the others fill up"
    return (
        f"{asked} it is {wanted} positives and {others} negatives; yours are {found} and "
        f"{lacking}: {hint}"
    )


def _mistold(batch: Batch, right: np.ndarray) -> str:
    if np.array_equal(batch.targets, right > 0):
        return "targets say only whether: of a positive it is the value, how many"
    place = int(np.flatnonzero(batch.targets != right)[0])
    told = f"row {batch.rows[place]} has value {right[place]:g}"
    return f"{told}; its target is {batch.targets[place]:g}"


def misdrawn(batch: Batch, draw: Draw, pool: Pool) -> str | None:
    """Say whether pictures come twice, or values unevenly.

    Args:
        batch: of the right names, targets and numbers.
        draw: what was asked for.
        pool: names and values.

    Returns:
        A complaint, or None.
    """
    own = pool.names[batch.rows] == draw.name
    for kind, rows in (("positive", batch.rows[own]), ("negative", batch.rows[~own])):
        if len(set(rows.tolist())) < len(rows):
            row, times = Counter(rows.tolist()).most_common(1)[0]
            return f"{kind} {row} is there {times} times: draw without replacement"
    stock = Counter(pool.values[pool.names == draw.name].tolist())
    drawn = Counter(pool.values[batch.rows[own]].tolist())
    most = max(drawn, key=drawn.get)
    for value in sorted(stock):
        if drawn[value] < min(stock[value], drawn[most] - 1):
            return (
                f"values are uneven: of {draw.positives} pictures of {draw.name!r} {drawn[most]} "
                f"have value {most:g} and {drawn[value]} value {value:g}, of which there are "
                f"{stock[value]}. Go round the values, and take one picture of each in turn"
            )
    return None
