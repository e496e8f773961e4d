"""Intervals over seeds and pictures at once, for methods trained several times."""

import numpy as np
from numpy.typing import ArrayLike

from .intervals import Interval


def crossed_bootstrap(
    errors: ArrayLike,
    other: ArrayLike | None = None,
    *,
    groups: ArrayLike | None = None,
    samples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Put an interval around a mean over seeds and pictures, or around a difference of two.

    Seeds and pictures (or whole groups of pictures) are drawn with replacement, independently.
    With ``other`` the same draw serves both, so that the difference is paired.

    Args:
        errors: ``(S, N)``, of each of S trained models on each of N pictures.
        other: ``(S, N)`` or ``(1, N)`` of a second method, to be subtracted; of the same seeds,
            or of a method that has none.
        groups: ``(N,)`` group of each picture, or None.
        samples: number of draws.
        level: share of draws that the interval holds.
        seed: the same seed gives the same interval.

    Returns:
        The mean (or the difference of means) and its interval; with a single group its ends are
        ``nan``. With a single seed the interval is over pictures alone.

    Raises:
        ValueError: shapes do not fit.

    Source:
        Owen (2007), The pigeonhole bootstrap, Annals of Applied Statistics 1(2).

    Example:
        >>> crossed_bootstrap([[1, 2, 3, 4], [1, 2, 3, 6]], [[1, 1, 1, 1]]).estimate
        1.75
    """
    table = np.atleast_2d(np.asarray(errors, dtype=np.float64))
    if other is not None:
        second = np.atleast_2d(np.asarray(other, dtype=np.float64))
        if second.shape[1] != table.shape[1] or len(second) not in (1, len(table)):
            raise ValueError(f"errors {table.shape} and other {second.shape} do not fit")
        table = table - second
    names = np.arange(table.shape[1]) if groups is None else np.asarray(groups)
    if len(names) != table.shape[1]:
        raise ValueError(f"groups has {len(names)} rows for {table.shape[1]} pictures")
    member = np.unique(names, return_inverse=True)[1]
    units = member.max() + 1
    estimate = float(table.mean())
    if units == 1:
        return Interval(estimate, np.nan, np.nan)
    rng = np.random.default_rng(seed)
    over_seeds = rng.multinomial(len(table), np.full(len(table), 1 / len(table)), samples)
    drawn = rng.multinomial(units, np.full(units, 1 / units), samples)
    sums = np.stack([np.bincount(member, row, units) for row in table], axis=1)
    totals = np.einsum("ds,du,us->d", over_seeds, drawn, sums)
    means = totals / (len(table) * (drawn @ np.bincount(member)))
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate, float(low), float(high))
