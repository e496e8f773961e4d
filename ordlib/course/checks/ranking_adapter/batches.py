"""Exercise 4: a batch for one sentence."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from torch import Tensor

from ..result import called, diagnosing
from .batches_drawn import Batch, Draw, misdrawn, misnamed

# "starfish" is another thing than "star", though the one word is in the other.
NAMES = ("star", "starfish", "bell", "key")
VALUES = 6
# Of the highest value there is one star only: an even batch takes it and fills up elsewhere.
SCARCE = 1
STOCK = 9
DRAWS = (
    Draw("star", 20, 0.2),
    Draw("bell", 25, 0.3),
    Draw("key", 15, 0.2),
    Draw("starfish", 12, 0.0),
)
SEEDS = 6


class _Pool(NamedTuple):
    names: np.ndarray
    values: np.ndarray


def _pool() -> _Pool:
    rows = [
        (name, value)
        for name in NAMES
        for value in range(1, VALUES + 1)
        for _ in range(SCARCE if (name, value) == ("star", VALUES) else STOCK)
    ]
    order = np.random.default_rng(2).permutation(len(rows))
    return _Pool(
        np.array([n for n, _ in rows])[order], np.array([float(v) for _, v in rows])[order]
    )


POOL = _pool()


@diagnosing
def rank_batch(function: Callable) -> str | None:
    """As many of every count as there may be, and pictures that truly hold none.

    Args:
        function: takes ``(N,)`` names, ``(N,)`` values, a name, a size, the share of negatives and
            a seed; returns ``(size,)`` rows and ``(size,)`` targets: int((1 - share) * size)
            pictures of the name, spread evenly over the values, none twice, with their values;
            then others, of other names, with target 0.

    Returns:
        A :class:`Verdict`.
    """
    batches = []
    for draw in DRAWS:
        for seed in range(SEEDS):
            answer = called(
                lambda draw=draw, seed=seed: function(
                    POOL.names.copy(), POOL.values.copy(), *draw, seed
                )
            )
            batch = _read(answer, draw.size)
            if isinstance(batch, str):
                return batch
            if complaint := misnamed(batch, draw, POOL) or misdrawn(batch, draw, POOL):
                return complaint
            batches.append((draw, batch))
    return _repeating(function, [batch for draw, batch in batches if draw == DRAWS[0]])


def _read(answer: object, size: int) -> Batch | str:
    """Return an answer as arrays, or why it is none."""
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        return f"you return a {type(answer).__name__}: return two things, rows and targets"
    arrays = []
    for name, part in zip(("rows", "targets"), answer, strict=True):
        if isinstance(part, Tensor):
            if part.device.type == "meta":
                return f"{name} lies on the meta device, where there are no numbers"
            part = part.detach().cpu().numpy()
        try:
            array = np.asarray(part)
        except ValueError:
            return f"{name} is ragged: return an array of numbers"
        if array.dtype == bool:
            return f"{name} is a mask: return numbers, np.flatnonzero(mask)"
        if array.dtype.kind not in "iuf":
            return f"{name} holds {array.dtype}: return an array of numbers"
        if array.ndim != 1:
            return f"{name} has shape {array.shape}: one number for each of {size} pictures"
        arrays.append(array)
    rows, targets = arrays
    if len(rows) != len(targets):
        return f"{len(rows)} rows and {len(targets)} targets: one target for each row"
    if rows.dtype.kind == "f":
        return f"rows are {rows.dtype}: they must be integers, positions in names"
    if not np.isfinite(targets).all():
        return "a target is not finite: the value of a picture, or 0"
    if len(rows) and not ((rows >= 0) & (rows < len(POOL.names))).all():
        return f"a row is outside 0 to {len(POOL.names) - 1}: rows are positions in names"
    return Batch(rows, targets.astype(float))


def _repeating(function: Callable, batches: list[Batch]) -> str | None:
    """Another seed, another batch, of both kinds; the same seed, the same."""
    first = batches[0]
    again = _read(function(POOL.names.copy(), POOL.values.copy(), *DRAWS[0], 0), DRAWS[0].size)
    if isinstance(again, str) or set(again.rows.tolist()) != set(first.rows.tolist()):
        return (
            "the same seed gives another batch at another time: draw everything from "
            "np.random.default_rng(seed)"
        )
    own = POOL.names[first.rows] == DRAWS[0].name
    for kind, size in (("positives", int(own.sum())), ("negatives", int((~own).sum()))):
        seen = set()
        for batch in batches:
            mine = POOL.names[batch.rows] == DRAWS[0].name
            seen |= set(batch.rows[mine if kind == "positives" else ~mine].tolist())
        if len(seen) == size:
            return f"every seed draws the same {kind}: draw them at random, from the seed"
    return None
