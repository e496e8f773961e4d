"""Confidence intervals of results tables: over images (or groups of images) and seeds."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from scipy.stats import rankdata

from ..metrics import Interval, two_way_bootstrap
from ..utils.cache import atomic_write
from .results import cached_json, round_or_none

# Arrays of one trained model, by metric: (N,) with the metric as its mean; "spearman" is (2, N),
# true values and scores.
Scores = Mapping[str, np.ndarray]
Cell = list[Scores]
NUM_RESAMPLES = 1000


def cached_rows(
    path: Path, compute: Callable[[], tuple[list[dict], list[Scores]]]
) -> tuple[list[dict], list[Scores]]:
    """Return rows and their scores from a JSON file and an .npz file beside it, or compute both."""
    scores_file = path.with_suffix(".npz")

    def compute_rows() -> list[dict]:
        rows, scores = compute()
        arrays = {f"{i} {metric}": a for i, part in enumerate(scores) for metric, a in part.items()}
        with atomic_write(scores_file) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)
        return rows

    rows = cached_json(path, compute_rows)
    try:
        scores: list[dict] = [{} for _ in rows]
        if not rows or not all(isinstance(row, dict) and row for row in rows):
            raise ValueError(f"{path.name} is no list of rows")
        with np.load(scores_file) as arrays:
            for name, array in arrays.items():
                row, metric = name.split(maxsplit=1)
                scores[int(row)][metric] = array
    except (OSError, ValueError, TypeError, LookupError, EOFError, BadZipFile) as error:
        both = f"{path} and {scores_file.name}"
        problem = f"{scores_file}: damaged ({error!r}); delete {both} to compute them again"
        raise ValueError(problem) from error
    return rows, scores


def bootstrap_cells(
    rows: Sequence[dict],
    scores: Sequence[Scores],
    place: Sequence[str],
    groups: Callable[[dict], np.ndarray | None],
) -> dict[str, list[dict]]:
    """Confidence intervals of all cells of a table, and of the differences between methods.

    Args:
        rows: one per trained model. Those with the same place and "method" are a cell, and differ
            in the seed alone.
        scores: arrays over the N images of every row, by metric.
        place: columns besides "method" that identify a cell.
        groups: the ``(N,)`` groups of the images of a row, None if they are independent.

    Returns:
        "intervals" has one row per cell, with the columns METRIC, METRIC_low and METRIC_high;
        "differences" one per pair of methods of a place and metric: "method" minus "baseline",
        paired over images and seeds.
    """
    cells, groups_of = defaultdict(list), {}
    for row, arrays in zip(rows, scores, strict=True):
        key = *(row.get(name) for name in place), row["method"]
        cells[key].append(arrays)
        if key not in groups_of:
            groups_of[key] = groups(row)
    intervals, differences = [], []
    for (*values, method), cell in cells.items():
        keys = dict(zip(place, values, strict=True))
        entry, of_images = keys | {"method": method}, groups_of[*values, method]
        for metric in cell[0]:
            entry |= interval_columns(metric, _interval(metric, cell, None, of_images))
        intervals.append(entry)
        for baseline, other in _earlier_methods(cells, tuple(values), method):
            for metric in [name for name in cell[0] if name in other[0]]:
                difference = _interval(metric, cell, other, of_images)
                entry = keys | {"method": method, "baseline": baseline, "metric": metric}
                differences.append(entry | interval_columns("difference", difference))
    return {"intervals": intervals, "differences": differences}


def differences_across(
    rows: Sequence[dict],
    scores: Sequence[Scores],
    column: str,
    place: Sequence[str],
    groups: Callable[[dict], np.ndarray | None],
) -> list[dict]:
    """Paired differences between the values of a column, such as "image_encoder".

    Arguments as for :func:`bootstrap_cells`; ``place`` lacks the column. Each value of a method is
    compared with the first one, "baseline", on the seeds of both, or with its only seed.
    """
    cells: dict[tuple, dict[str, dict[int, Scores]]] = {}
    groups_of = {}
    for row, arrays in zip(rows, scores, strict=True):
        key = *(row.get(name) for name in place), row["method"]
        cells.setdefault(key, {}).setdefault(row.get(column), {})[row["seed"]] = arrays
        if key not in groups_of:
            groups_of[key] = groups(row)
    differences = []
    for (*values, method), by_value in cells.items():
        keys = dict(zip(place, values, strict=True)) | {"method": method}
        (baseline, one), *others = by_value.items()
        for value, other in others:
            seeds = sorted(other if len(one) == 1 else one.keys() & other.keys())
            cell = [other[seed] for seed in seeds]
            base = [*one.values()] if len(one) == 1 else [one[seed] for seed in seeds]
            for metric in cell[0]:
                difference = _interval(metric, cell, base, groups_of[*values, method])
                entry = keys | {column: value, "baseline": baseline, "metric": metric}
                differences.append(entry | interval_columns("difference", difference))
    return differences


def interval_columns(name: str, interval: Interval) -> dict[str, float | None]:
    """Return estimate, low and high of an interval as the columns of a results table.

    Example:
        >>> interval_columns("mae", Interval(1.5, 1.4, 1.6))
        {'mae': 1.5, 'mae_low': 1.4, 'mae_high': 1.6}
    """
    columns = (name, f"{name}_low", f"{name}_high")
    return {key: round_or_none(value) for key, value in zip(columns, interval, strict=True)}


def _earlier_methods(
    cells: Mapping[tuple, Cell], place: tuple, method: str
) -> Iterator[tuple[str, Cell]]:
    """Yield the methods of a place that come before this one, with their cells."""
    for (*values, name), cell in cells.items():
        if tuple(values) == place:
            if name == method:
                return
            yield name, cell


def _interval(
    metric: str, cell: Cell, baseline: Cell | None, groups: np.ndarray | None
) -> Interval:
    """Return the interval of a metric, or of its difference from a baseline."""
    table = np.stack([arrays[metric] for arrays in cell])
    base = None if baseline is None else np.stack([arrays[metric] for arrays in baseline])
    if metric == "spearman":
        return spearman_interval(table, base, groups)
    if base is not None and len(table) < len(base):  # the baseline may have a single row
        estimate, low, high = two_way_bootstrap(base, table, groups=groups)
        return Interval(-estimate, -high, -low)
    return two_way_bootstrap(table, base, groups=groups)


def spearman_interval(
    table: np.ndarray, baseline: np.ndarray | None = None, groups: np.ndarray | None = None
) -> Interval:
    """Two-way bootstrap of a mean Spearman correlation over seeds and images.

    As :func:`~ordlib.metrics.two_way_bootstrap`, whose statistic is a mean over images.

    Args:
        table: ``(S, 2, N)``, the true values and the scores of S trained models on N images.
        baseline: that of a second method, whose correlation is subtracted; a method without a seed
            has S = 1.
        groups: ``(N,)`` group of every image; whole groups are drawn.

    Example:
        >>> table = np.array([[[1, 2, 3, 4], [1, 2, 4, 3]]])
        >>> round(spearman_interval(table).estimate, 2)
        0.8
    """
    num_images = table.shape[2]
    names = np.arange(num_images) if groups is None else groups
    _, group_index = np.unique(names, return_inverse=True)
    members = np.split(
        np.argsort(group_index, kind="stable"), np.bincount(group_index).cumsum()[:-1]
    )
    num_seeds = max(len(table), 1 if baseline is None else len(baseline))

    def statistic(seeds: np.ndarray, images: np.ndarray) -> float:
        means = [
            _spearman(part[seeds % len(part)][:, :, images]).mean()
            for part in (table, baseline)
            if part is not None
        ]
        return means[0] - sum(means[1:])

    estimate = float(statistic(np.arange(num_seeds), np.arange(num_images)))
    if len(members) == 1:
        return Interval(estimate, np.nan, np.nan)
    rng, values = np.random.default_rng(0), []
    for _ in range(NUM_RESAMPLES):
        seeds = rng.integers(num_seeds, size=num_seeds)
        drawn = rng.integers(len(members), size=len(members))
        values.append(statistic(seeds, np.concatenate([members[i] for i in drawn])))
    return Interval(estimate, *np.nanquantile(values, [0.025, 0.975]).tolist())


def _spearman(table: np.ndarray) -> np.ndarray:
    """Return ``(S,)`` Spearman correlations of ``(S, 2, N)`` pairs of true values and scores."""
    ranks = rankdata(table, axis=-1)
    ranks -= ranks.mean(-1, keepdims=True)
    norms = np.linalg.norm(ranks, axis=-1).prod(-1)
    with np.errstate(invalid="ignore"):  # NaN where all scores are equal
        return ranks.prod(1).sum(-1) / norms
