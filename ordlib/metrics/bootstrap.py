"""Bootstrap confidence intervals: over images or groups, and over seeds and images."""

from collections.abc import Callable
from numbers import Real
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..utils.validation import check_count
from .ordinal_checks import as_floats


class Interval(NamedTuple):
    """Point estimate with a confidence interval."""

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
    """Percentile bootstrap confidence interval of a statistic, paired and optionally clustered.

    The same rows of every array are drawn, so the difference of two models on the same images is a
    paired comparison. Resamples with a non-finite statistic are discarded. The interval does not
    cover another training set or another seed of the model.

    Args:
        statistic: maps the drawn rows of each array to a number.
        arrays: one or more arrays of N rows each.
        groups: ``(N,)`` group of each row (crops of a scene, images of a person); whole groups are
            drawn, since dependent rows drawn singly make the interval too narrow.
        n_resamples: number of resamples, 1 or more.
        confidence_level: fraction of resamples inside the interval, between 0 and 1.
        seed: random seed; equal seeds give equal intervals.

    Returns:
        The estimate on all rows and its interval, with ``nan`` ends for a single row or group and
        if no resample has a finite statistic.

    Raises:
        ValueError: no array, no rows, different lengths, or an argument out of range.

    References:
        Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 13; ``groups`` is
        the cluster bootstrap.

    Example:
        >>> from ordlib.metrics import mae
        >>> print(bootstrap(mae, [1, 2, 3, 4], [1, 2, 4, 6]))
        0.75 (0 to 1.5)
    """
    columns = [np.asarray(array) for array in arrays]
    units = _resampling_units(columns, groups)
    _check_options(n_resamples, confidence_level, seed)
    estimate = float(statistic(*columns))
    if len(units) == 1:
        return Interval(estimate, float("nan"), float("nan"))
    rng = np.random.default_rng(seed)
    values = np.full(n_resamples, np.nan)
    for i in range(n_resamples):
        drawn = rng.integers(len(units), size=len(units))
        rows = np.concatenate([units[unit] for unit in drawn]) if groups is not None else drawn
        values[i] = statistic(*(column[rows] for column in columns))
    return _percentile_interval(estimate, values[np.isfinite(values)], confidence_level)


def _resampling_units(
    columns: list[np.ndarray], groups: ArrayLike | None
) -> list[np.ndarray] | range:
    """Return the rows, or with ``groups`` the row indices of each group."""
    lengths = [len(column) if column.ndim else 0 for column in columns]
    if not lengths or lengths[0] == 0 or len(set(lengths)) > 1:
        raise ValueError(f"arrays: expected equal lengths, at least 1; lengths: {lengths}")
    if groups is None:
        return range(lengths[0])
    group_index = _group_index(groups, lengths[0], "the arrays have {}")
    return [np.flatnonzero(group_index == group) for group in range(group_index.max() + 1)]


def _group_index(groups: ArrayLike, num_rows: int, expected: str) -> np.ndarray:
    """Index of each row's group, in the order of their names."""
    names = np.asarray(groups)
    if names.shape != (num_rows,):
        raise ValueError(f"groups: has {names.size} rows; {expected.format(num_rows)}")
    if (missing := pd.isna(names)).any():
        raise ValueError(f"groups[{missing.argmax()}]: is missing; give each row a group")
    return np.unique(names, return_inverse=True)[1]


def check_confidence_level(level: object) -> None:
    """Raise ValueError if a confidence level is no number between 0 and 1."""
    if not isinstance(level, Real) or not 0 < level < 1:
        raise ValueError(f"confidence_level = {level!r}: must be between 0 and 1")


def _check_options(n_resamples: object, confidence_level: object, seed: object) -> None:
    check_count("n_resamples", n_resamples)
    check_confidence_level(confidence_level)
    check_count("seed", seed, 0)


def classify_difference(
    interval: Interval, margin: float
) -> Literal["lower", "higher", "equivalent", "undecided"]:
    """Classify a difference by its interval and an equivalence margin (two one-sided tests).

    Args:
        interval: of the difference; with a confidence level of 95 %, each of the two one-sided
            tests of "equivalent" has the level 2.5 %.
        margin: the largest difference that does not matter, above 0, in the unit of the interval.

    Returns:
        "equivalent" if the interval lies between ``-margin`` and ``margin``, also where it excludes
        zero; otherwise "lower" or "higher" if it excludes zero, else "undecided".

    Raises:
        ValueError: ``margin`` is not above 0.

    References:
        Schuirmann (1987), A comparison of the two one-sided tests procedure and the power approach,
        Journal of Pharmacokinetics and Biopharmaceutics 15(6).

    Example:
        >>> classify_difference(Interval(-0.02, -0.06, 0.02), margin=0.1)
        'equivalent'
        >>> classify_difference(Interval(-0.2, -0.3, -0.06), margin=0.1)
        'lower'
    """
    if not isinstance(margin, Real) or not margin > 0:
        raise ValueError(f"margin = {margin!r}: must be above 0")
    _, low, high = interval
    if -margin < low and high < margin:
        return "equivalent"
    if high < 0:
        return "lower"
    return "higher" if low > 0 else "undecided"


def _percentile_interval(estimate: float, values: np.ndarray, confidence_level: float) -> Interval:
    if values.size == 0:
        return Interval(estimate, float("nan"), float("nan"))
    low, high = np.quantile(values, [(1 - confidence_level) / 2, (1 + confidence_level) / 2])
    return Interval(estimate, float(low), float(high))


def two_way_bootstrap(
    errors: ArrayLike,
    baseline_errors: ArrayLike | None = None,
    *,
    groups: ArrayLike | None = None,
    n_resamples: int = 2000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Two-way (pigeonhole) bootstrap of a mean over seeds and images (Owen, 2007).

    Seeds and images (or groups of images) are drawn with replacement, independently of each other.
    With ``baseline_errors``, both methods share each resample: the difference is paired.

    Args:
        errors: ``(S, N)`` errors of S trained models on N images.
        baseline_errors: ``(S, N)`` or ``(1, N)`` errors of a second method, subtracted from
            ``errors``; of the same seeds, or of a method without a seed.
        groups, n_resamples, confidence_level, seed: as in `bootstrap`.

    Returns:
        The mean (or difference of means) and its interval: over images only if S is 1, with
        ``nan`` ends for a single image or group.

    Raises:
        ValueError: shapes do not match.

    References:
        Owen (2007), The pigeonhole bootstrap, Annals of Applied Statistics 1(2).

    Example:
        >>> two_way_bootstrap([[1, 2, 3, 4], [1, 2, 3, 6]], [[1, 1, 1, 1]]).estimate
        1.75
    """
    _check_options(n_resamples, confidence_level, seed)
    table = np.atleast_2d(as_floats("errors", errors))
    if table.ndim != 2 or not table.size or not np.isfinite(table).all():
        raise ValueError(f"errors: shape {table.shape}; expected (S, N) finite numbers")
    num_seeds, num_images = table.shape
    if baseline_errors is not None:
        baseline = np.atleast_2d(as_floats("baseline_errors", baseline_errors))
        if baseline.shape[1] != num_images or len(baseline) not in (1, num_seeds):
            raise ValueError(
                f"baseline_errors: shape {baseline.shape} does not match errors {table.shape}; "
                f"expected ({num_seeds}, {num_images}) or (1, {num_images})"
            )
        table = table - baseline
    groups = np.arange(num_images) if groups is None else groups
    group_index = _group_index(groups, num_images, "errors has {} images")
    num_groups = group_index.max() + 1
    estimate = float(table.mean())
    if num_groups == 1:
        return Interval(estimate, np.nan, np.nan)
    rng = np.random.default_rng(seed)
    # How often each resample b draws each seed s and each group u.
    seed_counts = rng.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), n_resamples)
    group_counts = rng.multinomial(num_groups, np.full(num_groups, 1 / num_groups), n_resamples)
    sums = np.stack([np.bincount(group_index, row, num_groups) for row in table], axis=1)  # (U, S)
    totals = np.einsum("bs,bu,us->b", seed_counts, group_counts, sums)
    means = totals / (num_seeds * (group_counts @ np.bincount(group_index)))
    return _percentile_interval(estimate, means, confidence_level)
