"""Bootstrap confidence intervals: over images or groups, and over seeds and images."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Interval(NamedTuple):
    """A number and the range it may well have come from.

    Attributes:
        estimate: the statistic of all the data.
        low: lower end of the interval.
        high: upper end of the interval.
    """

    estimate: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.estimate:.3g} ({self.low:.3g} to {self.high:.3g})"


def bootstrap(
    statistic: Callable[..., float],
    *arrays: ArrayLike,
    groups: ArrayLike | None = None,
    n_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Put a percentile bootstrap interval around any statistic.

    Rows are drawn with replacement, the same rows of every array: a picture keeps its y_true and
    its predictions together, so that the difference of two models on the same pictures is a
    paired comparison. With ``groups``, whole groups are drawn instead (all crops of a scene,
    all pictures of a person), as many as there are; rows of one group are not independent, and
    drawing them one by one would make the interval too narrow. Nothing else is drawn: the
    interval says nothing about another training set or another seed of the model.

    Draws for which the statistic is not finite (the correlation of a draw in which every label
    is the same) are left out.

    Args:
        statistic: takes the drawn rows of each array, in the order given; returns a number.
        arrays: one or more arrays of N rows each.
        groups: ``(N,)`` group of each row, numbers or names, or None: every row by itself.
        n_resamples: number of draws.
        confidence_level: share of draws that the interval holds, between 0 and 1.
        seed: the same seed gives the same interval.

    Returns:
        Estimate on all rows, and the interval. Its ends are ``nan`` if no draw gave a number, or
        if there is only one row or group: it cannot tell how others would vary.

    Raises:
        ValueError: no array, no rows, other lengths, or ``n_resamples`` or ``confidence_level`` out of range.

    Source:
        Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13; groups are
        its cluster form.

    Example:
        >>> from ordlib.metrics import mae
        >>> interval = bootstrap(mae, [1, 2, 3, 4], [1, 2, 4, 6])
        >>> interval.estimate
        0.75
        >>> print(interval)
        0.75 (0 to 1.5)
    """
    columns = [np.asarray(array) for array in arrays]
    units = _units(columns, groups)
    if n_resamples < 1 or not 0 < confidence_level < 1:
        raise ValueError(
            f"n_resamples must be at least 1 and confidence_level between 0 and 1, not {n_resamples} and {confidence_level}"
        )
    estimate = float(statistic(*columns))
    if len(units) == 1:
        return Interval(estimate, float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    draws = np.full(n_resamples, np.nan)
    for draw in range(n_resamples):
        chosen = rng.integers(len(units), size=len(units))
        rows = np.concatenate([units[unit] for unit in chosen]) if groups is not None else chosen
        draws[draw] = statistic(*(column[rows] for column in columns))
    draws = draws[np.isfinite(draws)]
    if draws.size == 0:
        return Interval(estimate, float("nan"), float("nan"))
    low, high = np.quantile(draws, [(1 - confidence_level) / 2, (1 + confidence_level) / 2])
    return Interval(estimate, float(low), float(high))


def _units(columns: list[np.ndarray], groups: ArrayLike | None) -> list[np.ndarray] | range:
    """Return what is drawn: rows, or the row numbers of each group."""
    lengths = [len(column) if column.ndim else 0 for column in columns]
    if not lengths or lengths[0] == 0 or len(set(lengths)) > 1:
        raise ValueError(f"bootstrap needs arrays of one length, at least 1; lengths: {lengths}")
    if groups is None:
        return range(lengths[0])
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    if member.size != lengths[0]:
        raise ValueError(f"groups has {member.size} rows, the arrays have {lengths[0]}")
    return [np.flatnonzero(member == group) for group in range(len(names))]


def two_way_bootstrap(
    errors: ArrayLike,
    other: ArrayLike | None = None,
    *,
    groups: ArrayLike | None = None,
    n_resamples: int = 2000,
    confidence_level: float = 0.95,
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
        n_resamples: number of draws.
        confidence_level: share of draws that the interval holds.
        seed: the same seed gives the same interval.

    Returns:
        The mean (or the difference of means) and its interval; with a single group its ends are
        ``nan``. With a single seed the interval is over pictures alone.

    Raises:
        ValueError: shapes do not fit.

    Source:
        Owen (2007), The pigeonhole bootstrap, Annals of Applied Statistics 1(2).

    Example:
        >>> two_way_bootstrap([[1, 2, 3, 4], [1, 2, 3, 6]], [[1, 1, 1, 1]]).estimate
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
    over_seeds = rng.multinomial(len(table), np.full(len(table), 1 / len(table)), n_resamples)
    drawn = rng.multinomial(units, np.full(units, 1 / units), n_resamples)
    sums = np.stack([np.bincount(member, row, units) for row in table], axis=1)
    totals = np.einsum("ds,du,us->d", over_seeds, drawn, sums)
    means = totals / (len(table) * (drawn @ np.bincount(member)))
    low, high = np.quantile(means, [(1 - confidence_level) / 2, (1 + confidence_level) / 2])
    return Interval(estimate, float(low), float(high))
